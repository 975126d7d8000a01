"""What this machine lacks to build desed and sed_scores_eval, and which system packages provide it."""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

# The packages that pip builds from source: what each needs, and what does not work without it
NEEDED = {"desed": ("a C++ compiler", "Python.h", "sox.h"), "sed_scores_eval": ("a C++ compiler", "Python.h")}
OFF_WITHOUT = {
    "desed": "making soundscapes (--data mini, --soundbank)",
    "sed_scores_eval": "official scores (stages 3 to 5, python -m recipe_mtlvae score)",
}

_PYTHON = f"python{sys.version_info.major}.{sys.version_info.minor}"
BROUGHT_BY = {  # the packages of each package manager
    "a C++ compiler": {"apt": "g++", "dnf": "gcc-c++", "brew": "gcc", "conda": "cxx-compiler"},
    "Python.h": {"apt": f"{_PYTHON}-dev", "dnf": f"{_PYTHON}-devel", "brew": "python", "conda": "python"},
    "sox.h": {"apt": "libsox-dev sox libsox-fmt-all", "dnf": "sox-devel sox", "brew": "sox", "conda": "sox"},
}


def lacking(names: list[str], search: list[Path] | None = None) -> dict[str, list[str]]:
    """Return what is missing here to build those of `names` that are built from source; {} if all can be built.

    search: folders of headers; None: those where sox.h usually lies.
    """
    names = [name for name in names if name in NEEDED]
    if not names:
        return {}
    absent = []
    if not _compiler_works():
        absent.append("a C++ compiler")
    if not (Path(sysconfig.get_path("include")) / "Python.h").exists():
        absent.append("Python.h")
    if not any((folder / "sox.h").exists() for folder in (_header_folders() if search is None else search)):
        absent.append("sox.h")
    lacks = {name: [thing for thing in NEEDED[name] if thing in absent] for name in names}
    return {name: things for name, things in lacks.items() if things}


def packages(things: list[str], manager: str) -> str:
    """Return the packages of apt, dnf, brew or conda that provide these things."""
    return " ".join(dict.fromkeys(BROUGHT_BY[thing][manager] for thing in things))


def variables() -> dict[str, str]:
    """Return the environment variables of this process, with the folders of a sox that the compiler would not find."""
    result = dict(os.environ)
    for prefix in _prefixes():
        if (prefix / "include" / "sox.h").exists():
            for name, folder in (("CPATH", "include"), ("LIBRARY_PATH", "lib"), ("LD_RUN_PATH", "lib")):
                result[name] = os.pathsep.join(filter(None, (os.environ.get(name), str(prefix / folder))))
            break
    return result


def _prefixes() -> list[Path]:
    """Return the prefixes of conda, Homebrew and MacPorts."""
    return [Path(os.environ.get("CONDA_PREFIX") or sys.prefix), Path("/opt/homebrew"), Path("/opt/local")]


def _header_folders() -> list[Path]:
    named = [os.environ.get(name, "") for name in ("CPATH", "C_INCLUDE_PATH", "CPLUS_INCLUDE_PATH")]
    folders = [Path(folder) for value in named for folder in value.split(os.pathsep) if folder]
    return [*folders, Path("/usr/include"), Path("/usr/local/include"), *(prefix / "include" for prefix in _prefixes())]


def _compiler_works() -> bool:
    """Whether the commands that Python's builds call for C and C++ are there and find their own headers."""
    for variable, default, source in (("CC", "cc", "#include <stdio.h>"), ("CXX", "c++", "#include <vector>")):
        command = shlex.split(os.environ.get(variable) or sysconfig.get_config_var(variable) or default)
        language = "c++" if variable == "CXX" else "c"
        if shutil.which(command[0]) is None:
            return False
        result = subprocess.run([*command, "-x", language, "-E", "-"], input=source, text=True, capture_output=True)
        if result.returncode != 0:
            return False
    return True


def off_line(off: dict[str, list[str]]) -> str:
    """Return what `lacking` found as one line: what does not work, why, and which packages provide what is missing."""
    things = list(dict.fromkeys(thing for some in off.values() for thing in some))
    bring = " | ".join(f"{manager}: {packages(things, manager)}" for manager in ("apt", "dnf", "brew", "conda"))
    what = " and ".join(OFF_WITHOUT[name] for name in off)
    return f"off: {what}: {' and '.join(off)} cannot be built without {', '.join(things)} ({bring}); all else works"
