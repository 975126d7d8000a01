"""The registry of benchmarks.

The module of an item has `lines(quick: bool) -> Iterable[Line]`; `quick` means few rounds and less work.
"""

from __future__ import annotations

import importlib
from collections.abc import Iterable
from dataclasses import dataclass

from tests.benchmarks.timing import Line


@dataclass(frozen=True)
class Item:
    """A benchmark. Its module is imported only when it is measured, so that a missing package affects one item only."""

    module: str
    what: str
    by_default: bool = True  # False: long; measured only when it is named

    def lines(self, quick: bool) -> Iterable[Line]:
        return importlib.import_module(f"tests.benchmarks.{self.module}").lines(quick)


ITEMS = {
    "step": Item("training", "a training step, and its share of the FLOP/s of a matrix product"),
    "epoch": Item("epoch", "whole epochs of stage 1, against their steps alone"),
    "processes": Item("processes", "training in two processes, against one"),
    "extraction": Item("extraction", "from an audio file to a row of the feature store"),
    "detection": Item("detection", "from audio files to scores and events, speed and memory"),
    "scoring": Item("scoring", "post-processing, all metrics, bootstrap"),
    "archive": Item("archive", "an archive by one worker and by two, killed and made up", by_default=False),
    "start": Item("start", "the command line's start"),
    "growth": Item("growth", "time a clip and memory from 300 to 30,000 clips; 5 GB of disk", by_default=False),
}
