"""Compare any systems on the same clips, in one page: `python -m recipe_mtlvae compare`."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from recipe_mtlvae.corpus.splits import Corpus
from recipe_mtlvae.errors import fail
from recipe_mtlvae.files import read_json, write_json
from recipe_mtlvae.report.runs import networks_of
from recipe_mtlvae.scoring.reference import read_reference

if TYPE_CHECKING:  # matplotlib and the metric packages are slow to import
    from recipe_mtlvae.report.comparison.compared import ComparedSystem


def main(argv: list[str]) -> None:
    """Write report.html and comparison.json to --out.

    Raises RecipeError if a folder is at fault; wrong usage exits with code 2.
    """
    options = _parse(argv)
    given = read_reference(options.ground_truth, options.durations, None) if options.ground_truth else None
    from recipe_mtlvae.report.comparison.json_content import comparison
    from recipe_mtlvae.report.comparison.measuring import compare
    from recipe_mtlvae.report.comparison.page import write_report

    split = options.ground_truth.stem if options.ground_truth else None
    systems = compare(_sources(options), given, split)
    print(write_report(systems, _corpus(systems), " · ".join(one.name for one in systems), options.out / "report.html"))
    write_json(options.out / "comparison.json", comparison(systems))
    print(f"\n{options.out / 'report.html'}")


def _corpus(systems: Sequence[ComparedSystem]) -> Corpus | None:
    """Return the corpus of the first run whose corpus folder, as stage 4 recorded it, still exists."""
    for run in (run for system in systems for run in system.runs):
        noted = read_json(run.folder / "corpus.json")
        if run.conf and isinstance(noted, dict) and (root := Path(str(noted.get("root")))).is_dir():
            return Corpus(run.conf, root)
    return None


def _sources(options: argparse.Namespace) -> list[tuple[str, Path]]:
    """Return (name, folder) of all networks to compare.

    Raises RecipeError for a run that is given twice, and for a --run whose name is also that of a RUN.
    """
    names = _names(options.runs)
    if both := next(((name, folder) for name, folder in options.run if name in names), None):
        what = f"--run {both[0]}=...: this name is also that of {options.runs[names.index(both[0])]}"
        raise fail(what, "give it another name; for runs of one system give each as --run NAME=PATH", both[1])
    given = [*zip(names, options.runs, strict=True), *options.run]
    seen = set()
    for name, folder in given:
        if (name, folder.resolve()) in seen:
            raise fail(f"this folder is given twice as {name}: it would count as two runs", "give it once", folder)
        seen.add((name, folder.resolve()))
    return [network for name, folder in given for network in networks_of(name, folder).items()]


def _names(folders: Sequence[Path]) -> list[str]:
    """Name each folder by the last parts of its path: as many as tell it from all other folders."""
    paths = [folder.resolve() for folder in folders]
    names = []
    for path in paths:
        others = [other for other in paths if other != path]
        ends = ((Path(*path.parts[-n:]), n) for n in range(1, len(path.parts) + 1))
        names.append(str(next(end for end, n in ends if all(Path(*other.parts[-n:]) != end for other in others))))
    return names


def _parse(argv: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m recipe_mtlvae compare",
        description="Compare runs, score folders or folders of operating points on the same clips, in one page. "
        "Several --run of one name are the runs of one system, shown as mean and standard deviation.",
        allow_abbrev=False,
    )
    parser.add_argument(
        "runs", nargs="*", type=Path, metavar="RUN", help="folder of a run, exp/<tag>; the name of the folder is shown"
    )
    parser.add_argument(
        "--run",
        action="append",
        default=[],
        type=_name_and_path,
        metavar="NAME=PATH",
        help="a run, score folder or folder of operating points",
    )
    parser.add_argument(
        "--ground_truth",
        type=Path,
        metavar="TSV",
        help="filename onset offset event_label; the truth of folders without one, and of runs on these clips",
    )
    parser.add_argument("--durations", type=Path, metavar="TSV", help="filename duration: the clip list")
    parser.add_argument(
        "--out", type=Path, required=True, metavar="DIR", help="folder for report.html and comparison.json"
    )
    options = parser.parse_args(argv)
    if not options.runs and not options.run:
        parser.error("expected at least one RUN or --run NAME=PATH")
    if (options.ground_truth is None) != (options.durations is None):
        parser.error("--ground_truth and --durations go together")
    if options.out.exists() and not options.out.is_dir():
        raise fail("--out: expected a folder, this is a file", path=options.out)
    return options


def _name_and_path(text: str) -> tuple[str, Path]:
    name, equals, path = text.partition("=")
    if not name or not equals or not path:
        raise argparse.ArgumentTypeError(f"expected NAME=PATH, got {text!r}")
    return name, Path(path)
