"""The two figures by which a model is selected each epoch; quick, and without the metric packages."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from recipe_mtlvae.labels import Event, merge_events

DECIMALS = 6  # lengths are compared at 1 us, as sed_scores_eval does: 0.3 * 10 must not exceed 3


def intersection_f1(
    events_by_clip: Mapping[str, Sequence[Event]],
    truth_by_clip: Mapping[str, Sequence[Event]],
    classes: Sequence[str],
    dtc: float = 0.5,
    gtc: float = 0.5,
) -> float:
    """Macro F1 (0 to 1) with intersection criteria (Bilen et al., ICASSP 2020) at one operating point.

    A detection is relevant when at least `dtc` of it lies in its class's truth; a truth event is found when relevant
    detections cover at least `gtc` of it. The clips are the truth's; one without detections is event-free. Classes
    without truth are left out of the mean; 0 when no class has any. Raises ValueError on detections in other clips.
    """
    strangers = events_by_clip.keys() - truth_by_clip.keys()
    if strangers:
        raise ValueError(f"detections in clips that the truth does not have: {sorted(strangers)[:3]}")
    detected = _Table.of({clip: events_by_clip.get(clip, ()) for clip in truth_by_clip}, classes)
    truth = _Table.of({clip: merge_events(events) for clip, events in truth_by_clip.items()}, classes)
    detection, reference, seconds = _intersections(detected, truth)

    covered = np.bincount(detection, seconds, len(detected.group)).round(DECIMALS)
    relevant = covered >= (dtc * detected.length).round(DECIMALS)
    found_seconds = np.bincount(reference, seconds * relevant[detection], len(truth.group)).round(DECIMALS)
    found = found_seconds >= (gtc * truth.length).round(DECIMALS)

    true_positives = np.bincount(truth.class_index, found, len(classes))
    false_positives = np.bincount(detected.class_index, ~relevant, len(classes))
    references = np.bincount(truth.class_index, minlength=len(classes))
    present = references > 0
    f1 = 2 * true_positives / np.maximum(true_positives + false_positives + references, 1)
    return float(f1[present].mean()) if present.any() else 0.0


def macro_f1(predicted: np.ndarray, target: np.ndarray) -> float:
    """Mean over the classes with any target of the F1 of clip labels; both (clips, classes), taken as booleans."""
    if predicted.shape != target.shape or predicted.ndim != 2:
        raise ValueError(f"expected two arrays (clips, classes), got {predicted.shape} and {target.shape}")
    predicted, target = predicted.astype(bool), target.astype(bool)
    present = target.any(axis=0)
    f1 = 2 * (predicted & target).sum(axis=0) / np.maximum(predicted.sum(axis=0) + target.sum(axis=0), 1)
    return float(f1[present].mean()) if present.any() else 0.0


@dataclass(frozen=True)
class _Table:
    """Events as arrays (events,), sorted by group: a number for each clip and class."""

    group: np.ndarray
    class_index: np.ndarray
    onset: np.ndarray
    offset: np.ndarray

    @classmethod
    def of(cls, events_by_clip: Mapping[str, Sequence[Event]], classes: Sequence[str]) -> _Table:
        column = {label: i for i, label in enumerate(classes)}
        rows = [
            (clip * len(classes) + column[event.label], column[event.label], event.onset, event.offset)
            for clip, events in enumerate(events_by_clip.values())
            for event in events
        ]
        table = np.array(rows, dtype=np.float64).reshape(-1, 4)
        table = table[np.argsort(table[:, 0], kind="stable")]
        return cls(table[:, 0].astype(np.int64), table[:, 1].astype(np.int64), table[:, 2], table[:, 3])

    @property
    def length(self) -> np.ndarray:
        return self.offset - self.onset


def _intersections(detected: _Table, truth: _Table) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """All pairs of a detection and a truth event of its group: their rows, and the seconds that they share."""
    first = np.searchsorted(truth.group, detected.group, "left")
    pairs = np.searchsorted(truth.group, detected.group, "right") - first
    detection = np.repeat(np.arange(len(detected.group)), pairs)
    within = np.arange(len(detection)) - np.repeat(np.cumsum(pairs) - pairs, pairs)
    reference = np.repeat(first, pairs) + within
    onset = np.maximum(detected.onset[detection], truth.onset[reference])
    offset = np.minimum(detected.offset[detection], truth.offset[reference])
    return detection, reference, np.maximum(offset - onset, 0.0)
