"""Folders of operating points: a TSV of events for each threshold (predictions_th_0.01.tsv ...), as in DCASE 2022."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from recipe_mtlvae.corpus.metadata import read_metadata
from recipe_mtlvae.corpus.names import stem_of
from recipe_mtlvae.errors import Fault, RecipeError, fail
from recipe_mtlvae.labels import Event
from recipe_mtlvae.scoring.scores import ClipScores, ScoreFolder


@dataclass(frozen=True)
class OperatingPoints:
    """The events that a system detected at each threshold."""

    events: dict[float, dict[str, tuple[Event, ...]]]  # by threshold, ascending, then by clip id

    @property
    def labels(self) -> set[str]:
        return {event.label for clips in self.events.values() for events in clips.values() for event in events}

    def nearest(self, threshold: float) -> float:
        """Return the available threshold nearest to `threshold`; if two are equally near, the higher one."""
        return min(self.events, key=lambda point: (round(abs(point - threshold), 9), -point))


def read_operating_points(folder: Path) -> OperatingPoints:
    """Read all files named <...><threshold>.tsv.

    The columns filename, onset, offset and event_label are found by name, in any order. Raises RecipeError with the
    faults of all files.
    """
    if not folder.is_dir():
        raise fail("no such folder of operating points", path=folder)
    files = sorted(path for path in folder.glob("*.tsv") if not path.name.startswith("."))
    if not files:
        raise fail("no operating points in this folder: expected predictions_th_<threshold>.tsv", path=folder)
    points: dict[float, dict[str, tuple[Event, ...]]] = {}
    faults: list[Fault] = []
    for file in files:
        threshold = _threshold(file)
        if threshold is None or threshold in points:
            faults.append(Fault("expected a name that ends in a threshold of its own, as in th_0.01.tsv", path=file))
            continue
        try:
            metadata = read_metadata(file, "strong", None)
        except RecipeError as error:
            faults += error.faults
            continue
        faults += metadata.faults
        points[threshold] = {stem_of(name): events for name, events in metadata.events.items()}
    if faults:
        raise RecipeError(*faults)
    return OperatingPoints(dict(sorted(points.items())))


def _threshold(file: Path) -> float | None:
    """Return the number at the end of the file's name, such as 0.5 or 5e-05; None if there is none."""
    number = re.search(r"\d*\.?\d+(e[-+]?\d+)?$", file.stem, re.IGNORECASE)
    threshold = float(number[0]) if number else math.inf
    return threshold if math.isfinite(threshold) else None


def step_scores(points: OperatingPoints, classes: Sequence[str], durations: Mapping[str, float]) -> ScoreFolder:
    """Return scores that give these operating points, for the clips of `durations` (seconds).

    At each time, the score of a class is the highest threshold at which it was detected. It is -inf if there is none,
    as in the whole of a clip that no file names. A window ends wherever an event begins or ends.
    """
    column = {label: i for i, label in enumerate(classes)}
    rows: dict[str, list[tuple[float, float, float, int]]] = {clip: [] for clip in durations}
    for threshold, clips in points.events.items():
        for clip in clips.keys() & rows.keys():
            rows[clip] += [(event.onset, event.offset, threshold, column[event.label]) for event in clips[clip]]
    return ScoreFolder(tuple(classes), {clip: _steps(rows[clip], durations[clip], len(classes)) for clip in rows})


def _steps(rows: Sequence[tuple[float, float, float, int]], duration: float, classes: int) -> ClipScores:
    onsets, offsets = np.array([row[:2] for row in rows], dtype=np.float64).reshape(-1, 2).T
    edges = np.unique(np.concatenate([[0.0, duration], onsets, offsets]))
    scores = np.full((len(edges) - 1, classes), -np.inf)
    first, last = np.searchsorted(edges, onsets).tolist(), np.searchsorted(edges, offsets).tolist()
    for start, end, (_, _, threshold, label) in zip(first, last, rows, strict=True):
        scores[start:end, label] = threshold  # thresholds ascend, so the highest is written last
    return ClipScores(edges, scores)
