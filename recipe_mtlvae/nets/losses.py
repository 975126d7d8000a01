"""The multi-task loss: L = 2 * BCE_strong + BCE_weak + MSE + KLD (technical report, Eq. 1).

The two strong terms stand for 2 * BCE_strong, since the report sums one objective per task. Each term is a
mean over its own elements: a KL divergence summed over latent dimensions would collapse the posterior to the prior.
"""

from __future__ import annotations

from typing import Mapping  # noqa: UP035  Python 3.8

import torch
from torch import Tensor
from torch.nn import functional

from recipe_mtlvae.nets.prediction import Prediction
from recipe_mtlvae.nets.vae import VAEOutput
from recipe_mtlvae.tasks import TASKS


def strong_bce(logits: Tensor, targets: Tensor) -> Tensor:
    """Return the binary cross-entropy, a mean over (clips, steps, classes)."""
    return functional.binary_cross_entropy_with_logits(logits, targets)


def weak_bce(logits: Tensor, targets: Tensor) -> Tensor:
    """Return the binary cross-entropy, a mean over (clips, classes)."""
    return functional.binary_cross_entropy_with_logits(logits, targets)


def reconstruction_mse(reconstruction: Tensor, features: Tensor) -> Tensor:
    """Return the squared error, a mean over (clips, mels, frames), without frames after the last whole step."""
    return functional.mse_loss(reconstruction, features[:, :, : reconstruction.shape[2]])


def masked_mse(reconstruction: Tensor, features: Tensor, mask: Tensor) -> Tensor:
    """Return reconstruction_mse over the frames in `mask` (clips, 1, frames) alone."""
    frames = reconstruction.shape[2]
    mask = mask[:, :, :frames].expand_as(reconstruction)
    return functional.mse_loss(reconstruction[mask], features[:, :, :frames][mask])


def kl_per_dimension(mu: Tensor, logvar: Tensor) -> Tensor:
    """Return KL(N(mu, exp(logvar)) || N(0, 1)) in nats of each latent dimension (latent,), a mean over clips, steps."""
    divergence = -0.5 * (1.0 + logvar - mu.square() - logvar.exp())
    return divergence.flatten(end_dim=-2).mean(dim=0)


def consistency_mse(ours: Prediction, average: Prediction) -> Tensor:
    """Return a mean teacher's consistency loss: the MSE of the strong probabilities plus that of the weak ones."""
    return functional.mse_loss(ours.strong, average.strong) + functional.mse_loss(ours.weak, average.weak)


# By the kind of loss in tasks.py: the function, and the part of the batch that is the target
LOSSES = {
    "strong_bce": (strong_bce, "strong"),
    "weak_bce": (weak_bce, "weak"),
    "reconstruction_mse": (reconstruction_mse, "features"),
}


def mtlvae_losses(output: VAEOutput, features: Tensor, batch, variational: bool = True) -> dict[str, Tensor]:
    """Return the terms of Eq. 1 by name, unweighted: one for each task in the batch, and kld if variational.

    `batch` is a recipe_mtlvae.inputs.batches.Batch, `features` are its scaled log-mel (batch, mels, frames). `output`
    is net(features, batch.spans): each head's output for the clips of its task. The KL term covers all clips.
    """
    targets = {"strong": batch.strong, "weak": batch.weak, "features": features}
    terms = {}
    for task, rows in batch.spans.items():
        loss, target = _loss_of(task)
        terms[task] = loss(output.heads[task], targets[target][rows])
    if variational:
        terms["kld"] = kl_per_dimension(output.mu, output.logvar).mean()
    return terms


def _loss_of(task: str) -> tuple:
    """The entry of LOSSES for a task. Raises ValueError for an unknown task or loss."""
    if task not in TASKS:
        raise ValueError(f"expected clips of the tasks {', '.join(TASKS)}; got '{task}'")
    if TASKS[task].loss not in LOSSES:
        raise ValueError(f"task '{task}': expected one of the losses {', '.join(LOSSES)}; got '{TASKS[task].loss}'")
    return LOSSES[TASKS[task].loss]


def weighted_sum(terms: Mapping[str, Tensor], weights: Mapping[str, float]) -> Tensor:
    """Return the loss: the sum of the terms, each times the weight of the same name.

    Raises KeyError for a term without a weight.
    """
    missing = sorted(set(terms) - set(weights))
    if missing:
        raise KeyError(f"no weight for the loss terms {missing}")
    return torch.stack([weights[name] * term for name, term in terms.items()]).sum()
