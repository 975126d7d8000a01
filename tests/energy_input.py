"""A made-up input: the mean square of every 320 ms, five output steps."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from recipe_mtlvae.conf import Conf
from recipe_mtlvae.files import content_hash
from recipe_mtlvae.inputs.registry import Input

HOP = 5120  # samples
STEP = 1024  # samples to an output step


class EnergyInput(Input):
    width, hop, reach, least_samples = 1, HOP, 0, 1

    def __init__(self, conf: Conf) -> None:
        super().__init__(conf)
        self.key = content_hash("energy", conf.data.clip_seconds)

    key = ""

    def steps(self, samples: int) -> int:
        return -(-samples // HOP)

    def transform(self, real: bool = False) -> nn.Module:
        return MeanSquare()

    def on_grid(self, values: Tensor, steps: int, first: int = 0) -> Tensor:
        """(batch, 1, own steps) -> (batch, 1, steps), linear between the steps' middles."""
        middles = ((torch.arange(steps) + 0.5) * STEP + first) / HOP - 0.5
        left = middles.floor().clamp(0, values.shape[2] - 2).long()
        return torch.lerp(values[:, :, left].float(), values[:, :, left + 1].float(), middles - left)

    def scale(self, values: Tensor) -> Tensor:
        return 10.0 * values


class MeanSquare(nn.Module):
    def forward(self, waveform: Tensor) -> Tensor:
        padded = nn.functional.pad(waveform, (0, -waveform.shape[1] % HOP))
        return padded.square().unflatten(1, (-1, HOP)).mean(dim=2)[:, None]
