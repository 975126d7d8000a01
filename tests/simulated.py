"""Scores of a system on simulated clips, with the truth, and run folders of these scores."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import yaml

from recipe_mtlvae.conf import conf_to_dict
from recipe_mtlvae.labels import Event
from recipe_mtlvae.report.comparison import measuring
from recipe_mtlvae.report.comparison.compared import ComparedSystem
from recipe_mtlvae.scoring.metrics import ClipStatistics, clip_statistics
from recipe_mtlvae.scoring.postprocess import events_above
from recipe_mtlvae.scoring.reference import Reference, reference_path, write_reference
from recipe_mtlvae.scoring.scores import ClipScores, ScoreFolder, write_scores
from tests.tiny import tiny_conf

CLASSES = ("Cat", "Dog", "Speech")
STEPS, STEP = 50, 0.2  # 10 s
CLIPS = 12  # of a run


def simulate(clips: int, seed: int) -> tuple[ScoreFolder, dict[str, list[Event]]]:
    """Return scores and truth. The scores find most events, up to a step early or late, and false ones as well."""
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


def simulated_run(folder: Path, seed: int = 1, classes: tuple[str, ...] = CLASSES, clips: int = CLIPS) -> Path:
    """Make a run folder with the clips and truth of seed 1. With another seed, noise is added to the scores."""
    scores, truth = simulate(clips, seed=1)
    noise = np.random.default_rng(seed)
    for clip, item in scores.clips.items():
        noisy = np.clip(item.scores + (seed > 1) * noise.normal(0.0, 0.3, size=item.scores.shape), 0.0, 1.0)
        write_scores(folder / "scores" / "validation", clip, noisy, STEP, classes)
    conf = tiny_conf(f"data.classes={json.dumps(CLASSES)}", "postprocess.median_filter=1")
    (folder / "conf.yaml").write_text(yaml.safe_dump(conf_to_dict(conf), sort_keys=False))
    reference = Reference(truth, dict.fromkeys(truth, STEPS * STEP), clips)
    write_reference(reference_path(folder, "validation"), reference)
    return folder


def opened(*sources: tuple[str, Path], given: Reference | None = None) -> list[ComparedSystem]:
    return measuring.compare(list(sources), given, "validation")
