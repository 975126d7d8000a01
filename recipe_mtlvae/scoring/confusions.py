"""How often each class is detected while another class is true, in the segments of segment-based F1."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from recipe_mtlvae.labels import Event
from recipe_mtlvae.scoring.matching import active_segments
from recipe_mtlvae.scoring.scenarios import SEGMENT


@dataclass(frozen=True)
class Confusions:
    """Rows are the true classes, and a last row for segments without events; columns are the detected classes."""

    rates: np.ndarray  # (classes + 1, classes), shares of the row's segments; nan where the row has none
    seconds: np.ndarray  # (classes + 1,), total length of the segments of each row


def confusions(
    truth: Mapping[str, Sequence[Event]],
    detected: Mapping[str, Sequence[Event]],
    durations: Mapping[str, float],  # s
    classes: Sequence[str],
) -> Confusions:
    """Count the segments in which at most one class is true: with two, a detection may be meant for either."""
    detections, segments = np.zeros((len(classes) + 1, len(classes))), np.zeros(len(classes) + 1)
    for clip, duration in durations.items():
        there, found = (
            active_segments(events.get(clip, ()), duration, classes, SEGMENT.segment_length)
            for events in (truth, detected)
        )
        number = there.sum(axis=1)
        row = np.where(number == 0, len(classes), there.argmax(axis=1))[number < 2]
        np.add.at(detections, row, found[number < 2])
        np.add.at(segments, row, 1)
    rates = np.divide(detections, segments[:, None], out=np.full_like(detections, np.nan), where=segments[:, None] > 0)
    return Confusions(rates, segments * SEGMENT.segment_length)
