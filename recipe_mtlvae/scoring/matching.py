"""Detections held against truth at one operating point: quick, and without the metric packages."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from recipe_mtlvae.labels import Event
from recipe_mtlvae.scoring.scenarios import EventScenario, Intersection

DECIMALS = 6  # lengths are compared at 1 us, as sed_scores_eval does: 0.3 * 10 must not exceed 3


class Hits(NamedTuple):
    """True and false positives, one value a group."""

    true: np.ndarray
    false: np.ndarray


class _Pairs(NamedTuple):
    """All pairs of a detection and a truth event of its group, by their rows."""

    detection: np.ndarray
    reference: np.ndarray


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
    pairs = _pairs(detected, truth)
    onset = np.maximum(detected.onset[pairs.detection], truth.onset[pairs.reference])
    offset = np.minimum(detected.offset[pairs.detection], truth.offset[pairs.reference])
    seconds = np.maximum(offset - onset, 0.0)
    covered = np.bincount(pairs.detection, seconds, len(detected.group)).round(DECIMALS)
    relevant = covered >= (criteria.dtc * detected.length).round(DECIMALS)
    found_seconds = np.bincount(pairs.reference, seconds * relevant[pairs.detection], len(truth.group)).round(DECIMALS)
    found = found_seconds >= (criteria.gtc * truth.length).round(DECIMALS)
    return Hits(np.bincount(truth.group, found, groups), np.bincount(detected.group, ~relevant, groups))


def collar_hits(detected: EventTable, truth: EventTable, scenario: EventScenario, groups: int) -> Hits:
    """Onset and offset within their collars (Mesaros et al., Applied Sciences 2016).

    Matches are counted, not assigned: the fewer of the detections and of the truth events that have one. That is the
    largest assignment but where events of one clip and class stand closer together than the collars.
    """
    pairs = _pairs(detected, truth)
    collar = np.maximum(scenario.offset_collar, scenario.offset_collar_rate * truth.length)[pairs.reference]
    early = np.abs(detected.onset[pairs.detection] - truth.onset[pairs.reference]) - scenario.onset_collar
    late = np.abs(detected.offset[pairs.detection] - truth.offset[pairs.reference]) - collar
    match = (early.round(DECIMALS) <= 0.0) & (late.round(DECIMALS) <= 0.0)
    detections = np.bincount(detected.group[np.unique(pairs.detection[match])], minlength=groups)
    references = np.bincount(truth.group[np.unique(pairs.reference[match])], minlength=groups)
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


def _pairs(detected: EventTable, truth: EventTable) -> _Pairs:
    first = np.searchsorted(truth.group, detected.group, "left")
    count = np.searchsorted(truth.group, detected.group, "right") - first
    detection = np.repeat(np.arange(len(detected.group)), count)
    within = np.arange(len(detection)) - np.repeat(np.cumsum(count) - count, count)
    return _Pairs(detection, np.repeat(first, count) + within)
