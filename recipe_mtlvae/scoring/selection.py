"""The two figures that select a model after each epoch: fast, and without the metric packages."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from recipe_mtlvae.labels import Event, merge_events
from recipe_mtlvae.scoring.f1 import macro_of_counts
from recipe_mtlvae.scoring.matching import EventTable, intersection_hits
from recipe_mtlvae.scoring.scenarios import Intersection


def intersection_f1(
    events_by_clip: Mapping[str, Sequence[Event]],
    truth_by_clip: Mapping[str, Sequence[Event]],
    classes: Sequence[str],
    dtc: float = 0.5,
    gtc: float = 0.5,
) -> float:
    """Return the macro F1 (0 to 1) by intersection criteria (Bilen et al., ICASSP 2020) at one operating point.

    A detection is relevant when at least `dtc` of it lies in its class's truth; a truth event is found when relevant
    detections cover at least `gtc` of it. The clips are those of the truth; one without detections is event-free.
    Classes without truth are left out of the mean, which is 0 if no class has any. Raises ValueError on detections in
    other clips.
    """
    if unknown := events_by_clip.keys() - truth_by_clip.keys():
        raise ValueError(f"detections in clips that the truth does not have: {sorted(unknown)[:3]}")
    groups = len(truth_by_clip) * len(classes)
    detected = EventTable.of([events_by_clip.get(clip, ()) for clip in truth_by_clip], classes)
    truth = EventTable.of([merge_events(events) for events in truth_by_clip.values()], classes)
    hits = intersection_hits(detected, truth, Intersection(dtc=dtc, gtc=gtc, cttc=None), groups)
    true, false, references = (
        counts.reshape(-1, len(classes)).sum(axis=0) for counts in (*hits, np.bincount(truth.group, minlength=groups))
    )
    return macro_of_counts(true, false, references)


def macro_f1(predicted: np.ndarray, target: np.ndarray) -> float:
    """Return the mean F1 of clip labels over the classes with any target; both (clips, classes), taken as booleans."""
    if predicted.shape != target.shape or predicted.ndim != 2:
        raise ValueError(f"expected two arrays (clips, classes), got {predicted.shape} and {target.shape}")
    predicted, target = predicted.astype(bool), target.astype(bool)
    return macro_of_counts((predicted & target).sum(axis=0), (predicted & ~target).sum(axis=0), target.sum(axis=0))
