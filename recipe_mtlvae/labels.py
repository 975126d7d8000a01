"""Converting seconds to output steps and events to many-hot targets."""

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
    """An event that a system has detected. It is lost with a threshold of at least its confidence."""

    confidence: float  # its highest score after the median filter


@dataclass(frozen=True)
class Grid:
    """The network's output grid: step t covers [t, t + 1) * step_seconds."""

    steps: int
    step_seconds: float

    @classmethod
    def of(cls, features: FeatureConf, clip_seconds: float) -> Grid:
        """Return the grid of a clip. With the baseline's settings, 10 s are 626 frames and 156 steps of 64 ms."""
        step_seconds = features.hop_length * features.frames_per_step / features.sample_rate
        return cls(steps_of(features, samples_of(clip_seconds, features.sample_rate)), step_seconds)

    def encode(self, events: Iterable[Event], classes: Sequence[str]) -> np.ndarray:
        """Many-hot targets (steps, classes), float32; onsets are rounded down and offsets up, as in the baseline."""
        targets = np.zeros((self.steps, len(classes)), dtype=np.float32)
        column = {label: i for i, label in enumerate(classes)}
        for event in events:
            first = math.floor(event.onset / self.step_seconds)
            last = math.ceil(event.offset / self.step_seconds)
            targets[first:last, column[event.label]] = 1.0
        return targets

    def edges(self, steps: int | None = None) -> np.ndarray:
        """Return the borders of the steps in seconds, one more than there are steps."""
        return np.arange((self.steps if steps is None else steps) + 1) * self.step_seconds


def samples_of(clip_seconds: float, sample_rate: int) -> int:
    """Return the number of samples to which a clip is cut or padded."""
    return round(clip_seconds * sample_rate)


def frames_of(features: FeatureConf, samples: int) -> int:
    """Return the number of log-mel frames: one is centred on the first sample, and one on each hop after it."""
    return 1 + samples // features.hop_length


def steps_of(features: FeatureConf, samples: int) -> int:
    """Return the number of output steps for a number of samples."""
    return frames_of(features, samples) // features.frames_per_step


def encode_weak(labels: Iterable[str], classes: Sequence[str]) -> np.ndarray:
    """Return many-hot clip targets (classes,), float32."""
    present = set(labels)
    return np.array([label in present for label in classes], dtype=np.float32)


def cut_events(events: Iterable[Event], duration: float, start: float = 0.0) -> Iterator[Event]:
    """Yield the parts of events within `duration` seconds from `start` on, in seconds from `start`."""
    for event in events:
        if event.onset < start + duration and event.offset > start:
            yield Event(max(event.onset - start, 0.0), min(event.offset - start, duration), event.label)


def merge_events(events: Iterable[Event]) -> list[Event]:
    """Merge the events of a class that overlap or touch, since metrics count disjoint events. Sorted by onset."""
    merged: list[Event] = []
    latest: dict[str, int] = {}  # by class: index of its last event in `merged`
    for event in sorted(events, key=lambda event: (event.onset, event.offset, event.label)):
        i = latest.get(event.label)
        if i is not None and event.onset <= merged[i].offset:
            merged[i] = Event(merged[i].onset, max(merged[i].offset, event.offset), event.label)
        else:
            latest[event.label] = len(merged)
            merged.append(event)
    return merged
