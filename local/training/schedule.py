"""How a training goes over its planned steps: the plan, which a continued run keeps, and the learning rate along it."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from pytorch_lightning import LightningModule, Trainer
from pytorch_lightning.callbacks import WeightAveraging
from torch import Tensor, nn

from recipe_mtlvae.conf_sections import TrainConf
from recipe_mtlvae.errors import fail

WARM_UP_SHARE = 0.1  # of the planned steps, of a cosine schedule


@dataclass(frozen=True)
class Plan:
    """What a run was begun with. Warm-ups and schedules follow it, also where the run goes on for longer."""

    epochs: int
    epoch_steps: int

    @property
    def steps(self) -> int:
        return self.epochs * self.epoch_steps


def plan_of(train: TrainConf, epoch_steps: int, begun: Plan | None) -> Plan:
    """The plan that a run was begun with, or where there is none yet, one of what is asked for.

    Raises RecipeError where another number of epochs is asked for and the learning rate ends at zero.
    """
    if begun is None:
        return Plan(train.max_epochs, epoch_steps)
    if train.schedule == "cosine" and train.max_epochs != begun.epochs:
        what = f"train.max_epochs: this run's learning rate is planned to reach zero after {begun.epochs} epochs"
        raise fail(f"{what}, {train.max_epochs} are asked for", "give --tag another name for another length")
    return begun


class _MovingAverage(WeightAveraging):
    """Lightning makes the average before it moves the network, and leaves it on the CPU."""

    state_key = WeightAveraging.__qualname__  # in checkpoints

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        self._device = trainer.strategy.root_device
        super().setup(trainer, pl_module, stage)


def moving_average(factor: float) -> WeightAveraging:
    """The weights' exponential moving average, in their place in validation and in checkpoints; buffers likewise.

    Early steps count for less than `factor` says, so that the random start is soon forgotten.
    """

    def average(mean: Tensor, value: Tensor, updates: Tensor) -> Tensor:
        kept = min(factor, (1.0 + float(updates)) / (10.0 + float(updates)))
        return torch.lerp(mean.float(), value.float(), 1.0 - kept)

    return _MovingAverage(avg_fn=average)


def averaged_network(trainer: Trainer) -> nn.Module:
    """The network of moving_average as a mean teacher: with dropout and noise of its own, its statistics at rest."""
    averaging = next(callback for callback in trainer.callbacks if isinstance(callback, WeightAveraging))
    net = averaging._average_model.module.net.train()
    for module in net.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.eval()
    return net


def warm_up(step: int, steps: int) -> float:
    """The mean teacher's: exp(-5 (1 - step / steps)^2) until `steps`, then 1."""
    return math.exp(-5.0 * (1.0 - min(step, steps) / steps) ** 2) if steps else 1.0


def rate_factor(train: TrainConf, plan: Plan, step: int) -> float:
    """Of train.learning_rate, at a step counted from 0."""
    if train.schedule == "constant":
        return 1.0
    rising = max(1, round(WARM_UP_SHARE * plan.steps))
    if step < rising:
        return (step + 1) / rising
    done = (step - rising) / max(1, plan.steps - rising)
    return 0.5 * (1.0 + math.cos(math.pi * min(1.0, done)))
