"""Detections compared with the truth at one operating point: quick, and without the metric packages."""

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
    """True and false positives, one value a group."""

    true: np.ndarray
    false: np.ndarray


@dataclass(frozen=True)
class EventTable:
    """Events as arrays (events,), sorted by group: clip * classes + class."""

    group: np.ndarray
    onset: np.ndarray  # s
    offset: np.ndarray  # s

    @classmethod
    def of(cls, clips: Sequence[Sequence[Event]], classes: Sequence[str]) -> EventTable:
        """The events of each clip; those of one clip and class must be disjoint."""
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
    """Intersection criteria (Bilen et al., ICASSP 2020).

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
    """Onset and offset within their collars (Mesaros et al., Applied Sciences 2016).

    Matches are counted, not assigned: the fewer of the detections and of the truth events that have one. That is the
    largest assignment but where events of one clip and class stand closer together than the collars.
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
    """Whether a class sounds in each segment of `length` seconds up to the clip's `duration`: (segments, classes)."""
    edges = (np.arange(math.ceil(duration / length) + 1) * length).round(DECIMALS)
    active = np.zeros((len(edges) - 1, len(classes)), dtype=bool)
    for event in events:
        inside = (edges[1:] > round(event.onset, DECIMALS)) & (edges[:-1] < round(event.offset, DECIMALS))
        active[:, classes.index(event.label)] |= inside
    return active


def _pairs(detected: EventTable, truth: EventTable) -> tuple[np.ndarray, np.ndarray]:
    """All pairs of a detection and a truth event of its group, by their rows."""
    first = np.searchsorted(truth.group, detected.group, "left")
    return ranges(first, np.searchsorted(truth.group, detected.group, "right") - first)
