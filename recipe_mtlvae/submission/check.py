"""All faults of a submission package."""

from __future__ import annotations

import csv
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

from recipe_mtlvae.errors import Fault, RecipeError
from recipe_mtlvae.submission.check_events import EventRules, check_nested, read_event_file
from recipe_mtlvae.submission.check_meta import Meta, check_meta
from recipe_mtlvae.submission.check_scores import CheckedFolder, check_scores, check_together, copies
from recipe_mtlvae.submission.counted import CountedFaults
from recipe_mtlvae.submission.package_files import Package, open_package
from recipe_mtlvae.submission.profile import Profile, fill, thresholds_of

SHOWN_LINES = 100  # of one sort; the others are counted
MEASURED = "energy_consumed"  # codecarbon's column of kWh


@dataclass(frozen=True)
class CheckReport:
    """What is wrong with a package. It is fit for submission where `faults` is empty and `rehearsal` is None."""

    labels: tuple[str, ...]  # its systems
    faults: tuple[Fault, ...]
    left: tuple[Fault, ...]  # of a rehearsal only: what is still to be filled in before one is submitted
    rehearsal: str | None  # why it is one
    warnings: tuple[Fault, ...] = ()
    unverified: str | None = None  # what to keep in mind of rules that nothing public confirms

    def lines(self, path: Path) -> list[str]:
        """For people: a line a fault, then what is left to do, then the verdict."""
        lines = _shown("warning", self.warnings) + _shown("error", self.faults)
        if self.faults:
            lines.append(f"{path}: {len(self.faults)} fault{'s' * (len(self.faults) != 1)}")
        elif self.rehearsal is None:
            lines.append(f"ok: {path} is fit for submission: {', '.join(self.labels)}")
        else:
            lines += _shown("before you submit", self.left)
            lines += [f"ok as a rehearsal: {path}: {', '.join(self.labels)}", self.rehearsal]
        return lines if self.unverified is None else [self.unverified, *lines]


def _shown(sort: str, faults: Sequence[Fault]) -> list[str]:
    more = [f"{sort}: ... and {len(faults) - SHOWN_LINES} more"] * (len(faults) > SHOWN_LINES)
    return [f"{sort}: {fault}" for fault in faults[:SHOWN_LINES]] + more


@dataclass
class _Results:
    faults: list[Fault] = field(default_factory=list)
    left: list[Fault] = field(default_factory=list)  # faults in a package that is to be submitted
    warnings: list[Fault] = field(default_factory=list)
    rehearsal: str | None = None


def check_package(path: Path, profile: Profile) -> CheckReport:
    """Check the package at `path`, a zip file or a folder, against the rules of `profile`.

    Faults lie in the package; RecipeError is raised only where `path` is no package at all.
    """
    results = _Results()
    with open_package(path) as package:
        results.faults += package.faults
        folders: dict[str, list[str]] = {folder: [] for folder in package.folders}
        for name in package.files:
            folder, slash, _ = name.partition("/")
            folders.setdefault(folder if slash else "", []).append(name)
        strange = CountedFaults(str(path), "folders")
        for folder in [folder for folder in folders if folder.startswith((".", "__"))]:
            del folders[folder]
            strange.add("no system", Fault("is not part of a package", "leave it out", f"{folder}/"))
        results.faults += strange.all()
        labels = sorted(folder for folder in folders if folder)
        _check_root(package, folders.get("", []), labels, profile, results)
        most = max(profile.rules.systems.refuse or 0, profile.rules.systems.warn or 0, 1)
        for label in labels[: 2 * most]:
            _check_system(package, label, folders[label], profile, results)
    unverified = None
    if not profile.verified:
        what = f"no public validator or package confirms these rules of {profile.challenge}"
        unverified = f"not verified: {what}: compare with the challenge's page"
    rest = (tuple(results.warnings), unverified)
    if results.rehearsal is None:
        return CheckReport(tuple(labels), (*results.faults, *results.left), (), None, *rest)
    return CheckReport(tuple(labels), tuple(results.faults), tuple(results.left), results.rehearsal, *rest)


def _check_root(package: Package, names: list[str], labels: list[str], profile: Profile, results: _Results) -> None:
    limit = profile.rules.systems
    if not labels:
        results.faults.append(Fault("holds no system's folder", f"expected {profile.package.label}/", package.path))
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
        results.left.append(Fault(what, "name yours as `report` in the submission profile", package.path))
    for name in reports[:100]:
        try:
            if not package.read(name, 5).startswith(b"%PDF"):
                results.faults.append(Fault("is not a PDF file", "export the report as PDF", name))
        except RecipeError as error:
            results.faults += error.faults


def _strange(place: str, names: set[str]) -> list[Fault]:
    strange = CountedFaults(place, "files")
    for name in sorted(names):
        strange.add("not part of a package", Fault("is not part of a package", "leave it out", name))
    return strange.all()


def _check_system(package: Package, label: str, names: list[str], profile: Profile, results: _Results) -> None:
    rules, patterns = profile.rules, profile.package
    if not re.fullmatch(rules.label, label):
        results.faults.append(Fault(f"expected a folder called {patterns.label}", "rename it", f"{label}/"))
    elif set(label.split("_")) & set(rules.placeholders):
        what = f"the label still has the example's {' and '.join(rules.placeholders)}"
        results.left.append(Fault(what, "fill in the authors of the submission profile", f"{label}/"))
    left = set(names)
    meta_name = _expected_file(fill(patterns.meta, {"label": label}), left, results)
    events_name = None
    if patterns.events is not None:
        events_name = _expected_file(
            fill(patterns.events, {"label": label}), left, results, optional="events" in patterns.optional
        )
    points = {} if patterns.operating_points is None else _operating_points(label, left, profile, results)
    folders = _score_folders(label, left, profile)
    energy = _energy_names(label, left, profile)
    results.faults += _strange(f"{label}/", left)
    meta = check_meta(package, meta_name, label, profile) if meta_name else Meta()
    results.faults += meta.faults
    results.left += meta.left
    results.warnings += meta.warnings
    results.rehearsal = results.rehearsal or meta.rehearsal
    # a rehearsal may be made on any corpus: its classes are those that it has results for
    classes = (meta.rehearsal and meta.classes) or rules.classes
    event_rules = EventRules(tuple(classes), patterns.columns, patterns.spare_columns, rules.filename)
    if events_name:
        results.faults += read_event_file(package, events_name, event_rules).faults
    lower = None
    for _, name in sorted(points.items()):
        file = read_event_file(package, name, event_rules)
        results.faults += file.faults
        if rules.nested and lower is not None:
            results.faults += check_nested(file, lower)
        lower = file
    _check_score_folders(package, folders, profile, meta.rehearsal is not None, results)
    _check_energy(package, energy, results)


def _score_folders(label: str, left: set[str], profile: Profile) -> dict[str, tuple[str, list[str]]]:
    """The files of the expected score folders by folder, each with its kind; taken out of the names that are `left`."""
    found = {}
    for kind in ("scores", "unprocessed"):
        pattern = getattr(profile.package, kind)
        for run in range(1, profile.package.runs + 1) if pattern is not None else ():
            folder = fill(pattern, {"label": label, "run": run})
            names = [name for name in left if name.startswith(folder + "/")]
            left.difference_update(names)
            found[folder] = (kind, sorted(names))
    return found


def _check_score_folders(
    package: Package,
    folders: Mapping[str, tuple[str, list[str]]],
    profile: Profile,
    rehearsal: bool,
    results: _Results,
) -> None:
    checked: dict[str, list[CheckedFolder]] = {}
    for folder, (kind, names) in folders.items():
        if not names:
            fault = Fault("this score folder is missing", path=f"{folder}/")
            (results.warnings if kind in profile.package.optional else results.left).append(fault)
            continue
        found = check_scores(package, folder, names, profile.rules.clips, profile.rules.classes, rehearsal)
        results.faults += found.faults
        results.left += found.left
        results.warnings += found.warnings
        checked.setdefault(kind, []).append(found)
    results.faults += check_together([folder for kind in checked.values() for folder in kind])
    for kind in checked.values():
        results.warnings += copies(kind)


def _energy_names(label: str, left: set[str], profile: Profile) -> dict[str, Fault | None]:
    """The expected CSVs of codecarbon, each with what to say where it is missing."""
    found: dict[str, Fault | None] = {}
    patterns = profile.package
    for run in range(1, patterns.runs + 1) if patterns.energy is not None else ():
        for phase in patterns.energy_phases:
            name = fill(patterns.energy, {"label": label, "run": run, "phase": phase})
            found[name] = None if name in left else Fault(f"codecarbon's record of {phase} is missing", path=name)
            left.discard(name)
    return found


def _check_energy(package: Package, names: Mapping[str, Fault | None], results: _Results) -> None:
    for name, missing in names.items():
        if missing is not None:
            results.warnings.append(missing)
            continue
        try:
            rows = list(csv.reader(line for _, line in zip(range(10_000), package.lines(name), strict=False)))
        except (RecipeError, csv.Error) as error:
            results.faults += error.faults if isinstance(error, RecipeError) else [Fault(str(error), path=name)]
            continue
        if len(rows) < 2 or MEASURED not in rows[0]:
            results.faults.append(Fault(f"expected codecarbon's CSV with the column {MEASURED}", path=name))
        elif len(rows) > 2:
            what = f"{len(rows) - 1} measurements: right for a training that was continued"
            hint = "codecarbon appends when a run is repeated: one file a run"
            results.warnings.append(Fault(what, hint, name))


def _expected_file(name: str, left: set[str], results: _Results, optional: bool = False) -> str | None:
    """The file `name`, or the one that was meant; taken out of the names that are `left`."""
    if name in left:
        left.remove(name)
        return name
    ending = "." + name.rpartition("/")[2].partition(".")[2]
    meant = sorted(other for other in left if other.endswith(ending) and other.count("/") == name.count("/"))
    if not meant:
        if not optional:
            results.faults.append(Fault("is missing", path=name))
        return None
    left.remove(meant[0])
    results.faults.append(Fault(f"expected the file to be called {name}", "rename it, and check its label", meant[0]))
    return meant[0]


def _operating_points(label: str, left: set[str], profile: Profile, results: _Results) -> dict[float, str]:
    """The operating points' files by threshold, from the one folder that holds them."""
    pattern = PurePosixPath(profile.package.operating_points).name
    expected = {
        fill(pattern, {"threshold": f"{threshold:.2f}"}): threshold
        for threshold in thresholds_of(profile.rules.operating_points)
    }
    folders: dict[str, dict[str, str]] = {}
    for name in left:
        parts = PurePosixPath(name)
        if len(parts.parts) == 3:
            folders.setdefault(str(parts.parent), {})[parts.name] = name
    folder = max(sorted(folders), key=lambda folder: len(folders[folder].keys() & expected.keys()), default=None)
    if folder is None or not folders[folder].keys() & expected.keys():
        if "operating_points" in profile.package.optional:
            return {}
        what = f"no folder with the {len(expected)} operating points {min(expected)} ... {max(expected)}"
        results.faults.append(Fault(what, path=f"{label}/"))
        return {}
    for file in sorted(expected.keys() - folders[folder].keys()):
        results.faults.append(Fault("this operating point is missing", path=f"{folder}/{file}"))
    found = {threshold: folders[folder][file] for file, threshold in expected.items() if file in folders[folder]}
    left -= set(found.values())
    return found
