"""The report's system: the shared recurrent VAE and four-head loss, in the place of the mean-teacher CRNN."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytorch_lightning as pl
import torch
from torch import Tensor

from recipe_mtlvae.conf import NETWORKS, Conf
from recipe_mtlvae.data.batches import Batch, BatchPlan, TaskData, even_shares
from recipe_mtlvae.nets.checkpoint import build_network, recipe_entry
from recipe_mtlvae.nets.losses import kl_per_dimension, mtlvae_losses, weighted_sum
from recipe_mtlvae.nets.prediction import Prediction

ACTIVE_NATS = 0.01  # a latent dimension with less KL than this carries nothing (Burda et al., 2016)


class MTLVAETraining(pl.LightningModule):
    """One step: forward, the terms of Eq. 1, their weighted sum."""

    networks = NETWORKS["mtlvae"]  # those to validate; the first one selects

    def __init__(self, conf: Conf, classes: tuple[str, ...]) -> None:
        super().__init__()
        self.conf = conf
        self.classes = classes
        self.net = build_network(conf, len(classes))
        self.weights = dataclasses.asdict(conf.loss)

    @staticmethod
    def batch_plan(conf: Conf, tasks: dict[str, TaskData]) -> BatchPlan:
        """The report's batch: the active tasks share it evenly."""
        return BatchPlan(dict(tasks), even_shares(conf.train.batch_size, list(tasks)))

    def training_step(self, batch: Batch, batch_index: int) -> Tensor:
        features = batch.scaled()
        output = self.net(features)
        terms = mtlvae_losses(output, features, batch, self.net.variational)
        loss = weighted_sum(terms, self.weights)
        whole_epoch = {"on_step": False, "on_epoch": True, "batch_size": len(batch.features), "sync_dist": True}
        self.log_dict({f"loss/{name}": term.detach() for name, term in terms.items()}, **whole_epoch)
        self.log("loss/total", loss.detach(), prog_bar=True, **whole_epoch)
        if self.net.variational:
            with torch.no_grad():
                kl = kl_per_dimension(output.mu, output.logvar)
            summary = {"kl/mean": kl.mean(), "kl/max": kl.max(), "kl/active_dims": (kl > ACTIVE_NATS).sum().float()}
            self.log_dict(summary, **whole_epoch)
        return loss

    def validation_step(self, batch: Batch, batch_index: int, dataloader_idx: int = 0) -> dict[str, Prediction]:
        features = batch.scaled()
        return {name: getattr(self, name).predict(features) for name in self.networks}

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.Adam(self.net.parameters(), lr=self.conf.train.learning_rate)

    def on_train_batch_start(self, batch: Batch, batch_index: int) -> None:
        # z's noise depends on seed, step and process alone: a resumed run draws what an unbroken one draws
        torch.manual_seed((self.conf.seed * 1_000_003 + self.global_step) * 1_009 + self.global_rank)

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        checkpoint["recipe"] = recipe_entry(self.conf, self.classes)
