"""The counts that PSDS needs, clip by clip, at all thresholds at once.

As the threshold falls, a detection appears below the lowest score inside it. When the threshold falls below a score
next to it, the detection ends and a longer one takes its place. Each distinct interval [onset, offset) is therefore a
detection over one range of thresholds, and a clip of T windows has at most T of them. Judging each interval once,
instead of each detection at each threshold, gives exactly the intermediate statistics of sed_scores_eval (Ebbers et
al., ICASSP 2022) in a fraction of its time. The intervals are found once for all criteria.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from recipe_mtlvae.labels import Event
from recipe_mtlvae.scoring.scenarios import Intersection
from recipe_mtlvae.scoring.scores import ClipScores

DECIMALS = 6  # seconds are compared at 1 us, as in sed_scores_eval: 0.1 * 3 must not exceed 0.3


@dataclass(frozen=True)
class Changes:
    """The changes of one class's counts as the threshold falls below each score, sorted by clip, then score.

    Summed over a set of clips, with or without weights, they give the counts of that set at every threshold.
    """

    clip: np.ndarray  # (changes,) index of the clip
    score: np.ndarray  # (changes,)
    tps: np.ndarray  # (changes,) truth events found
    fps: np.ndarray  # (changes,) detections that are not relevant
    cts: dict[str, np.ndarray]  # (changes,) cross triggers with each other class; empty where not counted


def changes(
    clips: Sequence[ClipScores],
    truth: Sequence[Sequence[Event]],
    columns: Mapping[str, int],
    criteria: Sequence[Intersection],
) -> list[dict[str, Changes]]:
    """Return the Changes of each class, for each of `criteria`.

    clips: edges (windows + 1,) in seconds and scores (windows, all classes), -inf where nothing is ever detected;
    truth: the events of each clip, disjoint within a class; columns: the classes to count and their score columns.
    """
    timeline = _Timeline.of(clips, truth, list(columns))
    results: list[dict[str, Changes]] = [{} for _ in criteria]
    for label, column in columns.items():
        intervals = _intervals(timeline, clips, column)
        moments = _Moments.of(intervals)
        references = timeline.events[label]
        for result, criterion in zip(results, criteria, strict=True):
            result[label] = _class_changes(timeline, intervals, moments, references, label, criterion)
    return results


@dataclass(frozen=True)
class _Timeline:
    """All clips one after the other: an entry for each window, and a closing one for each clip, at its last edge."""

    clip: np.ndarray  # (entries,) index of the clip
    time: np.ndarray  # (entries,) s, onset of the window, or last edge of the clip
    closing: np.ndarray  # (entries,) whether the entry closes a clip
    longest: int  # entries of the longest clip
    covered: dict[str, np.ndarray]  # (entries,) seconds of the class's truth in the clip before this time
    events: dict[str, np.ndarray]  # (events, 3) clip, onset, offset, sorted by clip

    @classmethod
    def of(cls, clips: Sequence[ClipScores], truth: Sequence[Sequence[Event]], classes: Sequence[str]) -> _Timeline:
        entries = np.array([len(clip.edges) for clip in clips])
        first = np.cumsum(entries) - entries
        closing = np.zeros(entries.sum(), dtype=bool)
        closing[first + entries - 1] = True
        time = np.concatenate([clip.edges for clip in clips])
        by_class: dict[str, list[tuple[int, float, float]]] = {label: [] for label in classes}
        for index, clip_events in enumerate(truth):
            for event in clip_events:
                by_class[event.label].append((index, event.onset, event.offset))
        events = {label: np.array(rows, dtype=np.float64).reshape(-1, 3) for label, rows in by_class.items()}
        covered = {label: _covered(table, first, entries, time) for label, table in events.items()}
        return cls(np.repeat(np.arange(len(clips)), entries), time, closing, int(entries.max()), covered, events)


def _covered(events: np.ndarray, first: np.ndarray, entries: np.ndarray, time: np.ndarray) -> np.ndarray:
    """Return the seconds of `events` (events, 3) in their clip before the time of each entry: (entries,)."""
    clip = events[:, 0].astype(np.int64)
    event, entry = ranges(first[clip], entries[clip])
    seconds = np.clip(time[entry] - events[event, 1], 0.0, events[event, 2] - events[event, 1])
    return np.bincount(entry, seconds, len(time))


def ranges(start: np.ndarray, count: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return all pairs (i, start[i] + j) with j < count[i], as two arrays."""
    owner = np.repeat(np.arange(len(count)), count)
    return owner, np.arange(len(owner)) - np.repeat(np.cumsum(count) - count - start, count)


@dataclass(frozen=True)
class _Intervals:
    """The distinct detections of one class (intervals,), each detected at thresholds in [merged, level)."""

    clip: np.ndarray  # index of the clip
    start: np.ndarray  # index of the first entry of the timeline
    end: np.ndarray  # index of the entry after the last
    seconds: np.ndarray
    level: np.ndarray  # the lowest score inside
    merged: np.ndarray  # the higher of the two neighbouring scores; -inf where the interval fills the clip


def _intervals(timeline: _Timeline, clips: Sequence[ClipScores], column: int) -> _Intervals:
    scores = np.full(len(timeline.time), -np.inf)
    scores[~timeline.closing] = np.concatenate([clip.scores[:, column] for clip in clips])
    # a run of equal scores is one step; the first and the closing entry of every clip are kept
    kept = np.append(True, (scores[1:] != scores[:-1]) | timeline.closing[:-1]) | timeline.closing
    entry = np.flatnonzero(kept)
    values = np.append(-np.inf, scores[entry])  # -inf at both ends
    steps = np.flatnonzero(values > -np.inf)

    minima = _range_minima(values, timeline.longest)
    before = _previous_not_above(values, steps, minima)
    lowest_first = values[before] < values[steps]  # of equal scores in one interval, the first represents it
    steps, before = steps[lowest_first], before[lowest_first]
    after = _next_below(values, steps, minima)
    start, end = entry[before], entry[after - 1]  # `values` is one ahead of `entry`
    return _Intervals(
        clip=timeline.clip[start],
        start=start,
        end=end,
        seconds=timeline.time[end] - timeline.time[start],
        level=values[steps],
        merged=np.maximum(values[before], values[after]),
    )


def _range_minima(values: np.ndarray, longest: int) -> list[np.ndarray]:
    """Return minima such that minima[k][i] = min(values[i : i + 2**k]), for 2**k up to `longest`."""
    minima = [values]
    while 2 ** len(minima) <= longest:
        width = 2 ** (len(minima) - 1)
        shifted = np.append(minima[-1][width:], np.full(min(width, len(values)), -np.inf))
        minima.append(np.minimum(minima[-1], shifted))
    return minima


def _previous_not_above(values: np.ndarray, steps: np.ndarray, minima: list[np.ndarray]) -> np.ndarray:
    """Return, for each of `steps`, the last position before it whose value is not above the value there."""
    position, level = steps - 1, values[steps]
    for power in reversed(range(len(minima))):
        above = minima[power][np.maximum(position - 2**power + 1, 0)] > level
        position = position - (above << power)
    return position


def _next_below(values: np.ndarray, steps: np.ndarray, minima: list[np.ndarray]) -> np.ndarray:
    """Return, for each of `steps`, the first position after it whose value is below the value there."""
    position, level = steps + 1, values[steps]
    for power in reversed(range(len(minima))):
        not_below = minima[power][np.minimum(position, len(values) - 1)] >= level
        position = position + (not_below << power)
    return position


@dataclass(frozen=True)
class _Moments:
    """The scores at which the detections of a clip change, because an interval appears or ends."""

    clip: np.ndarray  # (moments,), sorted
    score: np.ndarray  # (moments,), sorted within a clip
    appears: np.ndarray  # (intervals,) index of the moment
    ends: np.ndarray  # (intervals,) index of the moment, with score -inf where the interval never ends

    @classmethod
    def of(cls, intervals: _Intervals) -> _Moments:
        clip = np.concatenate([intervals.clip, intervals.clip])
        score = np.concatenate([intervals.level, intervals.merged])
        order = np.lexsort((score, clip))
        clip, score = clip[order], score[order]
        new = np.append(True, (clip[1:] != clip[:-1]) | (score[1:] != score[:-1]))[: len(clip)]
        index = np.empty(len(order), dtype=np.int64)
        index[order] = np.cumsum(new) - 1
        return cls(clip[new], score[new], *np.split(index, 2))

    def sums(self, counted: np.ndarray) -> np.ndarray:
        """Return the changes (moments,) of the number of detections among `counted`, booleans (intervals,)."""
        size = len(self.clip)
        return np.bincount(self.appears[counted], minlength=size) - np.bincount(self.ends[counted], minlength=size)


def _class_changes(
    timeline: _Timeline,
    intervals: _Intervals,
    moments: _Moments,
    references: np.ndarray,
    label: str,
    criteria: Intersection,
) -> Changes:
    relevant = _overlap(timeline, intervals, label) >= (criteria.dtc * intervals.seconds).round(DECIMALS)
    counts = [
        _found(timeline, intervals, moments, references, np.flatnonzero(relevant), criteria.gtc),
        moments.sums(~relevant),
    ]
    others = [] if criteria.cttc is None else [other for other in timeline.events if other != label]
    for other in others:
        needed = (criteria.cttc * intervals.seconds).round(DECIMALS)
        counts.append(moments.sums(~relevant & (_overlap(timeline, intervals, other) >= needed)))
    table = np.stack(counts)
    kept = table.any(axis=0) & (moments.score > -np.inf)
    tps, fps, *cts = table[:, kept]
    return Changes(moments.clip[kept], moments.score[kept], tps, fps, dict(zip(others, cts, strict=True)))


def _overlap(timeline: _Timeline, intervals: _Intervals, label: str) -> np.ndarray:
    """Return how many seconds of each interval lie in the truth of `label`."""
    covered = timeline.covered[label]
    return (covered[intervals.end] - covered[intervals.start]).round(DECIMALS)


def _found(
    timeline: _Timeline,
    intervals: _Intervals,
    moments: _Moments,
    references: np.ndarray,
    relevant: np.ndarray,
    gtc: float,
) -> np.ndarray:
    """Return the changes (moments,) of the number of `references` that relevant intervals cover by at least `gtc`."""
    first = np.searchsorted(references[:, 0], intervals.clip[relevant], "left")
    count = np.searchsorted(references[:, 0], intervals.clip[relevant], "right") - first
    owner, reference = ranges(first, count)
    interval = relevant[owner]
    _, onset, offset = references[reference].T
    seconds = np.minimum(timeline.time[intervals.end[interval]], offset)
    seconds = seconds - np.maximum(timeline.time[intervals.start[interval]], onset)
    shared = seconds > 0
    interval, reference, seconds = interval[shared], reference[shared], seconds[shared]

    # each interval adds what it covers at the moment where it appears, and takes it away where it ends
    moment = np.concatenate([moments.appears[interval], moments.ends[interval]])
    reference = np.concatenate([reference, reference])
    seconds = np.concatenate([seconds, -seconds])
    order = np.lexsort((-moment, reference))  # by falling threshold
    moment, reference, seconds = moment[order], reference[order], seconds[order]
    last = np.append((moment[1:] != moment[:-1]) | (reference[1:] != reference[:-1]), True)[: len(moment)]
    covered = np.cumsum(seconds)
    begins = np.append(True, reference[1:] != reference[:-1])[: len(moment)]
    group = np.cumsum(begins) - 1
    covered = covered - (covered - seconds)[begins][group]
    moment, reference, covered = moment[last], reference[last], covered[last].round(DECIMALS)

    needed = (gtc * (references[reference, 2] - references[reference, 1])).round(DECIMALS)
    found = (covered >= needed).astype(np.int64)
    continued = np.append(False, reference[1:] == reference[:-1])[: len(found)]
    change = found - np.append(0, found[:-1])[: len(found)] * continued
    return np.bincount(moment, change, len(moments.clip)).astype(np.int64)
