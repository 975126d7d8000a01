"""Model selection: the score of each epoch, by which the best one is chosen."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytorch_lightning as pl
import torch

from local.training.divergence import require_finite
from recipe_mtlvae.conf_sections import PostprocessConf
from recipe_mtlvae.inputs.batches import JoinedData, TaskData
from recipe_mtlvae.labels import Event
from recipe_mtlvae.nets.prediction import Prediction
from recipe_mtlvae.scoring.postprocess import median_filter, to_events
from recipe_mtlvae.scoring.selection import intersection_f1, macro_f1


class Selection(pl.Callback):
    """The score by which the best epoch is chosen, as in the baseline recipe.

    It is the mean intersection F1 over the strong select splits (strong probabilities), plus macro F1 on the held-out
    part of the weak set and the weak select splits (clip probabilities), if there are any. Each network of the module
    gets its own score; that of the first one counts.
    """

    def __init__(
        self, strong: Sequence[TaskData], weak: TaskData | JoinedData | None, decoding: PostprocessConf
    ) -> None:
        self.strong, self.weak = strong, weak
        self.decoding = decoding

    def on_validation_epoch_start(self, trainer: pl.Trainer, module: pl.LightningModule) -> None:
        sets = len(self.strong) + 1
        self.seen: dict[str, list[list[np.ndarray]]] = {name: [[] for _ in range(sets)] for name in module.networks}

    def on_validation_batch_end(
        self,
        trainer: pl.Trainer,
        module: pl.LightningModule,
        outputs: dict[str, Prediction],
        batch: Any,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        for name, prediction in outputs.items():
            scores = prediction.strong if dataloader_idx < len(self.strong) else prediction.weak
            self.seen[name][dataloader_idx].append(scores.float().cpu().numpy())

    def on_validation_epoch_end(self, trainer: pl.Trainer, module: pl.LightningModule) -> None:
        selection = {}
        for name, (*strong, weak) in self.seen.items():
            prefix = "val/" if name == "net" else f"val/{name}_"
            pairs = zip(strong, self.strong, strict=True)
            found = [self._intersection_f1(_gather(parts, data), data) for parts, data in pairs]
            scores = {f"{prefix}intersection_f1": sum(found) / len(found)}
            if self.weak is not None:
                scores[f"{prefix}weak_f1"] = self._weak_f1(_gather(weak, self.weak), self.weak)
            module.log_dict(scores, sync_dist=True)  # the same on every process
            selection[name] = sum(scores.values())
        module.log("val/selection", selection[module.networks[0]], prog_bar=True, sync_dist=True)

    def _intersection_f1(self, scores: np.ndarray, data: TaskData) -> float:
        """`scores` (clips, steps, classes)"""
        detected: dict[str, list[Event]] = {}
        truth: dict[str, tuple[Event, ...]] = {}
        edges = data.grid.edges()
        for row, clip_scores in zip(data.rows, scores, strict=True):
            clip = data.split.clips[row]
            smoothed = median_filter(clip_scores, self.decoding.median_filter)
            detected[clip.name] = to_events(smoothed, edges, data.classes, self.decoding.threshold)
            truth[clip.name] = clip.events or ()
        return intersection_f1(detected, truth, data.classes)

    def _weak_f1(self, scores: np.ndarray, data: TaskData | JoinedData) -> float:
        """`scores` (clips, classes)"""
        targets = np.stack([data.targets(i)[1] for i in range(len(data))])
        return macro_f1(scores > self.decoding.threshold, targets > 0)


def _gather(parts: list[np.ndarray], data: TaskData | JoinedData) -> np.ndarray:
    """Return the scores of all clips in the set's order, gathered from all processes.

    Process r has clips r, r + world, ... Raises RecipeError for clips whose scores and features are not finite.
    """
    mine = np.concatenate(parts)
    if not torch.distributed.is_initialized():
        require_finite(mine, data)
        return mine
    shares: list[Any] = [None] * torch.distributed.get_world_size()
    torch.distributed.all_gather_object(shares, mine)
    whole = np.empty((len(data), *mine.shape[1:]), mine.dtype)
    for rank, share in enumerate(shares):
        rows = whole[rank :: len(shares)]
        rows[...] = share[: len(rows)]  # a process without a clip of its own repeated another one
    require_finite(whole, data)
    return whole
