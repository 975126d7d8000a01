"""At the end of training, tune thresholds and median filters, without any test clips, and write them to best.ckpt."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from lightning_fabric.utilities.apply_func import move_data_to_device

from recipe_mtlvae.conf_sections import PostprocessConf
from recipe_mtlvae.inputs.batches import JoinedData, TaskData, evaluation_batches
from recipe_mtlvae.nets.checkpoint import Checkpoint, load_checkpoint, write_decoding
from recipe_mtlvae.scoring.bounding_boxes import ABSOLUTE, LENGTHS, RELATIVE
from recipe_mtlvae.scoring.box_tuning import MEDIAN_SECONDS, MIDDLE_FIRST, decoding_by_aim, tune_boxes, tune_medians
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

# Part of what stage 1 depends on: after a change of the grid, tuning is repeated
GRID = [THRESHOLDS, MEDIAN_FILTERS, PRIOR_EVENTS, CURVE_THRESHOLDS]
BOX_GRID = [LENGTHS, ABSOLUTE, RELATIVE, MEDIAN_SECONDS, MIDDLE_FIRST]


def tune_checkpoint(
    path: Path, strong: Sequence[TaskData], weak: TaskData | JoinedData | None, fixed: PostprocessConf
) -> None:
    """Tune each network of the checkpoint on the clips that selected the best epoch, and write the result to `path`."""
    found, lines, step = {}, [], strong[0].grid.step_seconds
    for name in SYSTEMS[load_checkpoint(path).conf.system].networks:
        checkpoint = load_checkpoint(path, name)
        classes, clips = checkpoint.classes, _strong_clips(checkpoint, strong)
        tuning = tune(clips, _weak_clips(checkpoint, weak, clips), classes, step, fixed)
        counts, boxes = tuning.precision_recall, {}
        if fixed.method == "bounding_boxes":
            boxes["bounding_boxes"] = tune_boxes(clips, classes, step).as_dict()
            boxes["median_reference"] = tune_medians(clips, classes, step, fixed.median_filter).as_dict()
            decoding = decoding_by_aim(boxes["bounding_boxes"], "events", tuning.decoding)
            counts = count_precision_recall(clips, classes, step, decoding)
        found[name] = {
            "thresholds": tuning.decoding.thresholds,
            "median_filters": tuning.decoding.median_filters,
            "precision_recall": counts.as_dict(),
            **boxes,
        }
        lines.append(f"stage 1: {'' if name == 'net' else name + ': '}{in_words(tuning)}")
    write_decoding(path, found)
    print("\n".join(lines), flush=True)


def in_words(tuning: Tuning) -> str:
    """Return one line: the chosen values, and their F1 beside that of the fixed ones."""
    figures = f"{100 * tuning.objective:.1f} against {100 * tuning.fixed_objective:.1f} % mean F1 on unseen folds"
    thresholds, filters = tuning.decoding.thresholds, tuning.decoding.median_filters
    if not tuning.better:
        return f"tuned thresholds and median filters are no better than the fixed ones, which stay ({figures})"
    return (
        f"tuned, {figures}: thresholds {min(thresholds):g} to {max(thresholds):g}, "
        f"median filters {min(filters)} to {max(filters)} steps"
    )


def _strong_clips(checkpoint: Checkpoint, strong: Sequence[TaskData]) -> StrongClips:
    scores = np.concatenate([_scores(checkpoint, data) for data in strong])
    events = [data.split.clips[row].events or () for data in strong for row in data.rows]
    durations = np.concatenate([data.split.store.durations[data.rows] for data in strong])
    return StrongClips(scores, events, durations)


def _weak_clips(checkpoint: Checkpoint, weak: TaskData | JoinedData | None, strong: StrongClips) -> WeakClips:
    if weak is None:
        return WeakClips(strong.scores[:0], np.zeros((0, len(checkpoint.classes)), dtype=bool))
    return WeakClips(_scores(checkpoint, weak), np.stack([weak.targets(index)[1] for index in range(len(weak))]) > 0)


def _scores(checkpoint: Checkpoint, data: TaskData | JoinedData) -> np.ndarray:
    """Strong probabilities (clips, steps, classes), from the stored features."""
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    net = checkpoint.net.to(device)
    batches = evaluation_batches(data, "clips", checkpoint.conf.train.batch_size)
    parts = [net.predict(**move_data_to_device(batch, device).scaled(data.inputs)).strong for batch in batches]
    return torch.cat(parts).float().cpu().numpy()
