"""From scores to events: a median filter or bounding boxes, then a threshold."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.ndimage import median_filter as _median_filter

from recipe_mtlvae.conf_sections import PostprocessConf
from recipe_mtlvae.errors import fail
from recipe_mtlvae.labels import DetectedEvent, Event, cut_events
from recipe_mtlvae.scoring.bounding_boxes import BoxParameters, box_scores
from recipe_mtlvae.scoring.scores import ScoreFolder


@dataclass(frozen=True)
class Decoding:
    """How scores become events: for each class, in class order, a threshold and a median filter, or bounding boxes."""

    thresholds: tuple[float, ...]
    median_filters: tuple[int, ...]  # output steps, odd
    boxes: tuple[BoxParameters, ...] | None = None  # replace the median filters; lengths in output steps

    def __post_init__(self) -> None:
        if len(self.thresholds) != len(self.median_filters):
            raise ValueError(f"{len(self.thresholds)} thresholds, {len(self.median_filters)} median filters")

    @classmethod
    def fixed(cls, conf: PostprocessConf, classes: int) -> Decoding:
        """Use the configuration's threshold and median filter for every class."""
        return cls((conf.threshold,) * classes, (conf.median_filter,) * classes)

    @classmethod
    def from_dict(cls, content: Mapping[str, Any]) -> Decoding:
        """Build from the thresholds and median filters of dataclasses.asdict, as tuples or lists; without boxes."""
        return cls(tuple(map(float, content["thresholds"])), tuple(map(int, content["median_filters"])))

    def smooth(self, scores: np.ndarray) -> np.ndarray:
        """Apply each class's own median filter or boxes to `scores` (steps, classes). The shape stays the same."""
        if self.boxes is not None:
            return box_scores(scores, 1.0, self.boxes)
        smoothed = np.empty_like(scores)
        for size in set(self.median_filters):
            own = np.array(self.median_filters) == size
            smoothed[:, own] = median_filter(scores[:, own], size)
        return smoothed

    def filtered(self, folder: ScoreFolder) -> ScoreFolder:
        """Apply `smooth` to every clip."""
        clips = {clip: item._replace(scores=self.smooth(item.scores)) for clip, item in folder.clips.items()}
        return ScoreFolder(folder.classes, clips)

    def detected(
        self, scores: np.ndarray, step_seconds: float, classes: Sequence[str], duration: float
    ) -> list[DetectedEvent]:
        """Return the events in unprocessed `scores` (steps, classes), sorted by onset, each with its confidence.

        Step t covers [t, t + 1) * step_seconds; events are cut at `duration` (s).
        """
        smoothed = self.smooth(scores)
        found = to_events(smoothed, np.arange(len(scores) + 1) * step_seconds, classes, self.thresholds)
        column = {label: i for i, label in enumerate(classes)}
        events = []
        for event in cut_events(found, duration):
            steps = slice(round(event.onset / step_seconds), math.ceil(event.offset / step_seconds - 1e-6))
            confidence = float(smoothed[steps, column[event.label]].max())
            events.append(DetectedEvent(event.onset, event.offset, event.label, confidence))
        return events


def median_filter(scores: np.ndarray, size: int) -> np.ndarray:
    """Return the median of `size` steps around each step of `scores` (steps, classes), in the same shape.

    The borders are mirrored, as in the baseline recipe. Raises RecipeError unless `size` is odd and positive:
    an even window would shift the events by half a step.
    """
    if size < 1 or size % 2 == 0:
        raise fail(f"median filter of {size} steps: expected an odd number of at least 1")
    if size == 1 or not len(scores):
        return scores
    # mirrored by numpy, since scipy reads beyond the array where a window is many times longer than the scores
    half = size // 2
    mirrored = np.pad(scores, ((half, half), (0, 0)), mode="symmetric")
    return _median_filter(mirrored, size=(size, 1))[half:-half]


def step_seconds(folder: ScoreFolder) -> float:
    """Return the common length of the windows in seconds. The last window of each clip may be shorter.

    Raises RecipeError if window lengths differ: a median filter in seconds would then have no fixed number of steps.
    """
    windows = [np.diff(item.edges) for item in folder.clips.values()]
    lengths = np.concatenate([own[:-1] for own in windows])
    if not len(lengths):  # one window in each clip
        lengths = np.concatenate(windows)
    step = float(np.median(lengths))
    if np.abs(lengths - step).max() > 1e-3 * step:
        what = (
            f"windows from {lengths.min():g} to {lengths.max():g} s long: a median filter needs windows of equal length"
        )
        raise fail(what, "filter the scores before writing them")
    return round(step, 6)


def odd_steps(seconds: float, step: float) -> int:
    """Return the odd number of steps nearest to `seconds`."""
    return 2 * max(round((seconds / step - 1) / 2), 0) + 1


def stretches(active: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the stretches of True along the last axis of `active` (..., steps) as three arrays (stretches,).

    They are the flat index of each stretch in the other axes, its first step, and the step after its last, sorted by
    index, then step.
    """
    bordered = np.pad(active, [(0, 0)] * (active.ndim - 1) + [(1, 1)])
    changes = np.flatnonzero(bordered[..., 1:] != bordered[..., :-1])  # beginnings and ends alternate
    row, step = np.divmod(changes, active.shape[-1] + 1)
    return row[::2], step[::2], step[1::2]


def to_events(
    scores: np.ndarray, edges: np.ndarray, classes: Sequence[str], threshold: float | Sequence[float]
) -> list[Event]:
    """Return the stretches with score > threshold as events, sorted by onset, then offset.

    `scores` (steps, classes); `edges` (steps + 1,), the borders of the steps in seconds; `threshold`: one value for all
    classes, or one for each class.
    """
    if scores.shape != (len(edges) - 1, len(classes)):
        raise ValueError(f"expected scores ({len(edges) - 1}, {len(classes)}), got {scores.shape}")
    rows, onsets, offsets = stretches((scores > np.asarray(threshold)).T)
    order = np.lexsort((rows, offsets, onsets))
    times = np.asarray(edges, dtype=np.float64)
    onset_times, offset_times = times[onsets[order]].tolist(), times[offsets[order]].tolist()
    labels = [classes[row] for row in rows[order]]
    return [Event(onset, offset, label) for onset, offset, label in zip(onset_times, offset_times, labels, strict=True)]


def events_above(folder: ScoreFolder, threshold: float | Sequence[float]) -> dict[str, list[Event]]:
    """Apply `to_events` to every clip."""
    return {clip: to_events(item.scores, item.edges, folder.classes, threshold) for clip, item in folder.clips.items()}
