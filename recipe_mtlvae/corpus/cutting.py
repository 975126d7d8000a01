"""Recordings longer than the clip length, cut into clips for training, their labels with them.

A window's name is its recording's and the second in which it begins, `name.wav/20.000`: no file name holds a slash.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping

from recipe_mtlvae.corpus.metadata import Clip
from recipe_mtlvae.labels import cut_events

SLACK = 0.1  # s; clips of 10.02 s are common, and not worth a second window


def cut_recordings(clips: Iterable[Clip], durations: Mapping[str, float], seconds: float) -> list[Clip]:
    """The clips, in their place of each long one its windows. durations: s, by name."""
    cut = []
    for clip in clips:
        starts = window_starts(durations[clip.name], seconds)
        cut += [window(clip, start, seconds) for start in starts] or [clip]
    return cut


def window_starts(duration: float, seconds: float) -> list[float]:
    """Where the windows of a long recording begin (s): side by side, the last one ends with the recording.

    Empty for a recording of one clip's length.
    """
    if duration <= seconds + SLACK:
        return []
    last = math.floor((duration - seconds) * 1000 + 1e-6) / 1000  # ms, and not past the end
    return [number * seconds for number in range(math.ceil((duration - SLACK) / seconds) - 1)] + [last]


def window(clip: Clip, start: float, seconds: float) -> Clip:
    """A stretch of a recording with the events in it; clip labels have no times, so all are kept."""
    events, labels = clip.events, clip.labels
    if events is not None:
        events = tuple(cut_events(events, seconds, start))
        labels = frozenset(event.label for event in events)
    return Clip(f"{clip.name}/{start:.3f}", clip.path, events, labels, start)


def named_clip(name: str, recordings: Mapping[str, Clip], seconds: float) -> Clip | None:
    """The recording, or its window, that a store calls `name`; None where there is no such recording."""
    recording, _, start = name.partition("/")
    clip = recordings.get(recording)
    return window(clip, float(start), seconds) if clip and start else clip
