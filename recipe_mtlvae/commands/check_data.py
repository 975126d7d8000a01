"""List what is missing, damaged or odd in a corpus: `python -m recipe_mtlvae check-data`."""

from __future__ import annotations

import argparse
from pathlib import Path

from recipe_mtlvae.commands.option_types import add_settings
from recipe_mtlvae.conf import data_file, load_conf
from recipe_mtlvae.corpus import problems
from recipe_mtlvae.corpus.check import check_corpus
from recipe_mtlvae.corpus.splits import Corpus
from recipe_mtlvae.errors import RecipeError, fail, warn
from recipe_mtlvae.report.data_tables import check_text


def main(argv: list[str]) -> None:
    """Print the tables, write data_report.html and data_report.json to --out, and raise RecipeError with all errors."""
    options = _parser().parse_args(argv)
    from recipe_mtlvae.report.data_report import write_data_report  # slow: matplotlib

    conf = load_conf(data_file(options.data), settings=options.settings)
    root = options.data_root.resolve()
    if not root.is_dir():
        raise fail("no such folder", "give the folder of a corpus: --data_root DIR", root)
    corpus = Corpus(conf, root)
    check = check_corpus(corpus, *corpus.all_files())
    print(check_text(check), flush=True)
    for warning in problems.warnings(check):
        warn(warning)
    for note in problems.notes(check):
        warn(note, "note")
    print(write_data_report(check, (options.out or root).resolve()))
    if faults := problems.errors(check):
        raise RecipeError(*faults)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser("python -m recipe_mtlvae check-data", description=__doc__, allow_abbrev=False)
    parser.add_argument("--data_root", type=Path, required=True, help="folder of the corpus")
    parser.add_argument("--data", default="desed", help="the splits: desed (default), mini or a YAML file")
    add_settings(parser)
    parser.add_argument("--out", type=Path, help="folder for data_report.html and .json; default: the corpus's folder")
    return parser
