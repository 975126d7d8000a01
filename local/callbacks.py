"""What happens around the training steps: model selection, the history file, a warning."""

from __future__ import annotations

import csv
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import EarlyStopping
from pytorch_lightning.utilities import rank_zero_warn

from recipe_mtlvae.conf_sections import PostprocessConf
from recipe_mtlvae.files import atomic_write
from recipe_mtlvae.inputs.batches import JoinedData, TaskData
from recipe_mtlvae.labels import Event
from recipe_mtlvae.nets.prediction import Prediction
from recipe_mtlvae.scoring.postprocess import median_filter, to_events
from recipe_mtlvae.scoring.selection import intersection_f1, macro_f1


class Selection(pl.Callback):
    """The score by which the best epoch is chosen, as in the baseline recipe.

    Intersection F1 on the strong select splits (strong probabilities), their mean, + macro F1 on the held-out part of
    the weak set and the weak select splits (clip probabilities), where there are any. Each network of the module gets
    its own score, the first one's counts.
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
        self, trainer: pl.Trainer, module: pl.LightningModule, outputs: dict[str, Prediction], *args: Any
    ) -> None:
        dataloader_idx = args[2] if len(args) > 2 else 0
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


class EndProcesses(pl.Callback):
    """Where training ends before its time, the processes beside this one end at once.

    They may wait for this one, and it for them.
    """

    def on_exception(self, trainer: pl.Trainer, module: pl.LightningModule, exception: BaseException) -> None:
        processes = getattr(trainer.strategy.launcher, "procs", [])
        ended, processes[:] = processes[:], []  # else Lightning's observer, which has the same list, kills this one
        for process in ended:
            process.kill()
            process.wait()


def _gather(parts: list[np.ndarray], data: TaskData | JoinedData) -> np.ndarray:
    """All clips' scores in the set's order, from the processes' shares (process r has clips r, r + world, ...)."""
    mine = np.concatenate(parts)
    if not torch.distributed.is_initialized():
        return mine
    shares: list[Any] = [None] * torch.distributed.get_world_size()
    torch.distributed.all_gather_object(shares, mine)
    whole = np.empty((len(data), *mine.shape[1:]), mine.dtype)
    for rank, share in enumerate(shares):
        rows = whole[rank :: len(shares)]
        rows[...] = share[: len(rows)]  # a process without a share repeated a clip
    return whole


class History(pl.Callback):
    """history.csv: one row an epoch, every logged figure by its name; a resumed run goes on where it left off."""

    def __init__(self, file: Path, batch_size: int, show: bool) -> None:
        self.file = file
        self.batch_size = batch_size
        self.show = show  # one line an epoch on screen, where no progress bar is

    def on_train_epoch_start(self, trainer: pl.Trainer, module: pl.LightningModule) -> None:
        self.started = time.perf_counter()

    def on_train_epoch_end(self, trainer: pl.Trainer, module: pl.LightningModule) -> None:
        if not trainer.is_global_zero:
            return
        seconds = time.perf_counter() - self.started
        clips = trainer.num_training_batches * self.batch_size
        row = {"epoch": trainer.current_epoch, "step": trainer.global_step, "clips": clips, "seconds": seconds}
        row |= {name: float(value) for name, value in sorted(trainer.callback_metrics.items()) if "/" in name}
        if self.show:
            text = f"epoch {row['epoch'] + 1}/{trainer.max_epochs}  {seconds:.1f} s  loss {row['loss/total']:.3f}"
            print(text + f"  selection {row.get('val/selection', float('nan')):.3f}", flush=True)
        earlier = [kept for kept in read_history(self.file) if kept["epoch"] < row["epoch"]]
        write_history(self.file, [*earlier, row])


def read_history(file: Path) -> list[dict[str, float]]:
    """The rows of a history.csv; none where the file is not there."""
    if not file.exists():
        return []
    with file.open(newline="", encoding="utf-8") as stream:
        return [{name: float(value) for name, value in row.items() if value} for row in csv.DictReader(stream)]


def write_history(file: Path, rows: list[dict[str, float]]) -> None:
    with atomic_write(file) as temporary, temporary.open("w", newline="", encoding="utf-8") as stream:
        writer = csv.DictWriter(stream, list(rows[-1]), restval="", extrasaction="ignore")
        writer.writeheader()
        writer.writerows(rows)


class Patience(EarlyStopping):
    """Stops once no epoch of the last `epochs` was the best; those of a warm-up, which hardly learns, do not count."""

    def __init__(self, epochs: int) -> None:
        super().__init__("val/selection", mode="max", patience=epochs)

    def on_train_epoch_end(self, trainer: pl.Trainer, module: pl.LightningModule) -> None:
        if trainer.global_step > module.warm_up_steps:
            super().on_train_epoch_end(trainer, module)

    def on_validation_end(self, trainer: pl.Trainer, module: pl.LightningModule) -> None:
        if trainer.global_step > module.warm_up_steps:
            super().on_validation_end(trainer, module)


class CollapseWarning(pl.Callback):
    """Says once when the posterior has become the prior: z is noise then, and nothing can be detected from it."""

    warned = False

    def on_train_epoch_end(self, trainer: pl.Trainer, module: pl.LightningModule) -> None:
        active = trainer.callback_metrics.get("kl/active_dims")
        if active is not None and float(active) < 1 and not self.warned:
            self.warned = True
            rank_zero_warn(
                "the posterior has collapsed: no latent dimension carries more than 0.01 nats; "
                "lower loss.kld, or see README, 'When it does not learn'"
            )
