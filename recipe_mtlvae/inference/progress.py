"""Progress of detection on a terminal: the audio time done, and how many times faster than real time it goes."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterable
from datetime import timedelta
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING

if TYPE_CHECKING:  # torch
    from recipe_mtlvae.inference.archive.scanner import ChunkCounts


class _Bar:
    """A progress bar, shown only if standard error is a terminal."""

    def __init__(self, total: int, text: str) -> None:
        from tqdm import tqdm

        self._seconds, self._started = 0.0, time.perf_counter()  # seconds of audio done
        look = {"bar_format": f"{{percentage:3.0f}}% {{bar}} {text}, {{remaining}} left", "leave": False, "miniters": 1}
        self._bar = tqdm(total=total, file=sys.stderr, disable=None, **look)  # None: disabled unless on a terminal

    def _move(self, done: float, text: str) -> None:
        self._bar.set_description_str(text, refresh=False)
        self._bar.update(done)

    @property
    def _speed(self) -> str:
        return f"{self._seconds / (time.perf_counter() - self._started):.0f} times real time"

    def __enter__(self) -> _Bar:
        return self

    def __exit__(self, kind: type | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._bar.close()


class DetectionBar(_Bar):
    """Progress over recordings, weighted by file size, since durations are known only once files are opened."""

    def __init__(self, recordings: Iterable[Path]) -> None:
        self._size = {path: path.stat().st_size if path.exists() else 0 for path in recordings}
        self._share = dict.fromkeys(self._size, 0.0)
        super().__init__(sum(self._size.values()), "{desc}")
        self._bar.set_description_str("starting", refresh=False)

    def move(self, path: Path, seconds: float, duration: float) -> None:
        """Show that `seconds` of the recording's `duration` are done."""
        moved = seconds / duration - self._share[path]
        self._share[path] += moved
        self._seconds += moved * duration
        self._move(moved * self._size[path], f"{timedelta(seconds=round(self._seconds))} of audio, {self._speed}")


class ArchiveBar(_Bar):
    """Progress over an archive: recordings, hours of audio, speed and faults."""

    def __init__(self, recordings: int) -> None:
        self._faults = 0
        super().__init__(recordings, "{n_fmt} of {total_fmt} recordings{desc}")

    def move(self, counts: ChunkCounts) -> None:
        """Show that a chunk is done."""
        self._seconds += counts.seconds
        self._faults += counts.faults
        self._move(counts.recordings, f", {self._seconds / 3600:.1f} h of audio, {self._speed}, {self._faults} faults")
