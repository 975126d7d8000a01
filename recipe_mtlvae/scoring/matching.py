"""Compare detections with the truth at one operating point: fast, and without the metric packages."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from recipe_mtlvae.labels import Event
from recipe_mtlvae.scoring.scenarios import EventScenario, Intersection
from recipe_mtlvae.scoring.statistics import DECIMALS, ranges


class Hits(NamedTuple):
    """True and false positives, one value for each group."""

    true: np.ndarray
    false: np.ndarray


@dataclass(frozen=True)
class EventTable:
    """Events as arrays (events,), sorted by group, which is clip * classes + class."""

    group: np.ndarray
    onset: np.ndarray  # s
    offset: np.ndarray  # s

    @classmethod
    def of(cls, clips: Sequence[Sequence[Event]], classes: Sequence[str]) -> EventTable:
        """Build the table from the events of each clip. Those of one class in one clip must be disjoint."""
        column = {label: i for i, label in enumerate(classes)}
        rows = [
            (clip * len(classes) + column[event.label], event.onset, event.offset)
            for clip, events in enumerate(clips)
            for event in events
        ]
        table = np.array(rows, dtype=np.float64).reshape(-1, 3)
        table = table[np.argsort(table[:, 0], kind="stable")]
        return cls(table[:, 0].astype(np.int64), table[:, 1], table[:, 2])

    @property
    def length(self) -> np.ndarray:
        return self.offset - self.onset


def intersection_hits(detected: EventTable, truth: EventTable, criteria: Intersection, groups: int) -> Hits:
    """Count hits by the intersection criteria (Bilen et al., ICASSP 2020).

    A detection is relevant when at least `dtc` of it lies in its class's truth; a truth event is found when relevant
    detections cover at least `gtc` of it.
    """
    detection, reference = _pairs(detected, truth)
    onset = np.maximum(detected.onset[detection], truth.onset[reference])
    offset = np.minimum(detected.offset[detection], truth.offset[reference])
    seconds = np.maximum(offset - onset, 0.0)
    covered = np.bincount(detection, seconds, len(detected.group)).round(DECIMALS)
    relevant = covered >= (criteria.dtc * detected.length).round(DECIMALS)
    found_seconds = np.bincount(reference, seconds * relevant[detection], len(truth.group)).round(DECIMALS)
    found = found_seconds >= (criteria.gtc * truth.length).round(DECIMALS)
    return Hits(np.bincount(truth.group, found, groups), np.bincount(detected.group, ~relevant, groups))


def collar_hits(detected: EventTable, truth: EventTable, scenario: EventScenario, groups: int) -> Hits:
    """Count the detections whose onset and offset lie within the collars (Mesaros et al., Applied Sciences 2016).

    Detections are not assigned to truth events. The number of true positives is the number of detections with a match
    or the number of truth events with a match, whichever is smaller. This equals the largest assignment, except where
    events of one class in one clip are closer together than the collars.
    """
    detection, reference = _pairs(detected, truth)
    collar = np.maximum(scenario.offset_collar, scenario.offset_collar_rate * truth.length)[reference]
    early = np.abs(detected.onset[detection] - truth.onset[reference]) - scenario.onset_collar
    late = np.abs(detected.offset[detection] - truth.offset[reference]) - collar
    match = (early.round(DECIMALS) <= 0.0) & (late.round(DECIMALS) <= 0.0)
    detections = np.bincount(detected.group[np.unique(detection[match])], minlength=groups)
    references = np.bincount(truth.group[np.unique(reference[match])], minlength=groups)
    true = np.minimum(detections, references)
    return Hits(true, np.bincount(detected.group, minlength=groups) - true)


def active_segments(events: Sequence[Event], duration: float, classes: Sequence[str], length: float) -> np.ndarray:
    """Return whether each class is active in each segment of `length` s, up to `duration` s: (segments, classes)."""
    edges = (np.arange(math.ceil(duration / length) + 1) * length).round(DECIMALS)
    active = np.zeros((len(edges) - 1, len(classes)), dtype=bool)
    for event in events:
        inside = (edges[1:] > round(event.onset, DECIMALS)) & (edges[:-1] < round(event.offset, DECIMALS))
        active[:, classes.index(event.label)] |= inside
    return active


def _pairs(detected: EventTable, truth: EventTable) -> tuple[np.ndarray, np.ndarray]:
    """Return all pairs of a detection and a truth event of the same group, as their rows."""
    first = np.searchsorted(truth.group, detected.group, "left")
    return ranges(first, np.searchsorted(truth.group, detected.group, "right") - first)
