"""Cutting recordings longer than the clip length, with their labels, into windows for training.

The name of a window is that of its recording and its start in seconds, `name.wav/20.000`: no file name holds a slash.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping

from recipe_mtlvae.corpus.metadata import Clip
from recipe_mtlvae.labels import cut_events

SLACK = 0.1  # s beyond the clip length; clips of 10.02 s are common and not worth a second window


def cut_recordings(clips: Iterable[Clip], durations: Mapping[str, float], seconds: float) -> list[Clip]:
    """Return the clips, with each long one replaced by its windows. durations: seconds, by name."""
    cut = []
    for clip in clips:
        starts = window_starts(durations[clip.name], seconds)
        cut += [window(clip, start, seconds) for start in starts] or [clip]
    return cut


def window_starts(duration: float, seconds: float) -> list[float]:
    """Return the starts of a long recording's windows in seconds; empty for a recording of at most one clip's length.

    The windows are adjacent, except that the last one ends with the recording.
    """
    if duration <= seconds + SLACK:
        return []
    last = math.floor((duration - seconds) * 1000 + 1e-6) / 1000  # ms, and not past the end
    return [number * seconds for number in range(math.ceil((duration - SLACK) / seconds) - 1)] + [last]


def window(clip: Clip, start: float, seconds: float) -> Clip:
    """Return a window of a recording with the events in it. Clip labels have no times, so all of them are kept."""
    events, labels = clip.events, clip.labels
    if events is not None:
        events = tuple(cut_events(events, seconds, start))
        labels = frozenset(event.label for event in events)
    return Clip(f"{clip.name}/{start:.3f}", clip.path, events, labels, start)


def recording_of(name: str) -> str:
    """Return the name of the recording of a clip, which is the clip itself or the one that a window is cut from."""
    return name.partition("/")[0]


def named_clip(name: str, recordings: Mapping[str, Clip], seconds: float) -> Clip | None:
    """Return the recording or window that has the name `name` in a store; None if there is no such recording."""
    recording, _, start = name.partition("/")
    clip = recordings.get(recording)
    return window(clip, float(start), seconds) if clip and start else clip
