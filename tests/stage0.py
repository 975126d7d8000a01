"""Change the tiny corpus, run stage 0 on it, and read the outcome."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from tests.tiny import SETTINGS, VALIDATION


@dataclass(frozen=True)
class Outcome:
    """The outcome of stage 0."""

    code: int
    out: str
    err: list[str]  # lines, without the progress bar

    @property
    def errors(self) -> list[str]:
        return [line.removeprefix("error: ") for line in self.err if line.startswith("error: ")]

    @property
    def warnings(self) -> list[str]:
        return [line.removeprefix("warning: ") for line in self.err if line.startswith("warning: ")]


def options(root: Path, *settings: str, tag: str = "t") -> list[str]:
    chosen = [f"--set={setting}" for setting in (*SETTINGS, *settings)]
    return ["--data", "desed", "--data_root", str(root), "--tag", tag, *chosen]


def row(text: str | bytes, path: str = VALIDATION) -> Callable[[Path], object]:
    """Return a function that appends a row to a table of a corpus."""
    content = text if isinstance(text, bytes) else text.encode()
    return lambda root: (root / path).write_bytes((root / path).read_bytes() + content + b"\n")


def instead(make: Callable[[Path], object], path: str) -> Callable[[Path], object]:
    """Return a function that replaces a file of a corpus by what `make` makes."""
    return lambda root: ((root / path).unlink(), make(root / path))


def holding(content: bytes, path: str) -> Callable[[Path], object]:
    return lambda root: (root / path).write_bytes(content)


def refused(root: Path, outcome: Outcome, words: str) -> None:
    """Assert that stage 0 failed with one line that names the place and what to do, and left nothing half-written."""
    assert outcome.code == 1
    (error,) = outcome.errors
    assert error.startswith(f"{root}/{words}")
    assert "; " in error  # the hint
    assert not any(path.name.startswith(".") for path in root.glob("features/**/*"))
