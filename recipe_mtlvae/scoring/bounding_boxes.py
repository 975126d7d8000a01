"""Change-detection sound event bounding boxes (Ebbers, Germain, Wichern and Le Roux, 2024).

A box is a class, an onset, an offset and one confidence, so that its extent does not move with the threshold. Written
from the public description, without the authors' code, which is AGPL. A patent application, US 2025/0378845 A1, covers
the method, so it is off by default.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

TOLERANCE = 1e-9  # differences below are none
LENGTHS = (0.384, 0.512, 0.64)  # s, of the change filter: what tuning tries
ABSOLUTE = (0.15, 0.2, 0.3)  # merge thresholds that it tries, as differences of scores
RELATIVE = (1.5, 2.0, 3.0)  # and as their ratios


class BoxParameters(NamedTuple):
    """Of one class."""

    length: float  # s, of the change filter
    merge: float  # neighbours are merged where the gap between them is less deep than this
    relative: bool  # whether `merge` is a ratio of scores, or else a difference


class Box(NamedTuple):
    """One event of one class."""

    onset: int  # steps, the first one
    offset: int  # steps, the one after the last
    confidence: float  # mean score over the box


def boxes(scores: np.ndarray, step_seconds: float, parameters: BoxParameters) -> list[Box]:
    """Boxes in unprocessed scores (steps,) of one clip and class, by onset."""
    scores = np.asarray(scores, np.float64)
    half = max(1, round(parameters.length / 2 / step_seconds))
    events = _events(_changes(scores, half), scores)
    merged = _merged(events, scores, parameters)
    return [Box(onset, offset, float(scores[onset:offset].mean())) for onset, offset in merged]


def box_scores(scores: np.ndarray, step_seconds: float, parameters: Sequence[BoxParameters]) -> np.ndarray:
    """Scores (steps, classes) with each class's confidences inside its boxes, and 0 elsewhere."""
    found = np.zeros(scores.shape, np.float64)
    for column, own in enumerate(parameters):
        for box in boxes(scores[:, column], step_seconds, own):
            found[box.onset : box.offset, column] = box.confidence
    return found


def _changes(scores: np.ndarray, half: int) -> np.ndarray:
    """At each border of steps (steps + 1,) the mean of `half` steps after it less that of as many before.

    Outside the clip scores are zero, so that what sounds at an end has its border there.
    """
    sums = np.concatenate([np.zeros(half), [0.0], np.cumsum(scores), np.full(half, scores.sum())])
    changes = (sums[2 * half :] - 2 * sums[half:-half] + sums[: -2 * half]) / half
    return np.where(np.abs(changes) <= TOLERANCE, 0.0, changes)


def _events(changes: np.ndarray, scores: np.ndarray) -> list[tuple[int, int]]:
    """(onset, offset) between a rise and the next fall; of several rises or falls in a row the steepest one counts.

    The first one would do worse: a score that stirs long before an event would open its box there.
    """
    jumps = np.abs(np.diff(scores, prepend=0.0, append=0.0))
    onsets, offsets = _maxima(changes, jumps), _maxima(-changes, jumps)
    events, opened = [], None
    for is_onset, borders in itertools.groupby(sorted(onsets | offsets), onsets.__contains__):
        border = max(borders, key=lambda at: abs(changes[at]))
        if is_onset:
            opened = border
        elif opened is not None:
            events.append((opened, border))
            opened = None
    if opened is not None and opened < len(scores):
        events.append((opened, len(scores)))
    return events


def _maxima(values: np.ndarray, jumps: np.ndarray) -> set[int]:
    """Where `values` (n,) have a positive local maximum; a plateau counts at its largest jump of the score."""
    starts = np.flatnonzero(np.abs(np.diff(values, prepend=np.inf)) > TOLERANCE)
    stops = np.append(starts[1:], len(values))
    found = set()
    for start, stop in zip(starts.tolist(), stops.tolist(), strict=True):
        rises = start == 0 or values[start - 1] < values[start]
        falls = stop == len(values) or values[stop] < values[stop - 1]
        if rises and falls and values[start] > 0:
            found.add(start + int(np.argmax(jumps[start:stop])))
    return found


def _merged(events: Sequence[tuple[int, int]], scores: np.ndarray, parameters: BoxParameters) -> list[tuple[int, int]]:
    """Neighbours joined over gaps that are not deep against the peaks on both sides; peaks are those before merging."""
    peaks = [float(scores[onset:offset].max()) for onset, offset in events]
    merged: list[tuple[int, int]] = []
    for i, (onset, offset) in enumerate(events):
        if i and _is_shallow(float(scores[events[i - 1][1] : onset].min()), peaks[i - 1 : i + 1], parameters):
            merged[-1] = merged[-1][0], offset
        else:
            merged.append((onset, offset))
    return merged


def _is_shallow(gap: float, peaks: Sequence[float], parameters: BoxParameters) -> bool:
    if parameters.relative:
        return gap > 0 and all(peak / gap < parameters.merge for peak in peaks)
    return all(peak - gap < parameters.merge for peak in peaks)
