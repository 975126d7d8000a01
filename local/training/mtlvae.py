"""The report's system: the shared recurrent VAE and four-head loss, in the place of the mean-teacher CRNN."""

from __future__ import annotations

import dataclasses

import torch
from torch import Tensor

from local.training.base import SystemTraining
from local.training.schedule import averaged_network, warm_up
from recipe_mtlvae.inputs.batches import Batch
from recipe_mtlvae.nets.losses import consistency_mse, kl_per_dimension, masked_mse, mtlvae_losses, weighted_sum
from recipe_mtlvae.nets.masking import hidden, random_spans
from recipe_mtlvae.nets.prediction import Prediction
from recipe_mtlvae.tasks import TASKS

ACTIVE_NATS = 0.01  # a latent dimension with less KL than this carries nothing (Burda et al., 2016)


class MTLVAETraining(SystemTraining):
    """One step: forward, the terms of Eq. 1, their weighted sum."""

    def training_step(self, batch: Batch, batch_index: int) -> Tensor:
        is_consistent = self.conf.loss.consistency > 0
        taught = clips_without_strong_labels(batch) if is_consistent else None
        if self.conf.vae.reconstructs == "all" and "reconstruction" in batch.spans:
            batch = dataclasses.replace(batch, spans=batch.spans | {"reconstruction": slice(0, len(batch))})
        inputs = batch.scaled(self.inputs)
        shown = {name: values[taught] for name, values in inputs.items()} if is_consistent else {}
        log_mel, rows = inputs["log_mel"], batch.spans.get("reconstruction")
        if masked := self.conf.vae.masked > 0 and rows is not None:
            mask = random_spans(rows.stop - rows.start, log_mel.shape[2], self.conf.vae.masked, log_mel.device)
            inputs["log_mel"] = log_mel.clone()
            inputs["log_mel"][rows] = hidden(log_mel[rows], mask)
        everywhere = dict.fromkeys(self.net.inference_heads(), slice(0, len(batch))) if is_consistent else {}
        output = self.net(**inputs, rows=batch.spans | everywhere)
        logits = output.heads
        output.heads = logits | {task: logits[task][batch.spans[task]] for task in everywhere}
        terms = mtlvae_losses(output, log_mel, batch, self.net.variational)
        if masked:
            terms["reconstruction"] = masked_mse(output.heads["reconstruction"], log_mel[rows], mask)
        if is_consistent:
            ours = self.net.probabilities({task: logits[task][taught] for task in everywhere})
            terms["consistency"] = consistency_mse(ours, self._average(shown))
        loss = weighted_sum(terms, self._weights())
        figures = {f"loss/{name}": term for name, term in terms.items()}
        if self.net.variational:
            with torch.no_grad():
                kl = kl_per_dimension(output.mu, output.logvar)
            active = (kl > ACTIVE_NATS).sum().float()
            figures |= {"kl/mean": kl.mean(), "kl/max": kl.max(), "kl/active_dims": active}
        self.log_figures(batch, loss, figures)
        return loss

    @torch.no_grad()
    def _average(self, inputs: dict[str, Tensor]) -> Prediction:
        """The probabilities of the weights' moving average."""
        net = averaged_network(self.trainer)
        return net.probabilities(net(**inputs, rows=dict.fromkeys(net.inference_heads(), slice(None))).heads)

    def _weights(self) -> dict[str, float]:
        """Eq. 1's; the KL divergence's and the consistency's on their way up."""
        steps = self.conf.vae.kld_warmup_steps
        weights = dataclasses.asdict(self.conf.loss)
        weights["kld"] *= min(1.0, (self.global_step + 1) / steps) if steps else 1.0
        if weights["consistency"]:
            weights["consistency"] *= warm_up(self.global_step, self.plan.steps // 4)
        return weights


def clips_without_strong_labels(batch: Batch) -> Tensor:
    """The rows of the weak and the unlabeled clips, which a mean teacher tells when an event sounds."""
    spans = [rows for task, rows in batch.spans.items() if TASKS[task].labels != "strong"]
    return torch.tensor([row for rows in spans for row in range(rows.start, rows.stop)], dtype=torch.long)
