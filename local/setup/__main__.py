"""The three commands that local/setup.sh runs with the environment's own Python:

python -m local.setup check   SET...    exit code 0: everything is installed; 3: something must be installed
python -m local.setup lacks   SET...    prints the apt packages that are needed to build what is missing
python -m local.setup install SET...    installs what is missing

A SET is `recipe` (requirements.txt, which points to pyproject.toml) or `tests` (tests/requirements.txt). An environment
that set-up made gets the tested versions of local/constraints.txt. In any other environment, only missing packages are
added, and packages in unsuitable versions are reported.
"""

from __future__ import annotations

import hashlib
import sys
from pathlib import Path

WORK_TO_DO = 3

try:
    from local.setup import build_tools
    from local.setup.packages import (
        CONSTRAINTS,
        PYPROJECT,
        SETS,
        STATE,
        Need,
        added,
        conflicts,
        installed,
        read_needs,
        remember_added,
        to_install,
        writable,
    )
    from local.setup.pip import finish_interrupted, install_needs, install_torch, repair_torchaudio, say
except ImportError:  # there is not even pip
    sys.exit(WORK_TO_DO)


def check(names: list[str]) -> int:
    """Return 0 if all that this machine can build is installed, after reporting what does not fit; otherwise 3."""
    needs = _needs(names)
    wanted = [need.name for need in to_install(needs)]
    off = build_tools.lacking(wanted)
    stamped = all(_stamp(name).exists() and _stamp(name).read_text() == _fingerprint(name) for name in names)
    if set(wanted) - set(off) or not (stamped or not writable()):  # a read-only environment stays as it is
        return WORK_TO_DO
    _say_notes(needs, off)
    return 0


def lacks(names: list[str]) -> int:
    """Print the apt packages that are needed to build what is missing."""
    off = build_tools.lacking([need.name for need in to_install(_needs(names))])
    print(build_tools.packages([thing for things in off.values() for thing in things], "apt"))
    return 0


def install(names: list[str]) -> int:
    """Install what is missing of these sets. Return 1 if pip could not; its own message then stands above ours."""
    needs = _needs(names)
    wanted = to_install(needs)
    if wanted and not writable():
        say(f"{sys.prefix} cannot be written to and lacks {', '.join(need.spec for need in wanted)}")
        return 1
    for name in names:
        _stamp(name).unlink(missing_ok=True)
    remember_added([need.name for need in wanted])
    if wanted:
        say(f"installing into {sys.prefix} (some minutes the first time)")
    off = build_tools.lacking([need.name for need in wanted])
    # Everything set-up has added goes through pip again, to add dependencies that an interrupted run left out
    own = [need for need in needs if need in wanted or (need.name in added() and need.accepts(installed(need.name)))]
    rest = [need for need in own if need.name not in {"torchaudio", *off}]
    plain = [need for need in rest if need.name not in build_tools.NEEDED]
    if not (finish_interrupted() and install_torch(wanted) and install_needs(plain)):
        say("pip could not install everything (see above); check network and disk, then run the same again")
        return 1
    for need in rest:
        if need not in plain and not install_needs([need]):
            without = build_tools.OFF_WITHOUT[need.name]
            say(f"off: {without}: {need.name} could not be built (see above); all else works")
    if "tests" in names:
        repair_torchaudio()
    for name in names:
        _stamp(name).write_text(_fingerprint(name))
    _say_notes(needs, off)
    return 0


def _needs(names: list[str]) -> list[Need]:
    return list({need.name: need for name in names for need in read_needs(SETS[name])}.values())


def _say_notes(needs: list[Need], off: dict[str, list[str]]) -> None:
    misfits = conflicts(needs)
    for line in misfits:
        say(line)
    if misfits:
        say(f"where that fails, deactivate {sys.prefix} and run again: the recipe then makes an environment of its own")
    if off:
        say(build_tools.off_line(off))


def _stamp(name: str) -> Path:
    return STATE / f"{name}.stamp"


def _fingerprint(name: str) -> str:
    files = [SETS[name], PYPROJECT, CONSTRAINTS, *sorted(Path(__file__).parent.glob("*.py"))]
    return hashlib.sha256("\0".join([sys.version, *(file.read_text() for file in files)]).encode()).hexdigest()


if __name__ == "__main__":
    sys.exit({"check": check, "lacks": lacks, "install": install}[sys.argv[1]](sys.argv[2:]))
