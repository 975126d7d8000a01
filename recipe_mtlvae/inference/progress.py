"""How far the detection is: audio time done, and how many times faster than real time."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterable
from datetime import timedelta
from pathlib import Path
from types import TracebackType


class Bar:
    """A progress bar over recordings, by their sizes, since their lengths show only when they are opened.

    Nothing is shown where standard error is no terminal.
    """

    def __init__(self, recordings: Iterable[Path]) -> None:
        from tqdm import tqdm

        self._size = {path: path.stat().st_size if path.exists() else 0 for path in recordings}
        self._share = dict.fromkeys(self._size, 0.0)
        self._seconds = 0.0
        self._started = time.perf_counter()
        self._bar = tqdm(
            total=sum(self._size.values()),
            file=sys.stderr,
            disable=None,  # unless on a terminal
            leave=False,
            miniters=1,
            bar_format="{percentage:3.0f}% {bar} {desc}, {remaining} left",
            desc="starting",
        )

    def move(self, path: Path, seconds: float, duration: float) -> None:
        """`seconds` of `duration` are done of the recording."""
        share = seconds / duration
        moved = share - self._share[path]
        self._share[path] = share
        self._seconds += moved * duration
        done = timedelta(seconds=round(self._seconds))
        speed = self._seconds / (time.perf_counter() - self._started)
        self._bar.set_description_str(f"{done} of audio, {speed:.0f} times real time", refresh=False)
        self._bar.update(moved * self._size[path])

    def __enter__(self) -> Bar:
        return self

    def __exit__(self, kind: type | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._bar.close()
