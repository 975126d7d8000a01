"""Which packages the recipe wants, which of them this Python has, and what pip must keep to."""

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
except ImportError:  # a new environment: pip carries it
    from pip._vendor.packaging.requirements import InvalidRequirement, Requirement

PROJECT = Path(__file__).resolve().parent.parent.parent
SETS = {"recipe": PROJECT / "requirements.txt", "tests": PROJECT / "tests" / "requirements.txt"}
PYPROJECT = PROJECT / "pyproject.toml"
CONSTRAINTS = PROJECT / "local" / "constraints.txt"
STATE = Path(sys.prefix) / ".recipe_mtlvae"  # what set-up remembers of an environment, inside it

TORCH = ("torch", "torchaudio")
PIPS_OWN = ("pip", "wheel", "setuptools")


@dataclass(frozen=True)
class Need:
    """One line of a requirements file."""

    requirement: Requirement
    reason: str  # its comment

    @property
    def name(self) -> str:
        return self.requirement.name

    @property
    def spec(self) -> str:
        return f"{self.requirement.name}{self.requirement.specifier}"

    def accepts(self, version: str | None) -> bool:
        return version is not None and self.requirement.specifier.contains(version, prereleases=True)


def read_needs(file: Path) -> list[Need]:
    """The lines of a requirements or constraints file that apply to this Python; `-e .[EXTRA]` stands for many."""
    needs: list[Need] = []
    for line in file.read_text(encoding="utf-8").splitlines():
        text, _, comment = line.partition("#")
        if text.startswith("-e ."):
            needs += _of_project(Requirement(f"recipe_mtlvae{text.removeprefix('-e .').strip()}"))
        elif text.strip():
            needs.append(Need(Requirement(text.strip()), comment.strip()))
    return [need for need in needs if need.requirement.marker is None or need.requirement.marker.evaluate()]


def _of_project(project: Requirement) -> list[Need]:
    """The dependencies of pyproject.toml with these extras, each with the comment behind it."""
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
    """The version of a package that this Python finds, None without it."""
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return None


def made_here() -> bool:
    """Whether set-up made this environment; in any other, nothing that is there is changed."""
    return (STATE / "made-here").exists()


def writable() -> bool:
    return os.access(sysconfig.get_path("purelib"), os.W_OK)


def to_install(needs: list[Need]) -> list[Need]:
    """What is missing; in an environment of ours also what differs from the tested set (a torch in range is kept)."""
    if not made_here():
        return [need for need in needs if installed(need.name) is None]
    pins = {pin.name: pin for pin in read_needs(CONSTRAINTS) if pin.name not in TORCH}
    return [need for need in needs if not pins.get(need.name, need).accepts(installed(need.name))]


def remember_added(names: list[str]) -> None:
    """Note what set-up is about to add, so that it knows its own after an interruption."""
    STATE.mkdir(exist_ok=True)
    (STATE / "added").write_text("\n".join(sorted({*names, *added()})))


def added() -> set[str]:
    """The packages that set-up brought into this environment."""
    file = STATE / "added"
    return set(file.read_text().split()) if file.exists() else set()


def conflicts(needs: list[Need]) -> list[str]:
    """What is there in a version that the recipe is not made for; [] in an environment of ours."""
    found = []
    for need in [] if made_here() else needs:
        version = installed(need.name)
        if version is not None and not need.accepts(version):
            found.append(f"{need.name} {version} is left as it is, but the recipe wants {need.spec} ({need.reason})")
    return found


def limits(tested: bool) -> list[str]:
    """Constraints for pip: what must stay as it is, then the tested versions of the rest, or only the ranges."""
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
    # torch needs a newer setuptools than many environments begin with; a too new one is not ours to take back
    return name not in PIPS_OWN or not fits


def _key(name: str) -> str:
    return name.lower().replace("_", "-").replace(".", "-")


def _valid(line: str) -> bool:
    try:
        return bool(Requirement(line))
    except InvalidRequirement:  # some packages of the system carry versions that pip does not read
        return False
