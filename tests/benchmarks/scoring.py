"""Benchmark post-processing, all metrics and the bootstrap on generated scores of 1,168 clips, as many as DESED has."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from recipe_mtlvae.labels import Event, merge_events
from recipe_mtlvae.scoring.evaluation import uncollected
from recipe_mtlvae.scoring.intervals import draw, resample
from recipe_mtlvae.scoring.metrics import ClipStatistics, Metrics, clip_statistics, figures
from recipe_mtlvae.scoring.postprocess import Decoding, events_above
from recipe_mtlvae.scoring.scores import ClipScores, ScoreFolder, read_scores, write_scores
from tests.benchmarks import fifty_thresholds
from tests.benchmarks.timing import Goal, Line, Way, race

CLIPS = 1168  # number of clips in DESED's validation set
BASELINE_CLIPS = 24  # its time per clip grows with the number of clips, so a small number favours the baseline
CLASSES = tuple(f"class{number}" for number in range(10))
STEPS, STEP, FILTER = 156, 0.064, 7


@dataclass(frozen=True)
class Generated:
    """Generated scores of a system, and their ground truth."""

    scores: ScoreFolder
    truth: dict[str, list[Event]]
    durations: dict[str, float]


def generated(clips: int, seed: int) -> Generated:
    """Generate scores for clips with about four events each.

    Most steps of an event score high; elsewhere there is noise, and some sounds that are not in the ground truth.
    """
    rng = np.random.default_rng(seed)
    edges = (np.arange(STEPS + 1) * STEP).round(6)
    scores, truth = {}, {}
    for number in range(clips):
        logits = rng.normal(-4.0, 1.0, (1, len(CLASSES))) + rng.normal(0.0, 0.5, (STEPS, len(CLASSES)))
        events = []
        for column, label in enumerate(CLASSES):
            for real in rng.random(2) < (0.3, 0.1):
                first, length = rng.integers(0, STEPS - 4), rng.integers(4, 60)
                if real:
                    events.append(Event(edges[first], edges[min(first + length, STEPS)], label))
                shift = rng.integers(-2, 3, 2)
                gain = rng.normal(5.0, 1.5) if real else rng.normal(1.0, 1.0)
                logits[max(first + shift[0], 0) : first + length + shift[1], column] += gain
        scores[f"clip{number}"] = ClipScores(edges, 1.0 / (1.0 + np.exp(-logits)))
        truth[f"clip{number}"] = merge_events(events)
    return Generated(ScoreFolder(CLASSES, scores), truth, dict.fromkeys(scores, float(edges[-1])))


def statistics_of(system: Generated) -> ClipStatistics:
    scores = Decoding((0.5,) * len(CLASSES), (FILTER,) * len(CLASSES)).filtered(system.scores)
    detected = events_above(scores, 0.5)
    return clip_statistics(scores, detected, system.truth, system.durations)


def ours(system: Generated) -> Metrics:
    with uncollected():  # as the commands do
        return figures(statistics_of(system))


def lines(quick: bool) -> Iterable[Line]:
    clips, fewer = (CLIPS // 4, BASELINE_CLIPS // 2) if quick else (CLIPS, BASELINE_CLIPS)
    system, small = generated(clips, 0), generated(fewer, 0)
    rounds = 1 if quick else 3
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        yield race(
            f"median filter, events, all metrics, {clips} clips",
            "clips/s",
            Way(lambda: ours(system), clips),
            Way(
                lambda: fifty_thresholds.measured(small.scores, small.truth, small.durations, FILTER, folder),
                fewer,
            ),
            rounds=rounds,
            goals=(Goal("ratio", 20.0),),
            note=f"generated scores; the baseline's way on {fewer} clips; ours is exact, 50 thresholds are not",
        )
        scores = folder / "scores"
        scores.mkdir()
        for clip, item in system.scores.clips.items():
            write_scores(scores, clip, item.scores, STEP, CLASSES)
        yield race(
            f"the same from a score folder, {clips} clips",
            "s",
            Way(lambda: ours(Generated(read_scores(scores), system.truth, system.durations))),
            rounds=rounds,
            goals=(Goal("value", 5.0),),
            less_is_better=True,
            energy=False,
        )
    other = generated(clips, 1)
    samples = 100 if quick else 1000
    pair = [statistics_of(one) for one in (system, Generated(other.scores, system.truth, system.durations))]
    started = time.perf_counter()
    for statistics in pair:
        resample(statistics, draw(len(statistics.clips), samples))
    taken = time.perf_counter() - started
    yield Line(
        f"bootstrap of {samples} samples, two systems", "s", (taken,), goals=(Goal("value", 60.0),), less_is_better=True
    )
