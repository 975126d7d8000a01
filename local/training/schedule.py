"""The planned length of a training, which a resumed run keeps, and what depends on it: warm-ups and learning rate."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from pytorch_lightning import LightningModule, Trainer
from pytorch_lightning.callbacks import WeightAveraging
from torch import Tensor, nn

from recipe_mtlvae.conf_sections import TrainConf
from recipe_mtlvae.errors import fail

WARM_UP_SHARE = 0.1  # of the planned steps: the warm-up of a cosine schedule


@dataclass(frozen=True)
class Plan:
    """The length that a run began with. Warm-ups and schedules follow it, even if the run is extended later."""

    epochs: int
    epoch_steps: int

    @property
    def steps(self) -> int:
        return self.epochs * self.epoch_steps


def plan_of(train: TrainConf, epoch_steps: int, begun: Plan | None) -> Plan:
    """Return the plan that a run began with; for a new run, the plan of the configuration.

    Raises RecipeError if train.max_epochs has changed and the learning rate is planned to end at zero.
    """
    if begun is None:
        return Plan(train.max_epochs, epoch_steps)
    if train.schedule == "cosine" and train.max_epochs != begun.epochs:
        what = f"train.max_epochs: expected {begun.epochs}, after which this run's learning rate reaches zero"
        raise fail(f"{what}, got {train.max_epochs}", "give --tag another name for another length")
    return begun


class _MovingAverage(WeightAveraging):
    """WeightAveraging on the right device: Lightning creates the average before it moves the network off the CPU."""

    state_key = WeightAveraging.__qualname__  # in checkpoints

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        self._device = trainer.strategy.root_device
        super().setup(trainer, pl_module, stage)


def moving_average(factor: float) -> WeightAveraging:
    """Return a callback with the exponential moving average of weights and buffers.

    Validation and checkpoints use the average. Early on its factor is smaller than `factor`, so that the random start
    is soon forgotten.
    """

    def average(mean: Tensor, value: Tensor, updates: Tensor) -> Tensor:
        kept = min(factor, (1.0 + float(updates)) / (10.0 + float(updates)))
        return torch.lerp(mean.float(), value.float(), 1.0 - kept)

    return _MovingAverage(avg_fn=average)


def averaged_network(trainer: Trainer) -> nn.Module:
    """Return the network of moving_average as a mean teacher: its own dropout and noise, batch norm as in inference."""
    averaging = next(callback for callback in trainer.callbacks if isinstance(callback, WeightAveraging))
    net = averaging._average_model.module.net.train()
    for module in net.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.eval()
    return net


def warm_up(step: int, steps: int) -> float:
    """Return the mean teacher's warm-up factor: exp(-5 (1 - step / steps)^2) until `steps`, then 1."""
    return math.exp(-5.0 * (1.0 - min(step, steps) / steps) ** 2) if steps else 1.0


def rate_factor(train: TrainConf, plan: Plan, step: int) -> float:
    """Return the factor of train.learning_rate at a step counted from 0."""
    if train.schedule == "constant":
        return 1.0
    rising = max(1, round(WARM_UP_SHARE * plan.steps))
    if step < rising:
        return (step + 1) / rising
    done = (step - rising) / max(1, plan.steps - rising)
    return 0.5 * (1.0 + math.cos(math.pi * min(1.0, done)))
