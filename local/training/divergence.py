"""Detect a training that diverges.

A loss or a score that is not finite ends the training with an error that names the recording or the term at fault. An
exploding loss and a collapsed posterior cause a warning.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import numpy as np
import pytorch_lightning as pl
import torch

from local.training.history import EpochRow
from recipe_mtlvae.errors import Fault, RecipeError, fail, warn
from recipe_mtlvae.inputs.batches import BatchPlan, JoinedData, MultiTaskSampler, TaskData
from recipe_mtlvae.machine import is_rank_zero

EXPLODED = 10.0  # times the first epoch's loss: above this, the loss explodes


class DivergenceWarnings(pl.Callback):
    """Warn once if the loss explodes, and once if the posterior collapses to the prior: nothing can then be detected.

    rows: those of history.csv for the epochs so far.
    """

    def __init__(self, rows: Sequence[EpochRow]) -> None:
        self.rows, self.said = rows, set()

    def on_train_epoch_end(self, trainer: pl.Trainer, module: pl.LightningModule) -> None:
        loss, active = (float(trainer.callback_metrics.get(name, "nan")) for name in ("loss/total", "kl/active_dims"))
        first = self.rows[0]["loss/total"] if self.rows else loss
        if loss > EXPLODED * first > 0:
            what = f"the loss explodes: {loss:.3g} in epoch {trainer.current_epoch + 1}, {first:.3g} in the first one"
            self._once(trainer, f"{what}; lower train.learning_rate under another --tag")
        if active < 1:
            what = "the posterior has collapsed: no latent dimension carries more than 0.01 nats"
            self._once(trainer, f"{what}; lower loss.kld, or see README, 'When it does not learn'")

    def _once(self, trainer: pl.Trainer, text: str) -> None:
        kind = text.partition(":")[0]
        if trainer.is_global_zero and kind not in self.said:
            self.said.add(kind)
            warn(text)


class FiniteLoss(pl.Callback):
    """End the training if a loss is not finite.

    Each loss is checked only after the next batch is read, without waiting for a GPU. Only the first process checks:
    another process's loss reaches the shared weights, and so its own loss, one step later.
    """

    def __init__(self, plan: BatchPlan) -> None:
        self.plan = plan
        self.last: tuple[int, dict[str, torch.Tensor]] | None = None  # a step and its figures, not checked yet

    def on_train_batch_start(self, trainer: pl.Trainer, module: pl.LightningModule, *_: Any) -> None:
        self._look(trainer)

    def on_train_batch_end(self, trainer: pl.Trainer, module: pl.LightningModule, *_: Any) -> None:
        self.last = trainer.global_step - 1, module.figures

    def on_train_epoch_end(self, trainer: pl.Trainer, module: pl.LightningModule) -> None:
        self._look(trainer)
        weights = module.state_dict()
        if trainer.is_global_zero and not all(value.isfinite().all() for value in weights.values()):
            raise self._fault(trainer, trainer.global_step - 1, ["the weights"])

    def _look(self, trainer: pl.Trainer) -> None:
        if self.last is None or not trainer.is_global_zero:
            return
        (step, figures), self.last = self.last, None
        if not figures["loss/total"].isfinite():
            terms = [name.removeprefix("loss/") for name, value in figures.items() if not value.isfinite()]
            raise self._fault(trainer, step, terms)

    def _fault(self, trainer: pl.Trainer, step: int, terms: list[str]) -> RecipeError:
        sampler = trainer.train_dataloader.sampler
        steps = [step] if step == 0 else [step - 1, step]
        if faults := list(_clips_at_fault(self.plan, sampler, steps)):
            return RecipeError(*faults)
        terms = [term for term in terms if term != "total"] or terms
        what = f"training diverged: {', '.join(terms)} not finite in step {step}, epoch {trainer.current_epoch + 1}"
        return fail(what, "lower train.learning_rate, or the weight of that loss, under another --tag")


def _clips_at_fault(plan: BatchPlan, sampler: MultiTaskSampler, steps: Iterable[int]) -> Iterator[Fault]:
    """Yield a fault for each clip in these steps, on any process, whose stored features are not finite."""
    drawn = {(task, index) for step in steps for task, rows in sampler.drawn(step).items() for index in rows}
    for task, index in sorted(drawn):
        if not _is_finite(plan.sets[task], index):
            yield _fault_of(plan.sets[task], index)


def require_finite(scores: np.ndarray, data: TaskData | JoinedData) -> None:
    """Raise RecipeError, on the first process, for clips whose scores (clips, ...) and features are not finite."""
    wrong = [] if not is_rank_zero() else np.flatnonzero(~np.isfinite(scores).reshape(len(scores), -1).all(axis=1))
    if faults := [_fault_of(data, int(index)) for index in wrong if not _is_finite(data, int(index))]:
        raise RecipeError(*faults)


def _is_finite(data: TaskData | JoinedData, index: int) -> bool:
    part, row = data.place(index)
    return all(np.isfinite(store.read([row])).all() for store in part.split.stores.values())


def _fault_of(data: TaskData | JoinedData, index: int) -> Fault:
    part, row = data.place(index)
    clip = part.split.clips[row]
    hint = "it is far too loud, or not audio: correct it, or take it out of the metadata, and run stage 0 again"
    return Fault(f"the features of '{clip.name}' ({part.split.name}) are not finite", hint, clip.path)
