"""At the end of training: thresholds and median filters for use, chosen on clips of no test set, into best.ckpt."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from lightning_fabric.utilities.apply_func import move_data_to_device

from recipe_mtlvae.conf_sections import PostprocessConf
from recipe_mtlvae.inputs.batches import JoinedData, TaskData, evaluation_batches
from recipe_mtlvae.nets.checkpoint import Checkpoint, load_checkpoint, write_decoding
from recipe_mtlvae.scoring.box_tuning import decoding_by_aim, tune_boxes, tune_medians
from recipe_mtlvae.scoring.postprocess import Decoding
from recipe_mtlvae.scoring.precision_recall import CURVE_THRESHOLDS
from recipe_mtlvae.scoring.tuning import (
    MEDIAN_FILTERS,
    PRIOR_EVENTS,
    THRESHOLDS,
    StrongClips,
    Tuning,
    WeakClips,
    count_precision_recall,
    tune,
)
from recipe_mtlvae.systems import SYSTEMS

GRID = [
    THRESHOLDS,
    MEDIAN_FILTERS,
    PRIOR_EVENTS,
    CURVE_THRESHOLDS,
]  # a run that was tuned over another one is tuned again


def tune_checkpoint(
    path: Path, strong: Sequence[TaskData], weak: TaskData | JoinedData | None, fixed: PostprocessConf
) -> None:
    """Tune each network of the checkpoint on the clips that selected it, and write that into it."""
    networks = SYSTEMS[load_checkpoint(path).conf.system].networks
    tunings = {name: _tune(load_checkpoint(path, name), strong, weak, fixed) for name in networks}
    found = {
        name: {
            "thresholds": tuning.decoding.thresholds,
            "median_filters": tuning.decoding.median_filters,
            "precision_recall": tuning.precision_recall.as_dict(),
        }
        for name, tuning in tunings.items()
    }
    for name in networks if fixed.method == "bounding_boxes" else ():
        found[name] |= _boxes(load_checkpoint(path, name), strong, tunings[name].decoding, fixed.median_filter)
    write_decoding(path, found)
    for name, tuning in tunings.items():
        print(f"stage 1: {'' if name == 'net' else name + ': '}{in_words(tuning)}", flush=True)


def in_words(tuning: Tuning) -> str:
    """One line: what was chosen, and what it is worth."""
    figures = f"{100 * tuning.objective:.1f} against {100 * tuning.fixed_objective:.1f} % mean F1 on unseen folds"
    thresholds, filters = tuning.decoding.thresholds, tuning.decoding.median_filters
    if not tuning.better:
        return f"tuned thresholds and median filters are no better than the fixed ones, which stay ({figures})"
    return (
        f"tuned, {figures}: thresholds {min(thresholds):g} to {max(thresholds):g}, "
        f"median filters {min(filters)} to {max(filters)} steps"
    )


def _tune(
    checkpoint: Checkpoint, strong: Sequence[TaskData], weak: TaskData | JoinedData | None, fixed: PostprocessConf
) -> Tuning:
    clips, classes = _strong_clips(checkpoint, strong), checkpoint.classes
    none = WeakClips(clips.scores[:0], np.zeros((0, len(classes)), dtype=bool))
    return tune(
        clips,
        _weak_clips(checkpoint, weak) if weak else none,
        classes,
        strong[0].grid.step_seconds,
        fixed,
    )


def _boxes(checkpoint: Checkpoint, strong: Sequence[TaskData], decoding: Decoding, fixed: int) -> dict[str, Any]:
    """Bounding boxes' parameters, the median filters to compare them with, precision and recall with the boxes."""
    clips, step = _strong_clips(checkpoint, strong), strong[0].grid.step_seconds
    tuned = tune_boxes(clips, checkpoint.classes, step).as_dict()
    medians = tune_medians(clips, checkpoint.classes, step, fixed).as_dict()
    counts = count_precision_recall(clips, checkpoint.classes, step, decoding_by_aim(tuned, "events", decoding))
    return {"bounding_boxes": tuned, "median_reference": medians, "precision_recall": counts.as_dict()}


def _strong_clips(checkpoint: Checkpoint, strong: Sequence[TaskData]) -> StrongClips:
    scores = np.concatenate([_scores(checkpoint, data) for data in strong])
    events = [data.split.clips[row].events or () for data in strong for row in data.rows]
    durations = np.concatenate([data.split.store.durations[data.rows] for data in strong])
    return StrongClips(scores, events, durations)


def _weak_clips(checkpoint: Checkpoint, weak: TaskData | JoinedData) -> WeakClips:
    return WeakClips(_scores(checkpoint, weak), np.stack([weak.targets(index)[1] for index in range(len(weak))]) > 0)


def _scores(checkpoint: Checkpoint, data: TaskData | JoinedData) -> np.ndarray:
    """Strong probabilities (clips, steps, classes), from the stored features."""
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    net = checkpoint.net.to(device)
    batches = evaluation_batches(data, "clips", checkpoint.conf.train.batch_size)
    parts = [net.predict(**move_data_to_device(batch, device).scaled(data.inputs)).strong for batch in batches]
    return torch.cat(parts).float().cpu().numpy()
