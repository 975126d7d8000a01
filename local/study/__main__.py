"""Variants of a system, trained with several seeds on several corpora, in one table. Finished rows are not repeated."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from local.stage import PROJECT
from local.study.rows import Study, StudyRow, read_study, rows_of
from local.study.run import is_finished, run_all
from recipe_mtlvae.commands.option_types import add_settings, count
from recipe_mtlvae.errors import Fault, RecipeError, exit_code_of
from recipe_mtlvae.files import write_json, write_text
from recipe_mtlvae.shards import Shard, shard_of


def main() -> None:
    options = _parse()
    study = read_study(options.study, options.soundbank)
    exp_dir = options.exp_dir.resolve()
    rows = rows_of(study, options.settings, exp_dir)
    failed = run_all(options.shard.take(rows), options.jobs)
    _write_table(options, study, [row for row in rows if is_finished(row)], rows)
    if failed:
        hint = "run the same command again to continue"
        raise RecipeError(*(Fault(f"{row.name} failed: {why}", hint, row.log) for row, why in failed.items()))


def _write_table(options: argparse.Namespace, study: Study, finished: list[StudyRow], rows: list[StudyRow]) -> None:
    from local.study.table import table_of  # the metric packages are slow to import

    if not finished:
        return
    table = table_of(study, finished, "select" if options.select else None)
    stem = options.exp_dir / (study.name + "-select" * options.select)
    write_text(stem.with_name(f"{stem.name}.md"), table.markdown())
    write_json(stem.with_name(f"{stem.name}.json"), table.content)
    print(f"\n{table.text()}\n{len(finished)} of {len(rows)} rows are finished; written to {stem}.md and {stem}.json")


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="local/study.sh",
        description="Train and score variants x seeds x corpora of a YAML such as conf/study/report.yaml. Each row is "
        "a run of run.sh in <exp_dir>/<study>-<corpus>-<variant>-<seed>/. After an interruption, run the same command "
        "again to continue.",
        allow_abbrev=False,
    )
    parser.add_argument("study", type=Path, metavar="FILE.yaml")
    parser.add_argument(
        "--jobs", type=count, default=1, metavar="N", help="rows that run side by side, one thread each (1)"
    )
    parser.add_argument(
        "--shard", type=_shard, default=Shard(), metavar="I/N", help="train this share of the rows only"
    )
    parser.add_argument(
        "--select", action="store_true", help="show select splits only, so that no test result influences a choice"
    )
    parser.add_argument(
        "--soundbank",
        action="append",
        default=[],
        type=Path,
        metavar="DIR",
        help="add a corpus made from these recordings, as run.sh does; may be repeated",
    )
    add_settings(parser, ", in all rows")
    parser.add_argument(
        "--exp_dir", type=Path, default=PROJECT / "exp", metavar="DIR", help="folder of the runs (exp/)"
    )
    return parser.parse_args()


def _shard(text: str) -> Shard:
    try:
        return shard_of(text)
    except RecipeError:
        raise argparse.ArgumentTypeError(f"expected I/N with I from 0 to N - 1, such as 0/2; got {text!r}") from None


if __name__ == "__main__":
    sys.exit(exit_code_of(main))
