"""Change-detection sound event bounding boxes (Ebbers, Germain, Wichern and Le Roux, 2024).

A box has a class, an onset, an offset and one confidence, so its extent does not depend on the threshold. This code
follows the public description and uses none of the authors' code, which is under the AGPL. A patent application,
US 2025/0378845 A1, covers the method, so it is off by default.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

TOLERANCE = 1e-9  # smaller differences count as 0
LENGTHS = (0.384, 0.512, 0.64)  # s; lengths of the change filter that tuning tries
ABSOLUTE = (0.15, 0.2, 0.3)  # merge thresholds that tuning tries, as differences of scores
RELATIVE = (1.5, 2.0, 3.0)  # and as ratios of scores


class BoxParameters(NamedTuple):
    """The parameters of one class."""

    length: float  # of the change filter, in the unit of `step_seconds`: output steps where that is 1
    merge: float  # neighbouring events are merged if the gap between them is less deep than this
    relative: bool  # whether `merge` is a ratio of scores; else a difference


class Box(NamedTuple):
    """One event of one class."""

    onset: int  # first step
    offset: int  # the step after the last
    confidence: float  # mean score over the box


def boxes(scores: np.ndarray, step_seconds: float, parameters: BoxParameters) -> list[Box]:
    """Return the boxes in the unprocessed scores (steps,) of one class in one clip, sorted by onset."""
    scores = np.asarray(scores, np.float64)
    half = max(1, round(parameters.length / 2 / step_seconds))
    events = _events(_changes(scores, half), scores)
    merged = _merged(events, scores, parameters)
    return [Box(onset, offset, float(scores[onset:offset].mean())) for onset, offset in merged]


def box_scores(scores: np.ndarray, step_seconds: float, parameters: Sequence[BoxParameters]) -> np.ndarray:
    """Return scores (steps, classes): the confidence of a box inside it, and 0 outside all boxes."""
    found = np.zeros(scores.shape, np.float64)
    for column, own in enumerate(parameters):
        for box in boxes(scores[:, column], step_seconds, own):
            found[box.onset : box.offset, column] = box.confidence
    return found


def _changes(scores: np.ndarray, half: int) -> np.ndarray:
    """Return the change at each border between steps (steps + 1,): the mean of the `half` steps after it minus the
    mean of the `half` steps before it.

    Scores outside the clip count as 0, so that an event at the start or end of the clip has its border there.
    """
    sums = np.concatenate([np.zeros(half), [0.0], np.cumsum(scores), np.full(half, scores.sum())])
    changes = (sums[2 * half :] - 2 * sums[half:-half] + sums[: -2 * half]) / half
    return np.where(np.abs(changes) <= TOLERANCE, 0.0, changes)


def _events(changes: np.ndarray, scores: np.ndarray) -> list[tuple[int, int]]:
    """Return the (onset, offset) of each event, from a rise of the score to the next fall.

    Of several rises or falls in a row, the steepest counts. Taking the first would be worse: a small rise long before
    an event would open the box too early.
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
    """Return the positions of positive local maxima of `values` (n,); a plateau counts at the largest of `jumps`."""
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
    """Merge neighbouring events if the gap between them is shallow compared with both their peaks before merging."""
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
