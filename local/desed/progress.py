"""Progress of a long step: a bar on a terminal, elsewhere a line now and then."""

from __future__ import annotations

import sys
import time
from types import TracebackType

from tqdm import tqdm

from recipe_mtlvae.errors import printable

LINE_SECONDS = 30.0  # between two lines, where there is no terminal


class Progress:
    """Counts bytes ("B") or clips up to `total`; to be used by one thread."""

    def __init__(self, name: str, total: int, unit: str, done: int = 0) -> None:
        self.name, self.total, self.unit, self.done = printable(name), total, unit, done
        self._told = time.monotonic()
        size = {"unit": "B", "unit_scale": True, "unit_divisor": 1000} if unit == "B" else {"unit": f" {unit}"}
        self._bar = tqdm(desc=self.name, total=total, initial=done, disable=not sys.stderr.isatty(), **size)

    def __enter__(self) -> Progress:
        return self

    def __exit__(self, kind: type | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._bar.close()

    def advance(self, count: int) -> None:
        self.done += count
        self._bar.update(count)
        if self._bar.disable and time.monotonic() - self._told > LINE_SECONDS:
            self._told = time.monotonic()
            print(f"{self.name}: {self._shown(self.done)} of {self._shown(self.total)}", file=sys.stderr, flush=True)

    def _shown(self, count: int) -> str:
        return byte_text(count) if self.unit == "B" else f"{count:,} {self.unit}"


def byte_text(count: int) -> str:
    """Bytes for people: 3 digits and a unit."""
    return tqdm.format_sizeof(count, "B", 1000)
