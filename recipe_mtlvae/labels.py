"""Seconds and output steps; events and many-hot targets."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from recipe_mtlvae.conf_sections import FeatureConf


@dataclass(frozen=True, slots=True)
class Event:
    """A labelled stretch of a clip; onset and offset in seconds from the clip's start."""

    onset: float
    offset: float
    label: str


@dataclass(frozen=True, slots=True)
class DetectedEvent(Event):
    """An event that a system found, with its highest score after the median filter: what a threshold would have to
    exceed to lose it."""

    confidence: float


@dataclass(frozen=True)
class Grid:
    """The network's output grid: step t covers [t, t + 1) * step_seconds."""

    steps: int
    step_seconds: float

    @classmethod
    def of(cls, features: FeatureConf, clip_seconds: float) -> Grid:
        """10 s at the baseline's settings: 626 frames, 156 steps of 64 ms."""
        step_seconds = features.hop_length * features.frames_per_step / features.sample_rate
        return cls(steps_of(features, samples_of(clip_seconds, features.sample_rate)), step_seconds)

    def encode(self, events: Iterable[Event], classes: Sequence[str]) -> np.ndarray:
        """Many-hot targets (steps, classes), float32: onsets floored, offsets ceiled, as the baseline does."""
        targets = np.zeros((self.steps, len(classes)), dtype=np.float32)
        column = {label: i for i, label in enumerate(classes)}
        for event in events:
            first = math.floor(event.onset / self.step_seconds)
            last = math.ceil(event.offset / self.step_seconds)
            targets[first:last, column[event.label]] = 1.0
        return targets

    def edges(self, steps: int | None = None) -> np.ndarray:
        """The steps' borders in seconds, one more than there are steps."""
        return np.arange((self.steps if steps is None else steps) + 1) * self.step_seconds


def samples_of(clip_seconds: float, sample_rate: int) -> int:
    """How many samples a clip is cut or padded to."""
    return round(clip_seconds * sample_rate)


def frames_of(features: FeatureConf, samples: int) -> int:
    """Log-mel frames of so many samples: one is centred on the first sample, then one every hop."""
    return 1 + samples // features.hop_length


def steps_of(features: FeatureConf, samples: int) -> int:
    """Output steps of so many samples."""
    return frames_of(features, samples) // features.frames_per_step


def encode_weak(labels: Iterable[str], classes: Sequence[str]) -> np.ndarray:
    """Many-hot clip targets (classes,), float32."""
    present = set(labels)
    return np.array([label in present for label in classes], dtype=np.float32)


def cut_events(events: Iterable[Event], duration: float, start: float = 0.0) -> Iterator[Event]:
    """What of the events lies within `duration` seconds from `start` on, in seconds from there."""
    for event in events:
        if event.onset < start + duration and event.offset > start:
            yield Event(max(event.onset - start, 0.0), min(event.offset - start, duration), event.label)


def merge_events(events: Iterable[Event]) -> list[Event]:
    """Events of one class that overlap or touch become one, since the metrics count disjoint events; by onset."""
    merged: list[Event] = []
    latest: dict[str, int] = {}  # class: where its last event stands in `merged`
    for event in sorted(events, key=lambda event: (event.onset, event.offset, event.label)):
        i = latest.get(event.label)
        if i is not None and event.onset <= merged[i].offset:
            merged[i] = Event(merged[i].onset, max(merged[i].offset, event.offset), event.label)
        else:
            latest[event.label] = len(merged)
            merged.append(event)
    return merged
