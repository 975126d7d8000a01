"""Check the score folders of a submission package: each has one TSV for each clip, and every file is read."""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from dataclasses import dataclass

from recipe_mtlvae.errors import Fault, RecipeError, fail
from recipe_mtlvae.scoring.scores import parse_scores
from recipe_mtlvae.submission.check_results import CountedFaults, Results
from recipe_mtlvae.submission.package_files import MAX_TABLE, Package
from recipe_mtlvae.submission.profile import Rules


@dataclass(frozen=True)
class CheckedFolder:
    """A score folder that was checked."""

    folder: str
    clips: frozenset[str]
    digest: int | None  # checksum of all its scores; None if no file could be read


def check_scores(
    package: Package, folder: str, names: Sequence[str], rules: Rules, rehearsal: bool, results: Results
) -> CheckedFolder:
    """Check `names`, the files below `folder`: as many TSVs as the rules have clips, each with a column for each class.

    A rehearsal may have other classes, but the same ones in every file.
    """
    faults = CountedFaults(f"{folder}/", "files")
    tables = [name for name in names if name.endswith(".tsv") and name.count("/") == folder.count("/") + 1]
    for name in sorted(set(names) - set(tables)):
        faults.add("no score file", Fault("is not part of a package", "leave it out", name))
    if rules.clips is not None and len(tables) != rules.clips:
        what = f"expected {rules.clips} score files, one for each clip of the evaluation set, got {len(tables)}"
        results.to_fill_in.append(Fault(what, path=f"{folder}/"))
    expected, digest = set(rules.classes), None
    low = high = 0.0
    for number, name in enumerate(tables):
        try:
            content = package.read(name, MAX_TABLE + 1)
            if len(content) > MAX_TABLE:
                raise fail(f"over {MAX_TABLE} bytes: the file is not read", path=name)
            columns, clip = parse_scores(content, name)
        except RecipeError as error:
            for fault in error.faults:
                faults.add(fault.what.partition(",")[0][:40], fault)
            continue
        digest = zlib.crc32(content, digest or 0)
        if number == 0 and rehearsal and set(columns) != expected:
            what = f"the columns are not the challenge's: {_difference(columns, expected)}"
            results.to_fill_in.append(Fault(what, "", name, 1))
            expected = set(columns)
        if set(columns) != expected:
            faults.add("columns", Fault(f"classes: {_difference(columns, expected)}", "", name, 1))
        low, high = min(low, float(clip.scores.min())), max(high, float(clip.scores.max()))
    if low < 0 or high > 1:
        what = f"scores from {low:g} to {high:g}: probabilities from 0 to 1 are expected"
        results.warnings.append(Fault(what, path=f"{folder}/"))
    results.faults += faults.all()
    return CheckedFolder(folder, frozenset(name.rpartition("/")[2] for name in tables), digest)


def check_together(folders: Sequence[CheckedFolder]) -> list[Fault]:
    """Check that all folders have the same clips."""
    faults = []
    for one in folders[1:]:
        first = folders[0]
        for here, there in ((first, one), (one, first)):
            if lost := sorted(here.clips - there.clips):
                more = f" and {len(lost) - 3} more" if len(lost) > 3 else ""
                what = f"lacks clips that {here.folder.rpartition('/')[2]}/ has: {', '.join(lost[:3])}{more}"
                faults.append(Fault(what, path=f"{there.folder}/"))
    return faults


def copies(folders: Sequence[CheckedFolder]) -> list[Fault]:
    """Find folders with equal scores. Each run is a training of its own, so one run was probably packed twice."""
    found = []
    for i, one in enumerate(folders):
        if same := next(
            (other for other in folders[:i] if one.digest is not None and other.digest == one.digest), None
        ):
            what = f"the same scores as {same.folder.rpartition('/')[2]}/"
            found.append(Fault(what, "each run is a training of its own", f"{one.folder}/"))
    return found


def _difference(columns: Sequence[str], expected: set[str]) -> str:
    lacking, strange = sorted(expected - set(columns)), sorted(set(columns) - expected)
    parts = [f"{', '.join(lacking)[:300]} missing"] * bool(lacking)
    return "; ".join(parts + [f"{', '.join(strange)[:300]} not expected"] * bool(strange))
