"""The network of the baseline recipe: convolutions with gated linear units, then a bidirectional GRU.

Reference: DCASE 2022 Task 4 baseline (DCASE-REPO/DESED_task). Names and shapes in the state dict are the
official ones, so that official weights load as they are. CRNN() is its 2022 configuration: 1,112,420 parameters.
"""

from __future__ import annotations

import math
from collections import OrderedDict
from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn

from recipe_mtlvae.nets.prediction import Prediction

FILTERS = (16, 32, 64, 128, 128, 128, 128)
POOLING = ((2, 2), (2, 2), (1, 2), (1, 2), (1, 2), (1, 2), (1, 2))  # (time, frequency)
ATTENTION_RANGE = (1e-7, 1.0)  # keeps the sum of the attention over steps above 0


class CRNNOutput(NamedTuple):
    """Probabilities in [0, 1]; unpacks as the toolkit's (strong, weak)."""

    strong: Tensor  # (batch, classes, steps)
    weak: Tensor  # (batch, classes)


class GLU(nn.Module):
    """Gated linear unit over channels: linear(x) * sigmoid(x)."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.linear = nn.Linear(channels, channels)

    def forward(self, maps: Tensor) -> Tensor:
        """(batch, channels, frames, bands) -> the same shape"""
        mixed = self.linear(maps.permute(0, 2, 3, 1))  # (batch, frames, bands, channels)
        mixed = mixed.permute(0, 3, 1, 2)  # (batch, channels, frames, bands); the ONNX exporter gets movedim wrong
        return mixed * torch.sigmoid(maps)


class Convolutions(nn.Module):
    """Blocks of convolution, batch norm, GLU, dropout and average pooling."""

    def __init__(self, filters: Sequence[int], pooling: Sequence[tuple[int, int]], dropout: float) -> None:
        super().__init__()
        blocks: OrderedDict[str, nn.Module] = OrderedDict()
        for i, (channels_in, channels, pool) in enumerate(zip((1, *filters), filters, pooling, strict=False)):
            blocks[f"conv{i}"] = nn.Conv2d(channels_in, channels, kernel_size=3, padding=1)
            blocks[f"batchnorm{i}"] = nn.BatchNorm2d(channels, eps=1e-3, momentum=0.99)
            blocks[f"glu{i}"] = GLU(channels)
            blocks[f"dropout{i}"] = nn.Dropout(dropout)
            blocks[f"pooling{i}"] = nn.AvgPool2d(pool)
        self.cnn = nn.Sequential(blocks)

    def forward(self, maps: Tensor) -> Tensor:
        """(batch, 1, frames, mels) -> (batch, channels, steps, bands)"""
        return self.cnn(maps)


class Recurrence(nn.Module):
    """A bidirectional GRU."""

    def __init__(self, width: int, hidden: int, layers: int, dropout: float) -> None:
        super().__init__()
        self.rnn = nn.GRU(width, hidden, layers, batch_first=True, bidirectional=True, dropout=dropout)

    def forward(self, steps: Tensor) -> Tensor:
        """(batch, steps, width) -> (batch, steps, 2 * hidden)"""
        return self.rnn(steps)[0]


class CRNN(nn.Module):
    """The baseline's convolutional recurrent network.

    Args:
        classes: number of event classes
        filters: channels of each convolution block
        pooling: (time, frequency) pooling of each block; the product of the frequency factors is the number of bands
        hidden: GRU cells per direction
        layers: GRU layers
        dropout: probability after each block and before the dense layers
        embedding_width: width of embeddings to fuse before the GRU, as in the baseline recipe of 2023; None: none
    """

    def __init__(
        self,
        classes: int = 10,
        filters: Sequence[int] = FILTERS,
        pooling: Sequence[tuple[int, int]] = POOLING,
        hidden: int = 128,
        layers: int = 2,
        dropout: float = 0.5,
        embedding_width: int | None = None,
    ) -> None:
        super().__init__()
        if len(filters) != len(pooling):
            raise ValueError(f"expected a pooling for each of the {len(filters)} blocks, got {len(pooling)}")
        self.frames_per_step = math.prod(time for time, _ in pooling)
        self.mels = math.prod(frequency for _, frequency in pooling)
        self.cnn = Convolutions(filters, pooling, dropout)
        self.rnn = Recurrence(filters[-1], hidden, layers, dropout=0.0)
        self.dropout = nn.Dropout(dropout)
        self.dense = nn.Linear(2 * hidden, classes)
        self.dense_softmax = nn.Linear(2 * hidden, classes)
        self.cat_tf = None if embedding_width is None else nn.Linear(filters[-1] + embedding_width, filters[-1])

    def forward(self, log_mel: Tensor, embeddings: Tensor | None = None) -> CRNNOutput:
        """Return the probabilities of scaled log-mel (batch, mels, frames); steps = frames // frames_per_step (4).

        embeddings: (batch, width, steps), needed if the network fuses them.
        """
        if log_mel.dim() != 3 or log_mel.shape[1] != self.mels or log_mel.shape[2] < self.frames_per_step:
            expected = f"(batch, {self.mels}, frames >= {self.frames_per_step})"
            raise ValueError(f"log_mel: expected {expected}, got {tuple(log_mel.shape)}")
        maps = self.cnn(log_mel.transpose(1, 2).unsqueeze(1))  # (batch, channels, steps, 1)
        seen = maps.squeeze(-1).transpose(1, 2)  # (batch, steps, channels)
        if self.cat_tf is not None:
            if embeddings is None:
                raise ValueError("embeddings: expected (batch, width, steps), got none")
            seen = self.cat_tf(self.dropout(torch.cat([seen, embeddings.transpose(1, 2)], dim=2)))
        hidden = self.dropout(self.rnn(seen))  # (batch, steps, 2 * hidden)
        strong = torch.sigmoid(self.dense(hidden))  # (batch, steps, classes)
        # The classes compete for each step: a softmax over classes, not over time
        attention = torch.softmax(self.dense_softmax(hidden), dim=-1).clamp(*ATTENTION_RANGE)
        weak = (strong * attention).sum(dim=1) / attention.sum(dim=1)  # (batch, classes)
        return CRNNOutput(strong=strong.transpose(1, 2), weak=weak)

    @torch.inference_mode()
    def predict(self, log_mel: Tensor, embeddings: Tensor | None = None) -> Prediction:
        """Return the probabilities of `forward` as strong (batch, steps, classes) and weak (batch, classes).

        Dropout is off and batch norm uses its running statistics, whatever mode the network is in.
        """
        training = self.training
        self.eval()
        try:
            strong, weak = self(log_mel, embeddings)
        finally:
            self.train(training)
        return Prediction(strong=strong.transpose(1, 2), weak=weak)
