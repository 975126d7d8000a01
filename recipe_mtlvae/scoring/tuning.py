"""One threshold and one median filter a class, chosen on clips that are in no test set.

The sets at hand are small, so that the best point of a class's own grid is luck more often than not. Three things
stand against that: a class with few events leans on the others; a plateau is chosen, not a peak; and all of it is kept
only where it beats the fixed setting on clips that it was not tuned on.
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
# Of 0, 5, 10 and 20, the only one that never lost against the fixed setting where it was tuned on 80 strong and 24 weak
# clips of DESED validation, scored by the official baseline, and tested on the rest (tests/benchmarks/tuning.py)
PRIOR_EVENTS = 20.0  # a class with so many events takes half from its own and half from all classes' events
PLATEAU = 3  # grid points a side over which the objective is averaged
FOLDS = 5
NEAR = 1e-6  # objective a grid point of distance: of equal settings the one nearest to the fixed one


@dataclass(frozen=True)
class StrongClips:
    """Clips with events."""

    scores: np.ndarray  # (clips, steps, classes), unprocessed
    events: Sequence[Sequence[Event]]
    durations: np.ndarray  # (clips,) seconds


@dataclass(frozen=True)
class WeakClips:
    """Clips of which only the classes that occur are known."""

    scores: np.ndarray  # (clips, steps, classes), unprocessed
    present: np.ndarray  # (clips, classes), booleans


@dataclass(frozen=True)
class Tuning:
    """The outcome. Objectives are means over event, intersection and clip F1, macro, 0 to 1."""

    decoding: Decoding  # the fixed one where tuning did not beat it
    objective: float  # of settings tuned in the same way, on clips that they were not tuned on
    fixed_objective: float  # of the configuration's threshold and median filter, on the same clips
    precision_recall: PrecisionRecall  # of the clips with events, with the decoding's median filters

    @property
    def better(self) -> bool:
        return self.objective > self.fixed_objective


@dataclass(frozen=True)
class _Counts:
    """Of one criterion: true and false positives (clips, classes, filters, thresholds), what there was to find."""

    true: np.ndarray
    false: np.ndarray
    references: np.ndarray  # (clips, classes)

    def of(self, clips: np.ndarray) -> _Counts:
        """Of some clips together, without the first axis."""
        return _Counts(*(counts[clips].sum(axis=0) for counts in (self.true, self.false, self.references)))

    def at(self, points: np.ndarray) -> _Counts:
        """At one grid point a class: `points` (2, classes), the rows of its filter and its threshold."""
        every = np.arange(points.shape[1])
        return _Counts(self.true[:, every, *points], self.false[:, every, *points], self.references)


@dataclass(frozen=True)
class _Grid:
    """The settings to choose from; the fixed one is among them."""

    median_filters: tuple[int, ...]
    thresholds: tuple[float, ...]
    fixed: tuple[int, int]  # rows of the fixed filter and threshold

    @classmethod
    def around(cls, fixed: PostprocessConf) -> _Grid:
        filters = tuple(sorted({*MEDIAN_FILTERS, fixed.median_filter}))
        thresholds = tuple(sorted({*THRESHOLDS, fixed.threshold}))
        return cls(filters, thresholds, (filters.index(fixed.median_filter), thresholds.index(fixed.threshold)))

    def decoding(self, points: np.ndarray) -> Decoding:
        """`points` as in _Counts.at"""
        filters, thresholds = points.tolist()
        return Decoding(
            tuple(self.thresholds[row] for row in thresholds), tuple(self.median_filters[row] for row in filters)
        )


def tune(
    strong: StrongClips, weak: WeakClips, classes: Sequence[str], step_seconds: float, fixed: PostprocessConf
) -> Tuning:
    """Choose for each class the setting with the best mean of event, intersection and clip F1.

    The first two are counted on `strong`, the last on `weak`: whether a class is detected anywhere in a clip, which
    brings in real recordings. Deterministic; some seconds for 2,500 clips.
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
    """Counts of every clip with the settings chosen on the other folds' clips."""
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
    """The grid point of each class, as in _Counts.at, by the objective on some clips of each criterion."""
    objective = np.mean([_leaning_f1(counts.of(own)) for counts, own in zip(criteria, clips, strict=True)], axis=0)
    objective = uniform_filter(objective, size=(1, PLATEAU, PLATEAU), mode="nearest")
    filters, thresholds = (np.arange(size) for size in objective.shape[1:])
    distance = np.abs(filters - grid.fixed[0])[:, None] + np.abs(thresholds - grid.fixed[1])
    best = (objective - NEAR * distance).reshape(len(objective), -1).argmax(axis=1)
    return np.array(np.unravel_index(best, objective.shape[1:]))


def _leaning_f1(counts: _Counts) -> np.ndarray:
    """F1 (classes, filters, thresholds) as if PRIOR_EVENTS events more had been met with all classes' rates."""
    total = max(counts.references.sum(), 1)
    true = counts.true + PRIOR_EVENTS * counts.true.sum(axis=0) / total
    false = counts.false + PRIOR_EVENTS * counts.false.sum(axis=0) / total
    references = counts.references[:, None, None] + PRIOR_EVENTS
    return f1(true, false, references)


def _macro(criteria: Sequence[_Counts]) -> float:
    """Mean over the criteria of F1, macro over the classes that there were to find; counts (clips, classes)."""
    parts = ((counts.true, counts.false, counts.references) for counts in criteria)
    return float(np.mean([macro_of_counts(*(part.sum(axis=0) for part in counts)) for counts in parts]))


def _strong_counts(clips: StrongClips, classes: Sequence[str], step_seconds: float, grid: _Grid) -> list[_Counts]:
    """Of event and of intersection F1."""
    truth = EventTable.of([merge_events(events) for events in clips.events], classes)
    shape = (len(clips.scores), len(classes))
    ends = np.repeat(clips.durations, len(classes))
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
    references = np.bincount(truth.group, minlength=len(ends)).reshape(shape)
    return [_Counts(true, false, references) for true, false in counts]


def count_precision_recall(
    clips: StrongClips, classes: Sequence[str], step_seconds: float, decoding: Decoding
) -> PrecisionRecall:
    """Of the clips' events, by intersection, with a decoding's median filters or boxes."""
    truth = EventTable.of([merge_events(events) for events in clips.events], classes)
    shape = (len(clips.scores), len(classes))
    ends = np.repeat(clips.durations, len(classes))
    smoothed = np.array([decoding.smooth(scores).T for scores in clips.scores])  # (clips, classes, steps)
    hits = [
        intersection_hits(events_of(smoothed > threshold, step_seconds, ends), truth, INTERSECTION, len(ends))
        for threshold in CURVE_THRESHOLDS
    ]
    true, false = (
        np.stack([getattr(one, name).reshape(shape).sum(axis=0) for one in hits], axis=1).astype(np.int64)
        for name in ("true", "false")
    )
    references = np.bincount(truth.group, minlength=len(ends)).reshape(shape).sum(axis=0)
    return PrecisionRecall(CURVE_THRESHOLDS, true, false, references)


def _weak_counts(clips: WeakClips, grid: _Grid) -> _Counts:
    """Of F1 of the classes of a clip: those detected at any time against those that are there."""
    shape = (*clips.present.shape, len(grid.median_filters), len(grid.thresholds))
    found = np.zeros(shape, dtype=bool)
    for row, column, active in _active(clips.scores, grid):
        found[..., row, column] = active.any(axis=2)
    there = clips.present[..., None, None]
    return _Counts((found & there).astype(np.int16), (found & ~there).astype(np.int16), clips.present)


def _active(scores: np.ndarray, grid: _Grid) -> Iterator[tuple[int, int, np.ndarray]]:
    """For each filter and threshold of the grid, where the filtered scores are above: (clips, classes, steps).

    A median is above a threshold where more than half of its window is, so that sums of booleans are enough.
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
    """The active stretches of (clips, classes, steps), cut at each group's end in seconds."""
    group, first, last = stretches(active)
    onset, offset = first * step_seconds, last * step_seconds
    within = onset < ends[group]
    return EventTable(group[within], onset[within], np.minimum(offset, ends[group])[within])
