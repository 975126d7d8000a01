"""The three questions of local/setup.sh, asked with the environment's own Python:

python -m local.setup check   SET...    exit code 0: all is there; 3: something is to be installed
python -m local.setup lacks   SET...    prints the apt packages without which something cannot be built
python -m local.setup install SET...    installs

A SET is `recipe` (requirements.txt, which points to pyproject.toml) or `tests` (tests/requirements.txt). An environment
that set-up made gets the tested set of local/constraints.txt. In any other only what is missing is added, and what does
not fit is named.
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
except ImportError:  # not even pip is here
    sys.exit(WORK_TO_DO)


def check(names: list[str]) -> int:
    """Whether these sets are there, but for what this machine cannot build; says what does not fit and what is off."""
    needs = _needs(names)
    wanted = [need.name for need in to_install(needs)]
    off = build_tools.lacking(wanted)
    stamped = all(_stamp(name).exists() and _stamp(name).read_text() == _fingerprint(name) for name in names)
    if set(wanted) - set(off) or not (stamped or not writable()):  # one that cannot be written to has what it has
        return WORK_TO_DO
    _say_notes(needs, off)
    return 0


def lacks(names: list[str]) -> int:
    """Print the apt packages that building what is missing takes."""
    off = build_tools.lacking([need.name for need in to_install(_needs(names))])
    print(build_tools.packages([thing for things in off.values() for thing in things], "apt"))
    return 0


def install(names: list[str]) -> int:
    """Install what is missing of these sets. Exit code 1 where pip could not: its own words then stand above ours."""
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
    # All of set-up's own goes through pip again, which closes the gaps that an interrupted run left among dependencies
    own = [need for need in needs if need in wanted or (need.name in added() and need.accepts(installed(need.name)))]
    rest = [need for need in own if need.name not in {"torchaudio", *off}]
    plain = [need for need in rest if need.name not in build_tools.NEEDED]
    if not (finish_interrupted() and install_torch(wanted) and install_needs(plain)):
        say("pip could not install everything (see above); check network and disk, then run again to go on")
        return 1
    for need in rest:
        if need not in plain and not install_needs([need]):
            without = build_tools.OFF_WITHOUT[need.name]
            say(f"off: {without}: {need.name} could not be built (see above); the rest goes on")
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
