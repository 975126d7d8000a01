"""Choose one threshold and one median filter for each class, on clips that are in no test set.

The available sets are small, so the best point of a class's own grid is usually luck. Three measures counter this: a
class with few events also uses the events of the other classes; a plateau is chosen, not a peak; and the tuned setting
is kept only if it beats the fixed setting on clips that it was not tuned on.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.ndimage import uniform_filter

from recipe_mtlvae.conf_sections import PostprocessConf
from recipe_mtlvae.labels import Event, merge_events
from recipe_mtlvae.scoring.f1 import f1, macro_of_counts
from recipe_mtlvae.scoring.matching import EventTable, collar_hits, intersection_hits
from recipe_mtlvae.scoring.postprocess import Decoding, stretches
from recipe_mtlvae.scoring.precision_recall import CURVE_THRESHOLDS, PrecisionRecall
from recipe_mtlvae.scoring.scenarios import EVENT, INTERSECTION

THRESHOLDS = tuple(round(0.05 * i, 2) for i in range(2, 19))  # 0.1 to 0.9
MEDIAN_FILTERS = (1, 3, 5, 7, 9, 13, 19, 27, 39)  # output steps: 64 ms to 2.5 s
# A class with this many events is judged half by its own events and half by those of all classes. Of 0, 5, 10 and 20,
# 20 is the only value that never lost against the fixed setting when tuned on 80 strong and 24 weak clips of DESED
# validation, scored by the official baseline, and tested on the rest (tests/benchmarks/tuning.py)
PRIOR_EVENTS = 20.0
PLATEAU = 3  # side, in grid points, of the square over which the objective is averaged
FOLDS = 5
NEAR = 1e-6  # objective lost with each grid point of distance, so that of equal settings the nearest to the fixed wins


@dataclass(frozen=True)
class StrongClips:
    """Clips whose events are known."""

    scores: np.ndarray  # (clips, steps, classes), unprocessed
    events: Sequence[Sequence[Event]]
    durations: np.ndarray  # (clips,) seconds


@dataclass(frozen=True)
class WeakClips:
    """Clips for which only the classes that occur are known."""

    scores: np.ndarray  # (clips, steps, classes), unprocessed
    present: np.ndarray  # (clips, classes), booleans


@dataclass(frozen=True)
class Tuning:
    """The result. The objective is the mean of event-based, intersection-based and clip-level macro F1, 0 to 1."""

    decoding: Decoding  # the fixed one if tuning did not beat it
    objective: float  # cross-validated: settings are tuned in the same way and tested on other clips
    fixed_objective: float  # of the configuration's threshold and median filter, on the same clips
    precision_recall: PrecisionRecall  # of the strong clips, with the decoding's median filters

    @property
    def better(self) -> bool:
        return self.objective > self.fixed_objective


@dataclass(frozen=True)
class _Counts:
    """Counts of one criterion: true and false positives (clips, classes, filters, thresholds), and references."""

    true: np.ndarray
    false: np.ndarray
    references: np.ndarray  # (clips, classes)

    def of(self, clips: np.ndarray) -> _Counts:
        """Return the sums over some clips, without the first axis."""
        return _Counts(*(counts[clips].sum(axis=0) for counts in (self.true, self.false, self.references)))

    def at(self, points: np.ndarray) -> _Counts:
        """Return the counts at a grid point for each class: `points` (2, classes), indices of filter and threshold."""
        every = np.arange(points.shape[1])
        return _Counts(self.true[:, every, *points], self.false[:, every, *points], self.references)


@dataclass(frozen=True)
class _Grid:
    """The settings to choose from, which include the fixed one."""

    median_filters: tuple[int, ...]
    thresholds: tuple[float, ...]
    fixed: tuple[int, int]  # indices of the fixed filter and threshold

    @classmethod
    def around(cls, fixed: PostprocessConf) -> _Grid:
        filters = tuple(sorted({*MEDIAN_FILTERS, fixed.median_filter}))
        thresholds = tuple(sorted({*THRESHOLDS, fixed.threshold}))
        return cls(filters, thresholds, (filters.index(fixed.median_filter), thresholds.index(fixed.threshold)))

    def decoding(self, points: np.ndarray) -> Decoding:
        """Return the settings at `points`, as in _Counts.at."""
        filters, thresholds = points.tolist()
        return Decoding(
            tuple(self.thresholds[row] for row in thresholds), tuple(self.median_filters[row] for row in filters)
        )


def tune(
    strong: StrongClips, weak: WeakClips, classes: Sequence[str], step_seconds: float, fixed: PostprocessConf
) -> Tuning:
    """Choose for each class the setting with the best mean of event-based, intersection-based and clip-level F1.

    The first two are counted on `strong`. The last is counted on `weak`, which brings in real recordings: it tells
    whether a class is detected anywhere in a clip. Deterministic; takes some seconds for 2,500 clips.
    """
    grid = _Grid.around(fixed)
    criteria = [*_strong_counts(strong, classes, step_seconds, grid), _weak_counts(weak, grid)]
    fixed_points = np.repeat(np.array(grid.fixed)[:, None], len(classes), axis=1)
    fixed_objective = _macro([counts.at(fixed_points) for counts in criteria])
    objective = _macro(_unseen(criteria, grid))
    every = [np.ones(len(counts.true), dtype=bool) for counts in criteria]
    points = _choose(criteria, every, grid) if objective > fixed_objective else fixed_points
    decoding = grid.decoding(points)
    return Tuning(decoding, objective, fixed_objective, count_precision_recall(strong, classes, step_seconds, decoding))


def _unseen(criteria: Sequence[_Counts], grid: _Grid) -> list[_Counts]:
    """Return the counts of every clip with the settings chosen on the clips of the other folds."""
    folds = [np.random.default_rng(0).permutation(len(counts.true)) % FOLDS for counts in criteria]
    parts: list[list[_Counts]] = [[] for _ in criteria]
    for fold in range(FOLDS):
        points = _choose(criteria, [own != fold for own in folds], grid)
        for part, counts, own in zip(parts, criteria, folds, strict=True):
            held = own == fold
            part.append(_Counts(counts.true[held], counts.false[held], counts.references[held]).at(points))
    names = ("true", "false", "references")
    return [_Counts(*(np.concatenate([getattr(one, name) for one in part]) for name in names)) for part in parts]


def _choose(criteria: Sequence[_Counts], clips: Sequence[np.ndarray], grid: _Grid) -> np.ndarray:
    """Return the best grid point of each class, as in _Counts.at, on some clips of each criterion."""
    objective = np.mean([_leaning_f1(counts.of(own)) for counts, own in zip(criteria, clips, strict=True)], axis=0)
    objective = uniform_filter(objective, size=(1, PLATEAU, PLATEAU), mode="nearest")
    filters, thresholds = (np.arange(size) for size in objective.shape[1:])
    distance = np.abs(filters - grid.fixed[0])[:, None] + np.abs(thresholds - grid.fixed[1])
    best = (objective - NEAR * distance).reshape(len(objective), -1).argmax(axis=1)
    return np.array(np.unravel_index(best, objective.shape[1:]))


def _leaning_f1(counts: _Counts) -> np.ndarray:
    """Return F1 (classes, filters, thresholds) as if PRIOR_EVENTS more events had the rates of all classes together."""
    total = max(counts.references.sum(), 1)
    true = counts.true + PRIOR_EVENTS * counts.true.sum(axis=0) / total
    false = counts.false + PRIOR_EVENTS * counts.false.sum(axis=0) / total
    references = counts.references[:, None, None] + PRIOR_EVENTS
    return f1(true, false, references)


def _macro(criteria: Sequence[_Counts]) -> float:
    """Return the mean over the criteria of the macro F1 of the classes with references; counts (clips, classes)."""
    parts = ((counts.true, counts.false, counts.references) for counts in criteria)
    return float(np.mean([macro_of_counts(*(part.sum(axis=0) for part in counts)) for counts in parts]))


def truth_of(clips: StrongClips, classes: Sequence[str]) -> tuple[EventTable, np.ndarray, np.ndarray]:
    """Return the true events, the end of each group's clip (clips * classes,) in seconds, and the number of true events
    (clips, classes)."""
    truth = EventTable.of([merge_events(events) for events in clips.events], classes)
    ends = np.repeat(clips.durations, len(classes))
    return truth, ends, np.bincount(truth.group, minlength=len(ends)).reshape(-1, len(classes))


def _strong_counts(clips: StrongClips, classes: Sequence[str], step_seconds: float, grid: _Grid) -> list[_Counts]:
    """Return the counts of event-based and of intersection-based F1."""
    truth, ends, references = truth_of(clips, classes)
    shape = references.shape
    counts = np.zeros((2, 2, *shape, len(grid.median_filters), len(grid.thresholds)), dtype=np.int16)
    for row, column, active in _active(clips.scores, grid):
        found = events_of(active, step_seconds, ends)
        for criterion, hits in enumerate(
            (
                collar_hits(found, truth, EVENT, len(ends)),
                intersection_hits(found, truth, INTERSECTION, len(ends)),
            )
        ):
            counts[criterion, :, ..., row, column] = np.reshape(hits, (2, *shape))
    return [_Counts(true, false, references) for true, false in counts]


def count_precision_recall(
    clips: StrongClips, classes: Sequence[str], step_seconds: float, decoding: Decoding
) -> PrecisionRecall:
    """Count the events of the clips by intersection, after a decoding's median filters or boxes."""
    truth, ends, references = truth_of(clips, classes)
    smoothed = np.array([decoding.smooth(scores).T for scores in clips.scores])  # (clips, classes, steps)
    hits = [
        intersection_hits(events_of(smoothed > threshold, step_seconds, ends), truth, INTERSECTION, len(ends))
        for threshold in CURVE_THRESHOLDS
    ]
    true, false = (
        np.stack([getattr(one, name).reshape(references.shape).sum(axis=0) for one in hits], axis=1).astype(np.int64)
        for name in ("true", "false")
    )
    return PrecisionRecall(CURVE_THRESHOLDS, true, false, references.sum(axis=0))


def _weak_counts(clips: WeakClips, grid: _Grid) -> _Counts:
    """Return the counts of clip-level F1: classes detected at any time in a clip, against those that occur in it."""
    shape = (*clips.present.shape, len(grid.median_filters), len(grid.thresholds))
    found = np.zeros(shape, dtype=bool)
    for row, column, active in _active(clips.scores, grid):
        found[..., row, column] = active.any(axis=2)
    there = clips.present[..., None, None]
    return _Counts((found & there).astype(np.int16), (found & ~there).astype(np.int16), clips.present)


def _active(scores: np.ndarray, grid: _Grid) -> Iterator[tuple[int, int, np.ndarray]]:
    """Yield (filter, threshold, active) for the indices of each filter and threshold of the grid.

    active (clips, classes, steps): where the filtered scores are above the threshold. A median is above a threshold if
    more than half of its window is, so that sums of booleans are enough.
    """
    half, steps = max(grid.median_filters) // 2, scores.shape[1]
    padded = np.pad(scores.transpose(0, 2, 1), ((0, 0), (0, 0), (half, half)), mode="symmetric")
    for column, threshold in enumerate(grid.thresholds):
        above = np.zeros((*padded.shape[:2], padded.shape[2] + 1), dtype=np.int16)
        np.cumsum(padded > threshold, axis=2, out=above[..., 1:])
        for row, size in enumerate(grid.median_filters):
            first = half - size // 2
            inside = above[..., first + size : first + size + steps] - above[..., first : first + steps]
            yield row, column, inside > size // 2


def events_of(active: np.ndarray, step_seconds: float, ends: np.ndarray) -> EventTable:
    """Return the stretches of `active` (clips, classes, steps), cut at `ends` (clips * classes,) in seconds."""
    group, first, last = stretches(active)
    onset, offset = first * step_seconds, last * step_seconds
    within = onset < ends[group]
    return EventTable(group[within], onset[within], np.minimum(offset, ends[group])[within])
