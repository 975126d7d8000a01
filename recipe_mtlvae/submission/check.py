"""All faults of a submission package."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

from recipe_mtlvae.errors import Fault, RecipeError
from recipe_mtlvae.submission.check_events import EventRules, check_nested, read_event_file
from recipe_mtlvae.submission.check_meta import Meta, check_meta
from recipe_mtlvae.submission.package_files import Package, open_package
from recipe_mtlvae.submission.profile import Profile, fill, thresholds_of


@dataclass(frozen=True)
class CheckReport:
    """What is wrong with a package. It is fit for submission where `faults` is empty and `rehearsal` is None."""

    labels: tuple[str, ...]  # its systems
    faults: tuple[Fault, ...]
    left: tuple[Fault, ...]  # of a rehearsal only: what is still to be filled in before one is submitted
    rehearsal: str | None  # why it is one

    def lines(self, path: Path) -> list[str]:
        """For people: a line a fault, then what is left to do, then the verdict."""
        lines = [f"error: {fault}" for fault in self.faults]
        if self.faults:
            return [*lines, f"{path}: {len(self.faults)} fault{'s' * (len(self.faults) != 1)}"]
        if self.rehearsal is None:
            return [f"ok: {path} is fit for submission: {', '.join(self.labels)}"]
        lines += [f"before you submit: {fault}" for fault in self.left]
        return [*lines, f"ok as a rehearsal: {path}: {', '.join(self.labels)}", self.rehearsal]


@dataclass
class _Results:
    faults: list[Fault] = field(default_factory=list)
    left: list[Fault] = field(default_factory=list)  # faults in a package that is to be submitted
    rehearsal: str | None = None


def check_package(path: Path, profile: Profile) -> CheckReport:
    """Check the package at `path`, a zip file or a folder, against the rules of `profile`.

    Faults lie in the package; RecipeError is raised only where `path` is no package at all.
    """
    results = _Results()
    with open_package(path) as package:
        results.faults += package.faults
        folders: dict[str, list[str]] = {}
        for name in package.files:
            folder, slash, _ = name.partition("/")
            folders.setdefault(folder if slash else "", []).append(name)
        for folder in [folder for folder in folders if folder.startswith((".", "__"))]:
            del folders[folder]
            results.faults.append(Fault("is not part of a package", "leave it out", f"{folder}/"))
        labels = sorted(folder for folder in folders if folder)
        _check_root(package, folders.get("", []), labels, profile, results)
        for label in labels:
            _check_system(package, label, folders[label], profile, results)
    if results.rehearsal is None:
        return CheckReport(tuple(labels), (*results.faults, *results.left), (), None)
    return CheckReport(tuple(labels), tuple(results.faults), tuple(results.left), results.rehearsal)


def _check_root(package: Package, names: list[str], labels: list[str], profile: Profile, results: _Results) -> None:
    rules = profile.rules
    if not labels:
        results.faults.append(Fault("holds no system's folder", f"expected {profile.package.label}/", package.path))
    if len(labels) > rules.systems:
        what = f"{len(labels)} systems, at most {rules.systems} are allowed: {', '.join(labels)}"
        results.faults.append(Fault(what, path=package.path))
    reports = [name for name in names if name.lower().endswith(".pdf")]
    for name in names:
        if name not in reports:
            results.faults.append(Fault("is not part of a package", "leave it out", name))
    if not reports:
        what = "no technical report: expected a PDF in the package's root"
        results.left.append(Fault(what, "name yours as `report` in the submission profile", package.path))
    for name in reports:
        try:
            if not package.read(name, 5).startswith(b"%PDF"):
                results.faults.append(Fault("is not a PDF file", "export the report as PDF", name))
        except RecipeError as error:
            results.faults += error.faults


def _check_system(package: Package, label: str, names: list[str], profile: Profile, results: _Results) -> None:
    rules, patterns = profile.rules, profile.package
    if not re.fullmatch(rules.label, label):
        results.faults.append(Fault(f"expected a folder called {patterns.label}", "rename it", f"{label}/"))
    elif set(label.split("_")) & set(rules.placeholders):
        what = f"the label still has the example's {' and '.join(rules.placeholders)}"
        results.left.append(Fault(what, "fill in the authors of the submission profile", f"{label}/"))
    left = set(names)
    meta_name = _expected_file(fill(patterns.meta, {"label": label}), left, results)
    output_name = _expected_file(fill(patterns.output, {"label": label}), left, results)
    points = _operating_points(label, left, profile, results)
    for name in sorted(left):
        results.faults.append(Fault("is not part of a package", "leave it out", name))
    meta = check_meta(package, meta_name, label, profile) if meta_name else Meta()
    results.faults += meta.faults
    results.left += meta.left
    results.rehearsal = results.rehearsal or meta.rehearsal
    # a rehearsal may be made on any corpus: its classes are those that it has results for
    classes = (meta.rehearsal and meta.classes) or rules.classes
    event_rules = EventRules(tuple(classes), patterns.columns, patterns.spare_columns, rules.filename)
    if output_name:
        results.faults += read_event_file(package, output_name, event_rules).faults
    lower = None
    for _, name in sorted(points.items()):
        file = read_event_file(package, name, event_rules)
        results.faults += file.faults
        if rules.nested and lower is not None:
            results.faults += check_nested(file, lower)
        lower = file


def _expected_file(name: str, left: set[str], results: _Results) -> str | None:
    """The file `name`, or the one that was meant; taken out of the names that are `left`."""
    if name in left:
        left.remove(name)
        return name
    ending = "." + name.rpartition("/")[2].partition(".")[2]
    meant = sorted(other for other in left if other.endswith(ending) and other.count("/") == name.count("/"))
    if not meant:
        results.faults.append(Fault("is missing", path=name))
        return None
    left.remove(meant[0])
    results.faults.append(Fault(f"expected the file to be called {name}", "rename it, and check its label", meant[0]))
    return meant[0]


def _operating_points(label: str, left: set[str], profile: Profile, results: _Results) -> dict[float, str]:
    """The operating points' files by threshold, from the one folder that holds them."""
    pattern = PurePosixPath(profile.package.operating_point).name
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
        what = f"no folder with the {len(expected)} operating points {min(expected)} ... {max(expected)}"
        results.faults.append(Fault(what, path=f"{label}/"))
        return {}
    for file in sorted(expected.keys() - folders[folder].keys()):
        results.faults.append(Fault("this operating point is missing", path=f"{folder}/{file}"))
    found = {threshold: folders[folder][file] for file, threshold in expected.items() if file in folders[folder]}
    left -= set(found.values())
    return found
