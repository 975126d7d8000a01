"""summary.html: the recordings and events of one call of `detect`, to sort, filter and play."""

from __future__ import annotations

import base64
import hashlib
import math
from collections import Counter
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from recipe_mtlvae.inference.detection_files import Found
from recipe_mtlvae.inference.detector import Detector
from recipe_mtlvae.labels import DetectedEvent
from recipe_mtlvae.machine import cores
from recipe_mtlvae.report.pages import write_page
from recipe_mtlvae.report.palette import palette
from recipe_mtlvae.report.sound import snippet
from recipe_mtlvae.scoring.postprocess import stretches

# These limits keep the page below about 4 MB, for any number of recordings and events
RECORDINGS, EVENTS, SNIPPETS = 1000, 2000, 100
SECONDS = 4.0  # of the longest snippet; its MP3 takes 30 ms to encode and 12 kB
AROUND = 0.5  # s played before and after an event
BINS = 400  # in the strip of a recording, which shows its events over time
SCRIPT = Path(__file__).with_name("summary.js")


@dataclass(frozen=True)
class ClassRow:
    """One class, over all recordings."""

    label: str
    colour: str
    events: int
    seconds: float
    threshold: float
    median_filter: float  # s


@dataclass(frozen=True)
class Bar:
    """A stretch of a recording's strip, in thousandths of its width."""

    left: float
    width: float
    lane: int
    colour: str


@dataclass(frozen=True)
class RecordingRow:
    number: int  # by which its events refer to it
    found: Found
    lanes: int
    bars: list[Bar]


@dataclass(frozen=True)
class EventRow:
    number: int  # of its recording
    filename: str
    event: DetectedEvent
    colour: str
    sound: str | None  # data URI


def write_summary(file: Path, found: Sequence[Found], detector: Detector, earlier: int) -> None:
    """Write the page to `file`.

    earlier: number of recordings that are not on the page because an earlier call of `detect` wrote their results.
    """
    colours = palette(detector.classes)
    numbered = dict(enumerate(found))
    recordings = sorted(numbered, key=lambda number: not found[number].events)[:RECORDINGS]
    ranked = ranking(found)
    playable = [place for place in ranked[:SNIPPETS] if found[place[0]].path.exists()]  # may have been removed
    with ThreadPoolExecutor(cores()) as pool:
        sounds = dict(zip(playable, pool.map(lambda place: _sound(found, *place, detector), playable), strict=True))
    script = SCRIPT.read_text(encoding="utf-8")
    write_page(
        file,
        "summary.html",
        found=found,
        seconds=sum(item.duration for item in found),
        events=sum(len(item.events) for item in found),
        earlier=earlier,
        classes=_classes(found, detector, colours),
        recordings=[_recording(number, found[number], colours) for number in sorted(recordings)],
        rows=[
            EventRow(number, found[number].filename, event, colours[event.label], sounds.get((number, index)))
            for number, index in sorted(ranked[:EVENTS])
            for event in [found[number].events[index]]
        ],
        snippets=sum(sound is not None for sound in sounds.values()),
        script=script,
        script_hash=base64.b64encode(hashlib.sha256(script.encode()).digest()).decode(),
    )


def ranking(found: Sequence[Found]) -> list[tuple[int, int]]:
    """Rank all events, as (index of the recording, index of the event).

    The most confident event of each class in each recording comes first, then the second most confident, and so on.
    """
    places: list[tuple[int, float, int, int]] = []
    for number, item in enumerate(found):
        seen: Counter[str] = Counter()
        for index in sorted(range(len(item.events)), key=lambda i: -item.events[i].confidence):
            event = item.events[index]
            places.append((seen[event.label], -event.confidence, number, index))
            seen[event.label] += 1
    return [(number, index) for *_, number, index in sorted(places)]


def strip(events: Iterable[DetectedEvent], duration: float, colours: dict[str, str]) -> tuple[int, list[Bar]]:
    """Return the number of lanes, one per class with events, and their bars: at most BINS / 2 bars in a lane."""
    events = list(events)
    present = {event.label for event in events}
    labels = [label for label in colours if label in present]
    bars = []
    for lane, label in enumerate(labels):
        active = np.zeros(BINS, bool)
        for event in (event for event in events if event.label == label):
            first = math.floor(event.onset / duration * BINS)
            last = max(math.ceil(event.offset / duration * BINS), first + 1)
            active[first:last] = True
        for _, first, last in zip(*stretches(active), strict=True):
            bars.append(Bar(1000 * first / BINS, 1000 * (last - first) / BINS, lane, colours[label]))
    return len(labels), bars


def _classes(found: Sequence[Found], detector: Detector, colours: dict[str, str]) -> list[ClassRow]:
    count: Counter[str] = Counter()
    seconds: Counter[str] = Counter()
    for event in (event for item in found for event in item.events):
        count[event.label] += 1
        seconds[event.label] += event.offset - event.onset
    rows = []
    for label in detector.reported:
        i = detector.classes.index(label)
        steps = 1 if detector.decoding.boxes else detector.decoding.median_filters[i]
        median_filter = steps * detector.grid.step_seconds if steps > 1 else 0.0
        threshold = detector.decoding.thresholds[i]
        rows.append(ClassRow(label, colours[label], count[label], seconds[label], threshold, median_filter))
    return rows


def _recording(number: int, item: Found, colours: dict[str, str]) -> RecordingRow:
    return RecordingRow(number, item, *strip(item.events, item.duration, colours))


def _sound(found: Sequence[Found], number: int, index: int, detector: Detector) -> str | None:
    """Return the sound of an event and of AROUND seconds before and after it, at most SECONDS in all."""
    event = found[number].events[index]
    first = max(event.onset - AROUND, 0.0)
    seconds = min(event.offset + AROUND - first, SECONDS)
    return snippet(found[number].path, detector.conf.features.sample_rate, first, seconds)
