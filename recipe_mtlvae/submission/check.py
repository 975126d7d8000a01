"""Find all faults of a submission package."""

from __future__ import annotations

import csv
import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from recipe_mtlvae.errors import Fault, RecipeError
from recipe_mtlvae.submission.check_events import check_nested, read_event_file
from recipe_mtlvae.submission.check_meta import Meta, check_meta
from recipe_mtlvae.submission.check_results import CountedFaults, Results
from recipe_mtlvae.submission.check_scores import check_scores, check_together, copies
from recipe_mtlvae.submission.package_files import Package, open_package
from recipe_mtlvae.submission.profile import Profile, fill, thresholds_of

SHOWN_LINES = 100  # of each sort; the others are only counted
MEASURED = "energy_consumed"  # codecarbon's column of the energy in kWh


@dataclass(frozen=True)
class CheckReport:
    """The result of a check. A package is fit for submission if `faults` is empty and `rehearsal` is None."""

    labels: tuple[str, ...]  # of the systems in the package
    faults: tuple[Fault, ...]
    to_fill_in: tuple[Fault, ...]  # only for a rehearsal: faults to correct before submission
    rehearsal: str | None  # why the package is a rehearsal; None: it is not
    warnings: tuple[Fault, ...] = ()
    unverified: str | None = None  # a note, if no public source confirms the rules

    def lines(self, path: Path) -> list[str]:
        """Return the report for the terminal: a line for each fault, then what is to be filled in, then the verdict."""
        lines = _shown("warning", self.warnings) + _shown("error", self.faults)
        if self.faults:
            lines.append(f"{path}: {len(self.faults)} fault{'s' * (len(self.faults) != 1)}")
        elif self.rehearsal is None:
            lines.append(f"ok: {path} is fit for submission: {', '.join(self.labels)}")
        else:
            lines += _shown("before you submit", self.to_fill_in)
            lines += [f"ok as a rehearsal: {path}: {', '.join(self.labels)}", self.rehearsal]
        return lines if self.unverified is None else [self.unverified, *lines]


def _shown(sort: str, faults: Sequence[Fault]) -> list[str]:
    more = [f"{sort}: ... and {len(faults) - SHOWN_LINES} more"] * (len(faults) > SHOWN_LINES)
    return [f"{sort}: {fault}" for fault in faults[:SHOWN_LINES]] + more


def check_package(path: Path, profile: Profile) -> CheckReport:
    """Check the package at `path`, a zip file or a folder, against the rules of `profile`.

    Faults in the package are returned. RecipeError is raised only if `path` is not a package at all.
    """
    results = Results()
    with open_package(path) as package:
        results.faults += package.faults
        folders: dict[str, list[str]] = {folder: [] for folder in package.folders}
        for name in package.files:
            folder, slash, _ = name.partition("/")
            folders.setdefault(folder if slash else "", []).append(name)
        hidden = [folder for folder in folders if folder.startswith((".", "__"))]
        results.faults += _strange(str(path), [f"{folder}/" for folder in hidden], "folders")
        labels = sorted(folder for folder in folders if folder and folder not in hidden)
        _check_root(package, folders.get("", []), labels, profile, results)
        most = profile.rules.systems.refuse
        for label in labels if most is None else labels[: 2 * max(most, 1)]:  # more than `most` is a fault already
            _check_system(package, label, folders[label], profile, results)
    unverified = None
    if not profile.verified:
        what = f"no public validator or package confirms these rules of {profile.challenge}"
        unverified = f"not verified: {what}: compare with the challenge's page"
    faults, to_fill_in = tuple(results.faults), tuple(results.to_fill_in)
    if results.rehearsal is None:
        faults, to_fill_in = faults + to_fill_in, ()
    return CheckReport(tuple(labels), faults, to_fill_in, results.rehearsal, tuple(results.warnings), unverified)


def _check_root(package: Package, names: list[str], labels: list[str], profile: Profile, results: Results) -> None:
    limit = profile.rules.systems
    if not labels:
        results.faults.append(
            Fault("contains no folder of a system", f"expected {profile.package.label}/", package.path)
        )
    shown = f"{', '.join(labels[:20])}{', ...' * (len(labels) > 20)}"
    if limit.refuse is not None and len(labels) > limit.refuse:
        what = f"{len(labels)} systems, at most {limit.refuse} are allowed: {shown}"
        results.faults.append(Fault(what, path=package.path))
    elif limit.warn is not None and len(labels) > limit.warn:
        what = f"{len(labels)} systems, the challenge allows {limit.warn}: {shown}"
        results.warnings.append(Fault(what, path=package.path))
    reports = [name for name in names if name.lower().endswith(".pdf")]
    results.faults += _strange(str(package.path), set(names) - set(reports))
    if not reports:
        what = "no technical report: expected a PDF in the package's root"
        results.to_fill_in.append(Fault(what, "name yours as `report` in the submission profile", package.path))
    for name in reports[:100]:
        try:
            if not package.read(name, 5).startswith(b"%PDF"):
                results.faults.append(Fault("is not a PDF file", "export the report as PDF", name))
        except RecipeError as error:
            results.faults += error.faults


def _strange(place: str, names: Collection[str], unit: str = "files") -> list[Fault]:
    strange = CountedFaults(place, unit)
    for name in sorted(names):
        strange.add("not part of a package", Fault("is not part of a package", "leave it out", name))
    return strange.all()


def _check_system(package: Package, label: str, names: list[str], profile: Profile, results: Results) -> None:
    rules, patterns = profile.rules, profile.package
    if not re.fullmatch(rules.label, label):
        results.faults.append(Fault(f"expected a folder called {patterns.label}", "rename it", f"{label}/"))
    elif set(label.split("_")) & set(rules.placeholders):
        what = f"the label still has the example's {' and '.join(rules.placeholders)}"
        results.to_fill_in.append(Fault(what, "fill in the authors of the submission profile", f"{label}/"))
    rest = set(names)  # each check removes the files that it covers
    meta_name = _expected_file(fill(patterns.meta, {"label": label}), rest, results)
    meta = check_meta(package, meta_name, label, profile, results) if meta_name else Meta()
    results.rehearsal = results.rehearsal or meta.rehearsal
    # a rehearsal may use any corpus: its classes are those with a result in the meta file
    classes = (meta.rehearsal and meta.classes) or rules.classes
    if patterns.events is not None:
        name = fill(patterns.events, {"label": label})
        if name := _expected_file(name, rest, results, optional="events" in patterns.optional):
            read_event_file(package, name, profile, classes, results)
    points = {} if patterns.operating_points is None else _operating_points(label, rest, profile, results)
    lower = None
    for _, name in sorted(points.items()):
        file = read_event_file(package, name, profile, classes, results)
        if rules.nested and lower is not None:
            results.faults += check_nested(file, lower)
        lower = file
    _check_score_folders(package, label, rest, profile, meta.rehearsal is not None, results)
    _check_energy(package, label, rest, profile, results)
    results.faults += _strange(f"{label}/", rest)


def _check_score_folders(
    package: Package, label: str, rest: set[str], profile: Profile, rehearsal: bool, results: Results
) -> None:
    checked = []
    for kind in ("scores", "unprocessed"):
        pattern, of_kind = getattr(profile.package, kind), []
        for run in range(1, profile.package.runs + 1) if pattern is not None else ():
            folder = fill(pattern, {"label": label, "run": run})
            names = sorted(name for name in rest if name.startswith(folder + "/"))
            rest.difference_update(names)
            if names:
                of_kind.append(check_scores(package, folder, names, profile.rules, rehearsal, results))
            else:
                fault = Fault("this score folder is missing", path=f"{folder}/")
                (results.warnings if kind in profile.package.optional else results.to_fill_in).append(fault)
        results.warnings += copies(of_kind)
        checked += of_kind
    results.faults += check_together(checked)


def _check_energy(package: Package, label: str, rest: set[str], profile: Profile, results: Results) -> None:
    """Check codecarbon's CSV files."""
    patterns = profile.package
    names = {
        fill(patterns.energy, {"label": label, "run": run, "phase": phase}): phase
        for run in range(1, patterns.runs + 1)
        for phase in patterns.energy_phases
        if patterns.energy is not None
    }
    for name, phase in names.items():
        if name not in rest:
            results.warnings.append(Fault(f"codecarbon's record of {phase} is missing", path=name))
            continue
        rest.remove(name)
        try:
            rows = list(csv.reader(line for _, line in zip(range(10_000), package.lines(name), strict=False)))
        except (RecipeError, csv.Error) as error:
            results.faults += error.faults if isinstance(error, RecipeError) else [Fault(str(error), path=name)]
            continue
        if len(rows) < 2 or MEASURED not in rows[0]:
            results.faults.append(Fault(f"expected codecarbon's CSV with the column {MEASURED}", path=name))
        elif len(rows) > 2:
            what = f"{len(rows) - 1} measurements: correct only for a training that was resumed"
            hint = "codecarbon appends when a run is repeated: one file a run"
            results.warnings.append(Fault(what, hint, name))


def _expected_file(name: str, rest: set[str], results: Results, optional: bool = False) -> str | None:
    """Take the file `name` out of `rest`, or else a file with the same ending, which was probably meant."""
    if name in rest:
        rest.remove(name)
        return name
    ending = "." + name.rpartition("/")[2].partition(".")[2]
    meant = min((other for other in rest if other.endswith(ending) and other.count("/") == name.count("/")), default="")
    if meant:
        rest.remove(meant)
        results.faults.append(Fault(f"expected the file to be called {name}", "rename it, and check its label", meant))
    elif not optional:
        results.faults.append(Fault("is missing", path=name))
    return meant or None


def _operating_points(label: str, rest: set[str], profile: Profile, results: Results) -> dict[float, str]:
    """Take the operating points' files out of `rest`, from the folder with most of them; return them by threshold."""
    pattern = PurePosixPath(profile.package.operating_points).name
    expected = {
        fill(pattern, {"threshold": f"{threshold:.2f}"}): threshold
        for threshold in thresholds_of(profile.rules.operating_points)
    }
    folders: dict[str, dict[str, str]] = {}
    for name in rest:
        parts = PurePosixPath(name)
        if len(parts.parts) == 3:
            folders.setdefault(str(parts.parent), {})[parts.name] = name
    folder = max(sorted(folders), key=lambda folder: len(folders[folder].keys() & expected.keys()), default="")
    files = folders.get(folder, {})
    if not files.keys() & expected.keys():
        if "operating_points" not in profile.package.optional:
            what = f"no folder with the {len(expected)} operating points {min(expected)} ... {max(expected)}"
            results.faults.append(Fault(what, path=f"{label}/"))
        return {}
    for file in sorted(expected.keys() - files.keys()):
        results.faults.append(Fault("this operating point is missing", path=f"{folder}/{file}"))
    found = {threshold: files[file] for file, threshold in expected.items() if file in files}
    rest -= set(found.values())
    return found
