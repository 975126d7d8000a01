"""How far the work on an archive is."""

from __future__ import annotations

import sys
import time
from types import TracebackType

from recipe_mtlvae.inference.archive import Tally


class ArchiveBar:
    """Recordings, hours of audio, speed, faults and time left, on a terminal."""

    def __init__(self, recordings: int) -> None:
        from tqdm import tqdm

        self.seconds, self.faults, self.started = 0.0, 0, time.perf_counter()
        self._bar = tqdm(
            total=recordings,
            file=sys.stderr,
            disable=None,  # unless on a terminal
            leave=False,
            bar_format="{percentage:3.0f}% {bar} {n_fmt} of {total_fmt} recordings{desc}, {remaining} left",
        )

    def move(self, tally: Tally) -> None:
        """A chunk is done."""
        self.seconds += tally.seconds
        self.faults += tally.faults
        speed = self.seconds / (time.perf_counter() - self.started)
        text = f", {self.seconds / 3600:.1f} h of audio, {speed:.0f} times real time, {self.faults} faults"
        self._bar.set_description_str(text, refresh=False)
        self._bar.update(tally.recordings)

    def __enter__(self) -> ArchiveBar:
        return self

    def __exit__(self, kind: type | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._bar.close()
