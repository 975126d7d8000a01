"""A stand-in for Lightning's trainer, so that a test can take one training step without a whole training."""

from __future__ import annotations

from types import SimpleNamespace

import torch
from pytorch_lightning.callbacks import WeightAveraging

from local.training.base import SystemTraining
from local.training.schedule import moving_average


def attach_trainer(module: SystemTraining, step: int, device: torch.device | str = "cpu") -> list[WeightAveraging]:
    """Attach a trainer at global step `step` to `module`; return its callbacks: the moving average, if there is one."""
    callbacks = []
    if factor := module.conf.train.weight_average:
        callbacks = [moving_average(factor)]
        callbacks[0].setup(SimpleNamespace(strategy=SimpleNamespace(root_device=torch.device(device))), module, "fit")
    module._trainer = SimpleNamespace(global_step=step, global_rank=0, callbacks=callbacks)
    return callbacks
