"""A linear layer on each step's embeddings; a clip's score is that of its highest step."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from recipe_mtlvae.nets.prediction import Prediction


class LinearLayer(nn.Module):
    """Each step's embeddings, brought to mean 0 and deviation 1, to logits of the classes."""

    def __init__(self, width: int, classes: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(width, elementwise_affine=False)
        self.dense = nn.Linear(width, classes)

    def forward(self, log_mel: Tensor, embeddings: Tensor) -> Tensor:
        """(batch, width, steps) -> logits (batch, steps, classes)"""
        return self.dense(self.norm(embeddings.transpose(1, 2)))

    @torch.inference_mode()
    def predict(self, log_mel: Tensor, embeddings: Tensor) -> Prediction:
        """Probabilities of steps and clips."""
        strong = torch.sigmoid(self(log_mel, embeddings))
        return Prediction(strong=strong, weak=strong.amax(dim=1))
