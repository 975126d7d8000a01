"""What the training of all systems shares: validation, augmentation, noise, logging, what a checkpoint holds."""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from typing import Any

import pytorch_lightning as pl
import torch
from torch import Tensor

from local.training.schedule import Plan, rate_factor
from recipe_mtlvae.conf import Conf
from recipe_mtlvae.inputs.augment import augment
from recipe_mtlvae.inputs.batches import Batch, BatchPlan, TaskData, even_shares
from recipe_mtlvae.inputs.embeddings import encoder_state
from recipe_mtlvae.inputs.registry import inputs_of
from recipe_mtlvae.nets.checkpoint import build_network, recipe_entry
from recipe_mtlvae.nets.prediction import Prediction
from recipe_mtlvae.systems import SYSTEMS
from recipe_mtlvae.tasks import TASKS


class SystemTraining(pl.LightningModule):
    """Base class of the systems' training, with the report's batches and optimiser; subclasses add training_step."""

    warm_up_steps = 0
    set_labels: Mapping[str, str] = {name: task.labels for name, task in TASKS.items()}  # strong | weak | none, by set
    plan: Plan  # set before the training begins
    figures: Mapping[str, Tensor]  # of the last step, by name

    def __init__(self, conf: Conf, classes: tuple[str, ...]) -> None:
        super().__init__()
        self.conf = conf
        self.classes = classes
        self.networks = SYSTEMS[conf.system].networks  # to be validated; the first one's score selects the best epoch
        self.inputs = inputs_of(conf)
        self.net = build_network(conf, len(classes))

    @staticmethod
    def batch_plan(conf: Conf, tasks: dict[str, TaskData]) -> BatchPlan:
        """Return the report's batch: the active tasks share it evenly, unless train.shares is set."""
        shares = conf.train.shares or even_shares(conf.train.batch_size, list(tasks))
        return BatchPlan(dict(tasks), {task: shares[task] for task in tasks})

    def configure_optimizers(self) -> dict[str, Any]:
        train = self.conf.train
        optimizer = torch.optim.AdamW(self.net.parameters(), lr=train.learning_rate, weight_decay=train.weight_decay)
        schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: rate_factor(train, self.plan, step))
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}

    def validation_step(self, batch: Batch, batch_index: int, dataloader_idx: int = 0) -> dict[str, Prediction]:
        inputs = batch.scaled(self.inputs)
        return {name: getattr(self, name).predict(**inputs) for name in self.networks}

    def on_train_batch_start(self, batch: Batch, batch_index: int) -> None:
        # noise depends only on seed, step and process: a resumed run draws the same as an uninterrupted one
        torch.manual_seed((self.conf.seed * 1_000_003 + self.global_step) * 1_009 + self.global_rank)
        augment(batch, self.conf, self.set_labels)

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        checkpoint["recipe"] = recipe_entry(self.conf, self.classes)
        if (encoder := encoder_state(self.inputs)) is not None:
            checkpoint["recipe"]["encoder"] = encoder

    def log_figures(self, batch: Batch, loss: Tensor, figures: Mapping[str, Tensor]) -> None:
        """Log the weighted sum as loss/total and the other figures by their names, as means over the epoch."""
        whole_epoch = {"on_step": False, "on_epoch": True, "batch_size": len(batch), "sync_dist": True}
        self.log_dict({name: figure.detach() for name, figure in figures.items()}, **whole_epoch)
        self.figures = {name: figure.detach() for name, figure in figures.items()} | {"loss/total": loss.detach()}
        self.log("loss/total", loss.detach(), prog_bar=True, **whole_epoch)


def training_of(conf: Conf) -> type[SystemTraining]:
    """Return the training class of conf.system."""
    return getattr(importlib.import_module(f"local.training.{conf.system}"), SYSTEMS[conf.system].training)
