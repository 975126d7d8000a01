"""A linear layer on the embeddings of each step; a clip's probabilities are the maxima over its steps."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from recipe_mtlvae.nets.prediction import Prediction


class LinearLayer(nn.Module):
    """Maps the embeddings of each step, normalized to mean 0 and standard deviation 1, to class logits."""

    def __init__(self, width: int, classes: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(width, elementwise_affine=False)
        self.dense = nn.Linear(width, classes)

    def forward(self, log_mel: Tensor, embeddings: Tensor) -> Tensor:
        """(batch, width, steps) -> logits (batch, steps, classes)"""
        return self.dense(self.norm(embeddings.transpose(1, 2)))

    @torch.inference_mode()
    def predict(self, log_mel: Tensor, embeddings: Tensor) -> Prediction:
        """Return the probabilities of steps and clips."""
        strong = torch.sigmoid(self(log_mel, embeddings))
        return Prediction(strong=strong, weak=strong.amax(dim=1))
