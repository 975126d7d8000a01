"""Which packages the recipe needs, which of them are installed, and the constraints for pip."""

from __future__ import annotations

import importlib.metadata
import os
import re
import sys
import sysconfig
import tomllib
from dataclasses import dataclass
from pathlib import Path

try:
    from packaging.requirements import InvalidRequirement, Requirement
except ImportError:  # a new environment has only pip's own copy
    from pip._vendor.packaging.requirements import InvalidRequirement, Requirement

PROJECT = Path(__file__).resolve().parent.parent.parent
SETS = {"recipe": PROJECT / "requirements.txt", "tests": PROJECT / "tests" / "requirements.txt"}
PYPROJECT = PROJECT / "pyproject.toml"
CONSTRAINTS = PROJECT / "local" / "constraints.txt"
STATE = Path(sys.prefix) / ".recipe_mtlvae"  # set-up's notes about an environment, inside it

TORCH = ("torch", "torchaudio")
PIPS_OWN = ("pip", "wheel", "setuptools")


@dataclass(frozen=True)
class Need:
    """One line of a requirements file."""

    requirement: Requirement
    reason: str  # the comment on that line

    @property
    def name(self) -> str:
        return self.requirement.name

    @property
    def spec(self) -> str:
        return f"{self.requirement.name}{self.requirement.specifier}"

    def accepts(self, version: str | None) -> bool:
        return version is not None and self.requirement.specifier.contains(version, prereleases=True)


def read_needs(file: Path) -> list[Need]:
    """Return the lines of a requirements or constraints file that apply to this Python, with `-e .[EXTRA]` expanded."""
    needs: list[Need] = []
    for line in file.read_text(encoding="utf-8").splitlines():
        text, _, comment = line.partition("#")
        if text.startswith("-e ."):
            needs += _of_project(Requirement(f"recipe_mtlvae{text.removeprefix('-e .').strip()}"))
        elif text.strip():
            needs.append(Need(Requirement(text.strip()), comment.strip()))
    return [need for need in needs if need.requirement.marker is None or need.requirement.marker.evaluate()]


def _of_project(project: Requirement) -> list[Need]:
    """Return the dependencies of pyproject.toml with these extras; the reason of each is the comment on its line."""
    text = PYPROJECT.read_text(encoding="utf-8")
    content = tomllib.loads(text)["project"]
    reasons = dict(re.findall(r'^ +"(.+?)", +# (.*)$', text, re.MULTILINE))
    needs = []
    for specs in (content["dependencies"], *(content["optional-dependencies"][extra] for extra in project.extras)):
        for spec in specs:
            requirement = Requirement(spec)
            own = requirement.name == content["name"]
            needs += _of_project(requirement) if own else [Need(requirement, reasons.get(spec, ""))]
    return list({need.name: need for need in needs}.values())


def installed(name: str) -> str | None:
    """Return the installed version of a package; None if it is not installed."""
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return None


def made_here() -> bool:
    """Whether set-up made this environment. In any other, installed packages are never changed."""
    return (STATE / "made-here").exists()


def writable() -> bool:
    return os.access(sysconfig.get_path("purelib"), os.W_OK)


def to_install(needs: list[Need]) -> list[Need]:
    """Return what is missing; in an environment that set-up made, also what is not as tested (a torch in range is)."""
    if not made_here():
        return [need for need in needs if installed(need.name) is None]
    pins = {pin.name: pin for pin in read_needs(CONSTRAINTS) if pin.name not in TORCH}
    return [need for need in needs if not pins.get(need.name, need).accepts(installed(need.name))]


def remember_added(names: list[str]) -> None:
    """Record what set-up is about to add, so that these packages are known as its own after an interruption."""
    STATE.mkdir(exist_ok=True)
    (STATE / "added").write_text("\n".join(sorted({*names, *added()})))


def added() -> set[str]:
    """Return the packages that set-up has added to this environment."""
    file = STATE / "added"
    return set(file.read_text().split()) if file.exists() else set()


def conflicts(needs: list[Need]) -> list[str]:
    """Report each installed package outside the recipe's range; none in an environment that set-up made."""
    found = []
    for need in [] if made_here() else needs:
        version = installed(need.name)
        if version is not None and not need.accepts(version):
            found.append(f"{need.name} {version} is left as it is, but the recipe wants {need.spec} ({need.reason})")
    return found


def limits(tested: bool) -> list[str]:
    """Return constraints for pip: the installed versions that must stay, then versions of all other packages.

    tested: these are the tested versions; otherwise only the ranges.
    """
    needs = [need for file in SETS.values() for need in read_needs(file)]
    wanted = {_key(need.name): need for need in needs}
    if tested:
        wanted |= {_key(pin.name): pin for pin in read_needs(CONSTRAINTS)}
    kept = {}
    for found in importlib.metadata.distributions():
        name = _key(found.metadata["Name"] or "")
        if name and name not in kept and _stays(name, found.version, needs):
            kept[name] = f"{name}=={found.version}"
    return [*filter(_valid, kept.values()), *(need.spec for name, need in wanted.items() if name not in kept)]


def _stays(name: str, version: str, needs: list[Need]) -> bool:
    fits = all(need.accepts(version) for need in needs if _key(need.name) == name)
    if made_here():
        return name in TORCH and fits
    # Of pip's own packages, only one out of range (too new) stays; torch needs a newer setuptools than many have
    return name not in PIPS_OWN or not fits


def _key(name: str) -> str:
    return name.lower().replace("_", "-").replace(".", "-")


def _valid(line: str) -> bool:
    try:
        return bool(Requirement(line))
    except InvalidRequirement:  # some system packages have versions that pip cannot parse
        return False
