"""Errors for people: what was expected, what came, where, and what to do about it."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

SHOWN_FAULTS = 50  # a terminal's worth; the rest is counted


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
        text = where + self.what + (f"; {self.hint}" if self.hint else "")
        return text.replace("\n", "\\n")  # one line each, whatever a hostile file name holds


class RecipeError(Exception):
    """The input or the data is at fault. Carries all the faults found, not only the first."""

    def __init__(self, *faults: Fault) -> None:
        super().__init__(*faults)
        self.faults = faults

    def __str__(self) -> str:
        shown = [str(fault) for fault in self.faults[:SHOWN_FAULTS]]
        left = len(self.faults) - len(shown)
        return "\n".join(shown + ([f"... and {left} more"] if left else []))


def fail(what: str, hint: str = "", path: Path | str | None = None, line: int | None = None) -> RecipeError:
    """A RecipeError of one fault, to be raised by the caller."""
    return RecipeError(Fault(what, hint, path, line))


def exit_code_of(main: Callable[[], None]) -> int:
    """Run `main`; 0 when it returns, 1 with a clear line on standard error when the input is at fault."""
    try:
        main()
    except RecipeError as error:
        for line in str(error).splitlines():
            print(f"error: {line}", file=sys.stderr)
        return 1
    except BrokenPipeError:  # the reader of our output went away (`... | head`)
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except OSError as error:  # a full disk, a folder that cannot be written
        print(f"error: {error.filename or 'input/output'}: {error.strerror or error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("error: interrupted; run the same command again to go on", file=sys.stderr)
        return 1
    return 0
