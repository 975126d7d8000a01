"""The check of a corpus: its metadata are compared with every recording."""

from __future__ import annotations

from array import array
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path

from tqdm import tqdm

from recipe_mtlvae.conf import Conf
from recipe_mtlvae.corpus.audio_stats import SILENT_PEAK, AudioStats
from recipe_mtlvae.corpus.cutting import SLACK
from recipe_mtlvae.corpus.metadata import Clip
from recipe_mtlvae.corpus.scan import FOLDER, scan
from recipe_mtlvae.corpus.splits import Corpus, SplitFiles, training_events
from recipe_mtlvae.errors import Fault
from recipe_mtlvae.labels import Event, merge_events
from recipe_mtlvae.progress_bar import progress_bar


@dataclass
class ClassCheck:
    """Clips and events of one class in a split."""

    clips: int = 0  # with this label
    events: int = 0  # as written; strong splits only
    lengths: array = field(default_factory=lambda: array("f"))  # s, of the events used for training: cut and merged

    @property
    def seconds(self) -> float:
        return sum(self.lengths)


@dataclass
class SplitCheck:
    """The result of checking one split."""

    files: SplitFiles
    labels: str  # strong | weak | none
    role: str  # train | select | test
    faults: list[Fault] = field(default_factory=list)  # of the metadata, then of the recordings
    durations: dict[str, float] = field(default_factory=dict)  # s, by clip name, of the readable recordings
    peaks: array = field(default_factory=lambda: array("f"))
    rates: dict[int, list[str]] = field(default_factory=dict)  # Hz: clips
    damaged: dict[str, str] = field(default_factory=dict)  # by clip name: what is missing in the recording
    flagged: dict[str, list[str]] = field(default_factory=dict)  # by flag (silent, clipped, loud ...): clip names
    classes: dict[str, ClassCheck] = field(default_factory=dict)
    event_free: int = 0
    merged: int = 0  # events that touch or overlap another of their class
    events_past_end: int = 0  # events that end after their recording
    longest_past_end: float = 0.0  # s
    polyphony: Counter[int] = field(default_factory=Counter)  # s, by the number of events at once

    @property
    def name(self) -> str:
        return self.files.name

    @property
    def unreadable(self) -> list[str]:
        """Clips whose audio cannot be read to its end."""
        return [clip.name for clip in self.files.clips if clip.name not in self.durations]

    @property
    def faulty_rows(self) -> int:
        """Number of faulty rows in the metadata."""
        return sum(fault.line is not None for fault in self.faults)

    @property
    def usable(self) -> int:
        """Number of clips whose rows are valid and whose audio can be read."""
        return len(self.durations)

    @property
    def coverage(self) -> float:
        return self.usable / self.files.expected if self.files.expected else 0.0

    @property
    def events(self) -> int:
        return sum(found.events for found in self.classes.values())

    @property
    def rate(self) -> int | None:
        """The most common sample rate in Hz."""
        return max(self.rates, key=lambda rate: len(self.rates[rate]), default=None)

    def flag(self, kind: str, name: str) -> None:
        self.flagged.setdefault(kind, []).append(name)


@dataclass(frozen=True)
class CorpusCheck:
    """The result of checking all splits."""

    conf: Conf
    root: Path
    classes: tuple[str, ...]
    splits: list[SplitCheck]
    twins: list[list[tuple[str, str]]]  # groups of recordings with the same samples: (split, clip) of each
    unlisted: tuple[Fault, ...] = ()  # why other splits could not be listed


def check_corpus(
    corpus: Corpus,
    files: Sequence[SplitFiles],
    unlisted: Sequence[Fault] = (),
    workers: int | None = None,
) -> CorpusCheck:
    """Check the listed splits. Every recording is read, unless an earlier check has stored its statistics.

    Faults are in the result. workers: threads; None: one per core.
    """
    scanned: dict[str, list[tuple[str, str]]] = {}
    with progress_bar("check", sum(len(listed.clips) for listed in files)) as bar:
        splits = [_check_split(corpus, listed, scanned, bar, workers) for listed in files]
    twins = [same for same in scanned.values() if len(same) > 1]
    return CorpusCheck(corpus.conf, corpus.root, corpus.classes, splits, twins, tuple(unlisted))


def _check_split(
    corpus: Corpus,
    files: SplitFiles,
    scanned: dict[str, list[tuple[str, str]]],
    bar: tqdm,
    workers: int | None,
) -> SplitCheck:
    """Check one split, and add its clips to `scanned`, by the hash of their samples."""
    split = corpus.splits[files.name]
    found = SplitCheck(files, split.labels, split.role, list(files.faults))
    found.classes = {label: ClassCheck() for label in corpus.classes} if found.labels != "none" else {}
    for clip, stats in scan(files.clips, corpus.root / FOLDER / f"{files.name}.jsonl", workers, bar.update):
        if isinstance(stats, Fault):
            found.faults.append(stats)
            continue
        _add_audio(found, clip, stats, corpus.conf.data.clip_seconds)
        _add_labels(found, clip, stats.duration)
        if stats.content is not None:
            scanned.setdefault(stats.content, []).append((files.name, clip.name))
    return found


def _add_audio(found: SplitCheck, clip: Clip, stats: AudioStats, clip_seconds: float) -> None:
    found.durations[clip.name] = stats.duration
    found.peaks.append(stats.peak)
    found.rates.setdefault(stats.rate, []).append(clip.name)
    if stats.is_silent:
        found.flag("silent", clip.name)
        if stats.peak >= SILENT_PEAK:
            found.flag("cancelled", clip.name)
    if stats.damage is not None:
        found.damaged[clip.name] = stats.damage
    if stats.is_loud:
        found.flag("loud", clip.name)
    elif stats.is_clipped:
        found.flag("clipped", clip.name)
    if abs(stats.duration - clip_seconds) > SLACK:
        found.flag("short" if stats.duration < clip_seconds else "long", clip.name)


def _add_labels(found: SplitCheck, clip: Clip, duration: float) -> None:
    for label in clip.labels or ():
        found.classes[label].clips += 1
    if clip.labels is not None and not clip.labels:
        found.event_free += 1
    if clip.events is None:
        return
    for event in clip.events:
        found.classes[event.label].events += 1
    over = [event.offset - duration for event in clip.events if event.offset > duration]
    found.events_past_end += len(over)
    found.longest_past_end = max(found.longest_past_end, *over, 0.0)
    if any(event.onset >= duration for event in clip.events):
        found.flag("late", clip.name)
    found.merged += len(clip.events) - len(merge_events(clip.events))
    trained = training_events(clip.events, duration)
    for event in trained:
        found.classes[event.label].lengths.append(event.offset - event.onset)
    found.polyphony.update(_polyphony(trained, duration))


def _polyphony(events: Sequence[Event], duration: float) -> dict[int, float]:
    """Seconds of a clip during which 0, 1, 2 ... events are active."""
    changes: Counter[float] = Counter({0.0: 0, duration: 0})
    for event in events:
        changes[event.onset] += 1
        changes[event.offset] -= 1
    seconds: dict[int, float] = {}
    active = 0
    for begin, end in pairwise(sorted(changes)):
        active += changes[begin]
        seconds[active] = seconds.get(active, 0.0) + end - begin
    return seconds
