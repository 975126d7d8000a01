"""Errors for users: what was expected, what came, where, and what to do about it."""

from __future__ import annotations

import os
import sys
import unicodedata
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from recipe_mtlvae import interrupts

# Modules that detection does not need: the extra of pyproject.toml that installs each
EXTRAS = {"matplotlib": "plot", "PIL": "plot", "sed_scores_eval": "score", "pandas": "score"}
EXTRAS |= {"ray": "archive", "pyarrow": "archive"}
EXTRAS |= {"pytorch_lightning": "recipe", "desed": "recipe", "codecarbon": "recipe"}
SHOWN_FAULTS = 50  # as many as a terminal shows; the others are counted


@dataclass(frozen=True)
class Fault:
    """One thing that is wrong with the input. Prints as `path:line: what; hint`."""

    what: str  # what was expected and what came
    hint: str = ""  # what to do about it
    path: Path | str | None = None
    line: int | None = None  # counted from 1

    def __str__(self) -> str:
        where = "" if self.path is None else f"{self.path}: "
        if self.path is not None and self.line is not None:
            where = f"{self.path}:{self.line}: "
        return printable(where + self.what + (f"; {self.hint}" if self.hint else ""))


class RecipeError(Exception):
    """Raised if the user's input or data is at fault. Holds all faults found, not only the first."""

    def __init__(self, *faults: Fault) -> None:
        super().__init__(*faults)
        self.faults = faults

    def __str__(self) -> str:
        return "\n".join(fault_lines(self.faults))


def printable(text: str) -> str:
    """Return `text` on one line, with unprintable characters escaped: labels and file names may come from anybody."""
    if text.isprintable():
        return text
    return "".join(
        char if char.isprintable() or unicodedata.category(char) == "Zs" else char.encode("unicode_escape").decode()
        for char in text
    )


def fault_lines(faults: Sequence[Fault]) -> list[str]:
    """Return one line per fault, at most SHOWN_FAULTS, and then the number of the others."""
    left = len(faults) - SHOWN_FAULTS
    return [*map(str, faults[:SHOWN_FAULTS]), *([f"... and {left} more"] if left > 0 else [])]


def warn(text: str, kind: str = "warning") -> None:
    """Print a line on standard error."""
    print(f"{kind}: {printable(text)}", file=sys.stderr)


def fail(what: str, hint: str = "", path: Path | str | None = None, line: int | None = None) -> RecipeError:
    """Return a RecipeError with one fault, for the caller to raise."""
    return RecipeError(Fault(what, hint, path, line))


def reason_of(error: Exception) -> str:
    """Return what is wrong without the path, for pages, which may be published."""
    if isinstance(error, RecipeError):
        return str(replace(error.faults[0], path=None))
    return (error.strerror if isinstance(error, OSError) else None) or str(error)


def exit_code_of(main: Callable[[], None]) -> int:
    """Run `main` and return 0. Print an error and return 1 if the input or the system is at fault, or on a signal.

    Other errors are raised.
    """
    try:
        with interrupts.raised():
            main()
            sys.stdout.flush()
    except BaseException as error:
        if isinstance(error, KeyboardInterrupt) or interrupts.came():
            interrupts.say()
        elif not _say(error):
            raise
        return 1
    return 0


def _say(error: BaseException) -> bool:
    """Print an error that is the input's or the system's fault. Returns False for any other error."""
    if isinstance(error, RecipeError):
        for line in fault_lines(error.faults):
            warn(line, "error")
    elif interrupts.lacks_memory(error):
        interrupts.say_memory(error)
    elif isinstance(error, OSError):  # a full disk, a folder that cannot be written
        if not isinstance(error, BrokenPipeError):  # the reader of our output went away (`... | head`)
            # Without a name it is standard output, since atomic_write names its files
            warn(f"{error.filename or 'standard output'}: {error.strerror or error}", "error")
        if error.filename is None:  # the rest of its buffer would fail again at exit
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    elif isinstance(error, ModuleNotFoundError) and (extra := EXTRAS.get(str(error.name).partition(".")[0])):
        warn(f"this needs the package {error.name}; install recipe_mtlvae with its extra [{extra}]", "error")
    else:
        return False
    return True
