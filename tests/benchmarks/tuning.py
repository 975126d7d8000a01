"""Measure the gain of tuning thresholds and filters on a system's operating points.

    python -m tests.benchmarks.tuning --operating_points DIR --ground_truth TSV --durations TSV

Some clips, drawn at random, are used for tuning and all others for testing. The table gives the F1 minus the F1 at
threshold 0.5, in percent: the mean over the draws, and the lowest and the highest draw in brackets.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np

from recipe_mtlvae.conf_sections import PostprocessConf
from recipe_mtlvae.labels import Event
from recipe_mtlvae.scoring.matching import EventTable, collar_hits, intersection_hits
from recipe_mtlvae.scoring.operating_points import read_operating_points, step_scores
from recipe_mtlvae.scoring.postprocess import Decoding, to_events
from recipe_mtlvae.scoring.reference import read_reference
from recipe_mtlvae.scoring.scenarios import EVENT, INTERSECTION
from recipe_mtlvae.scoring.tuning import StrongClips, WeakClips, tune

STEP = 0.064  # s
SIZES = ((80, 24), (300, 60), (500, 120))  # strong and weak clips to tune on; the first pair is that of the mini corpus
DRAWS = 6
FIXED = PostprocessConf(
    median_filter=1, threshold=0.5, operating_points=50, method="median"
)  # operating points are filtered already


def main() -> None:
    options = _parse()
    reference = read_reference(options.ground_truth, options.durations, None)
    names = sorted(reference.durations)
    truth, seconds = [reference.truth[name] for name in names], np.array([reference.durations[name] for name in names])
    points = read_operating_points(options.operating_points)
    classes = sorted(points.labels | {event.label for events in truth for event in events})
    folder = step_scores(points, classes, reference.durations)
    steps = int(seconds.max() / STEP)
    scores = np.stack([_on_grid(*folder.clips[name], steps) for name in names])
    present = np.array([[any(event.label == label for event in events) for label in classes] for events in truth])
    fixed = Decoding.fixed(FIXED, len(classes))
    print(
        f"{len(names)} clips, fixed: {100 * _f1(scores, truth, classes, fixed).round(4)} % event and intersection F1\n"
    )
    print("| strong and weak clips | event F1 | intersection F1 | kept |\n|---|---|---|---|")
    for strong, weak in SIZES:
        gains, kept = [], 0
        for draw in range(DRAWS):
            order = np.random.default_rng(draw).permutation(len(names))
            a, b, rest = np.split(order, [strong, strong + weak])
            found = tune(
                StrongClips(scores[a], [truth[i] for i in a], seconds[a]),
                WeakClips(scores[b], present[b]),
                classes,
                STEP,
                FIXED,
            )
            kept += found.better
            unseen = scores[rest], [truth[i] for i in rest], classes
            gains.append(100 * (_f1(*unseen, found.decoding) - _f1(*unseen, fixed)))
        cells = zip(np.mean(gains, 0), np.min(gains, 0), np.max(gains, 0), strict=True)
        text = " | ".join(f"{mean:+.1f} [{low:+.1f}, {high:+.1f}]" for mean, low, high in cells)
        print(f"| {strong} and {weak} | {text} | {kept} of {DRAWS} |", flush=True)


def _on_grid(edges: np.ndarray, scores: np.ndarray, steps: int) -> np.ndarray:
    """Return scores (steps, classes) at the middle of each step, slightly above the highest threshold exceeded."""
    rows = np.searchsorted(edges, (np.arange(steps) + 0.5) * STEP, "right") - 1
    found = scores[np.minimum(rows, len(scores) - 1)]
    return np.where(np.isfinite(found), found + 0.005, 0.0)


def _f1(scores: np.ndarray, truth: list[list[Event]], classes: list[str], decoding: Decoding) -> np.ndarray:
    """Return macro event-based and intersection-based F1."""
    edges = np.arange(scores.shape[1] + 1) * STEP
    events = [to_events(decoding.smooth(clip), edges, classes, decoding.thresholds) for clip in scores]
    found = EventTable.of(events, classes)
    expected = EventTable.of(truth, classes)
    groups = len(truth) * len(classes)
    references = np.bincount(expected.group, minlength=groups).reshape(-1, len(classes)).sum(axis=0)
    figures = []
    for hits in (collar_hits(found, expected, EVENT, groups), intersection_hits(found, expected, INTERSECTION, groups)):
        true, false = (counts.reshape(-1, len(classes)).sum(axis=0) for counts in hits)
        figures.append((2 * true / np.maximum(true + false + references, 1))[references > 0].mean())
    return np.array(figures)


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--operating_points", type=Path, required=True)
    parser.add_argument("--ground_truth", type=Path, required=True)
    parser.add_argument("--durations", type=Path, required=True)
    return parser.parse_args()


if __name__ == "__main__":
    main()
