"""The report's system: the shared recurrent VAE and its four-head loss, in place of the mean-teacher CRNN."""

from __future__ import annotations

import dataclasses

import torch
from torch import Tensor

from local.training.base import SystemTraining
from local.training.schedule import averaged_network, warm_up
from recipe_mtlvae.inputs.batches import Batch
from recipe_mtlvae.nets.losses import consistency_mse, kl_per_dimension, masked_mse, mtlvae_losses, weighted_sum
from recipe_mtlvae.nets.masking import hidden, random_spans
from recipe_mtlvae.nets.vae import VAEOutput
from recipe_mtlvae.tasks import TASKS

ACTIVE_NATS = 0.01  # a latent dimension with less KL than this carries nothing (Burda et al., 2016)


class MTLVAETraining(SystemTraining):
    """Trains with the terms of Eq. 1 and, if configured, masked reconstruction and consistency with a mean teacher."""

    def training_step(self, batch: Batch, batch_index: int) -> Tensor:
        is_consistent = self.conf.loss.consistency > 0
        taught = clips_without_strong_labels(batch) if is_consistent else None
        if self.conf.vae.reconstructs == "all" and "reconstruction" in batch.spans:
            batch = dataclasses.replace(batch, spans=batch.spans | {"reconstruction": slice(0, len(batch))})
        inputs = batch.scaled(self.inputs)
        seen, mask = self._masked(inputs, batch.spans.get("reconstruction"))
        detecting = dict.fromkeys(self.net.inference_heads(), slice(0, len(batch))) if is_consistent else {}
        output = self.net(**seen, rows=batch.spans | detecting)
        detected = {task: output.heads[task] for task in detecting}  # logits of all clips
        output.heads.update({task: logits[batch.spans[task]] for task, logits in detected.items()})
        terms = mtlvae_losses(output, inputs["log_mel"], batch, self.net.variational)
        if mask is not None:
            original = inputs["log_mel"][batch.spans["reconstruction"]]
            terms["reconstruction"] = masked_mse(output.heads["reconstruction"], original, mask)
        if is_consistent:
            terms["consistency"] = self._consistency(detected, inputs, taught)
        loss = weighted_sum(terms, self._weights())
        self.log_figures(batch, loss, {f"loss/{name}": term for name, term in terms.items()} | self._kl(output))
        return loss

    def _masked(self, inputs: dict[str, Tensor], rows: slice | None) -> tuple[dict[str, Tensor], Tensor | None]:
        """Return the inputs of the encoder, and the mask (clips, 1, frames) of the frames hidden from it, if any."""
        share = self.conf.vae.masked
        if not share or rows is None:
            return inputs, None
        log_mel = inputs["log_mel"].clone()
        mask = random_spans(rows.stop - rows.start, log_mel.shape[2], share, log_mel.device)
        log_mel[rows] = hidden(log_mel[rows], mask)
        return inputs | {"log_mel": log_mel}, mask

    def _consistency(self, logits: dict[str, Tensor], inputs: dict[str, Tensor], clips: Tensor) -> Tensor:
        """Return the MSE between the probabilities of the network (`logits`: all clips) and of its moving average."""
        ours = self.net.probabilities({task: of_all[clips] for task, of_all in logits.items()})
        with torch.no_grad():
            net = averaged_network(self.trainer)
            shown = {name: values[clips] for name, values in inputs.items()}
            heads = net(**shown, rows=dict.fromkeys(net.inference_heads(), slice(None))).heads
            average = net.probabilities(heads)
        return consistency_mse(ours, average)

    @torch.no_grad()
    def _kl(self, output: VAEOutput) -> dict[str, Tensor]:
        """Return the KL divergence (nats) over the latent dimensions, to be logged."""
        if not self.net.variational:
            return {}
        kl = kl_per_dimension(output.mu, output.logvar)
        return {"kl/mean": kl.mean(), "kl/max": kl.max(), "kl/active_dims": (kl > ACTIVE_NATS).sum().float()}

    def _weights(self) -> dict[str, float]:
        """Return the weight of each term at this step; those of KL divergence and consistency have a warm-up."""
        steps = self.conf.vae.kld_warmup_steps
        weights = dataclasses.asdict(self.conf.loss)
        weights["kld"] *= min(1.0, (self.global_step + 1) / steps) if steps else 1.0
        if weights["consistency"]:
            weights["consistency"] *= warm_up(self.global_step, self.plan.steps // 4)
        return weights


def clips_without_strong_labels(batch: Batch) -> Tensor:
    """Return the rows of the weak and unlabeled clips, for which only a mean teacher says when events sound."""
    spans = [rows for task, rows in batch.spans.items() if TASKS[task].labels != "strong"]
    return torch.tensor([row for rows in spans for row in range(rows.start, rows.stop)], dtype=torch.long)
