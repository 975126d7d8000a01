"""Measure what a low latency costs: F1 of `detect --stream -` on validation clips joined into one stream.

    python -m tests.benchmarks.live --checkpoint exp/mtlvae-mini/best.ckpt --data_root data/mini-<hash>

For comparison, the table also has the clips detected one by one and the stream detected as one file: both see all the
audio that follows a moment, so latency plays no role.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from recipe_mtlvae.audio.decoding import read_audio
from recipe_mtlvae.corpus.metadata import read_events
from recipe_mtlvae.inference.detector import Detector
from recipe_mtlvae.inference.live import LiveDetector
from recipe_mtlvae.labels import Event, merge_events
from recipe_mtlvae.scoring.matching import EventTable, collar_hits, intersection_hits
from recipe_mtlvae.scoring.scenarios import EVENT, INTERSECTION

LATENCIES = (0.25, 0.5, 1.0, 2.0, 4.0)  # s
PIECE = 1024  # samples per call of feed() when the speed is measured
SPEED = 8.0  # s of audio over which the speed is measured


def main() -> None:
    options = _parse()
    detector = Detector.load(options.checkpoint)
    conf = detector.conf
    split = conf.data.splits["validation"]
    truth = read_events(options.data_root / split.metadata, detector.classes)
    names = sorted(truth)
    names = [names[i] for i in np.random.default_rng(0).permutation(len(names))[: options.clips]]
    rate, seconds = conf.features.sample_rate, conf.data.clip_seconds
    clips = [read_audio(options.data_root / split.audio / name, rate, seconds).samples for name in names]
    events = merge_events(_shifted([truth[name] for name in names], seconds))
    stream = np.concatenate(clips)

    print(f"{len(clips)} clips, {len(stream) / rate / 60:.1f} min, {len(events)} events\n")
    print("| latency (s) | EB-F1 % | IB-F1 % | times real time |\n|---|---|---|---|")
    one_by_one = _shifted([detector.detect(clip, rate).events for clip in clips], seconds)
    print(f"| clips one by one | {_scores(one_by_one, events, detector.classes)} | |")
    print(f"| one file | {_scores(detector.detect(stream, rate).events, events, detector.classes)} | |")
    for latency in LATENCIES:
        live = LiveDetector(detector, rate, latency)
        said = [*live.feed(stream), *live.finish()]  # all at once: the same events, in batches
        found = [Event(event.onset, event.offset, event.label) for event in said if event.offset is not None]
        speed = _speed(LiveDetector(detector, rate, latency), stream)
        print(f"| {live.latency:.2f} | {_scores(found, events, detector.classes)} | {speed:.1f} |", flush=True)


def _speed(live: LiveDetector, stream: np.ndarray) -> float:
    """Return the seconds of audio scanned per second of computing, once the window is full."""
    filled = round(live.detector.conf.data.clip_seconds * live.rate)
    list(live.feed(stream[:filled]))
    live.computing = 0.0
    for i in range(filled, filled + round(SPEED * live.rate), PIECE):
        list(live.feed(stream[i : i + PIECE]))
    return SPEED / live.computing


def _shifted(clips: Sequence[Sequence[Event]], seconds: float) -> list[Event]:
    """Return the events of consecutive clips on the time axis of the joined stream."""
    return [
        Event(event.onset + i * seconds, min(event.offset, seconds) + i * seconds, event.label)
        for i, events in enumerate(clips)
        for event in events
        if event.onset < seconds
    ]


def _scores(found: Sequence[Event], truth: Sequence[Event], classes: Sequence[str]) -> str:
    """Return macro event-based and intersection-based F1 in percent, as two cells of the table."""
    tables = EventTable.of([found], classes), EventTable.of([truth], classes)
    references = np.bincount(tables[1].group, minlength=len(classes))
    there = references > 0
    cells = []
    for hits in (
        collar_hits(*tables, EVENT, len(classes)),
        intersection_hits(*tables, INTERSECTION, len(classes)),
    ):
        f1 = 2 * hits.true / np.maximum(hits.true + hits.false + references, 1)
        cells.append(f"{100 * f1[there].mean():.1f}")
    return " | ".join(cells)


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--checkpoint", type=Path, required=True)
    parser.add_argument("--data_root", type=Path, required=True, help="root of the checkpoint's training corpus")
    parser.add_argument("--clips", type=int, default=80)
    return parser.parse_args()


if __name__ == "__main__":
    main()
