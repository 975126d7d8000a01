"""A system's scores on simulated clips, beside their truth."""

from __future__ import annotations

import numpy as np

from recipe_mtlvae.labels import Event
from recipe_mtlvae.scoring.metrics import ClipStatistics, clip_statistics
from recipe_mtlvae.scoring.postprocess import events_above
from recipe_mtlvae.scoring.scores import ClipScores, ScoreFolder

CLASSES = ("Cat", "Dog", "Speech")
STEPS, STEP = 50, 0.2  # 10 s


def simulate(clips: int, seed: int) -> tuple[ScoreFolder, dict[str, list[Event]]]:
    """Scores that find most events, a step early or late, some weakly, and other things as well."""
    rng = np.random.default_rng(seed)
    edges = np.arange(STEPS + 1) * STEP
    scores, truth = {}, {}
    for i in range(clips):
        logits = rng.normal(-1.5, 0.7, size=(1, len(CLASSES))) + rng.normal(0.0, 0.15, size=(STEPS, len(CLASSES)))
        truth[f"clip{i}"] = []
        for column, label in enumerate(CLASSES):
            if rng.random() < (0.6, 0.5, 0.3)[column]:
                first, length = rng.integers(1, 40), rng.integers(3, 10)
                truth[f"clip{i}"].append(Event(edges[first], edges[min(first + length, STEPS)], label))
                found = slice(first + rng.integers(-1, 2), first + length + rng.integers(-1, 2))
                logits[found, column] += rng.choice([3.0, 1.0], p=[0.75, 0.25]) + rng.normal(0.0, 0.7)
            if rng.random() < 0.3:
                first = rng.integers(0, 40)
                logits[first : first + rng.integers(2, 8), column] += rng.normal(1.5, 1.0)
        scores[f"clip{i}"] = ClipScores(edges, 1.0 / (1.0 + np.exp(-logits)))
    return ScoreFolder(CLASSES, scores), truth


def statistics_of(folder: ScoreFolder, truth: dict[str, list[Event]]) -> ClipStatistics:
    return clip_statistics(folder, events_above(folder, 0.5), truth, dict.fromkeys(folder.clips, STEPS * STEP))
