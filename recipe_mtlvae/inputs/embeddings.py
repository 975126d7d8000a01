"""The input `embeddings`: the output of a pretrained encoder, computed once and stored.

Stores hold the encoder's rows. Each row consists of one or more steps of every layer (encoders/encoder.py). On the
output grid, each layer is interpolated between the true centres of its steps.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from recipe_mtlvae.conf import Conf
from recipe_mtlvae.corpus.metadata import Clip
from recipe_mtlvae.errors import Fault, fail
from recipe_mtlvae.inputs.encoders.encoder import Encoder, encoder_of
from recipe_mtlvae.inputs.registry import Input

if TYPE_CHECKING:
    from torch import Tensor, nn


class EmbeddingsInput(Input):
    """The embeddings of the configuration's encoder."""

    least_samples = 1

    def __init__(self, conf: Conf) -> None:
        super().__init__(conf)
        if (rate := conf.features.sample_rate) != (own := conf.encoder.sample_rate):
            what = f"features.sample_rate: expected {own} with embeddings, got {rate}"
            raise fail(what, "with another rate, n_fft, hop_length and f_max change in proportion")

    @functools.cached_property
    def encoder(self) -> Encoder:
        return encoder_of(self.conf, self.encoder_state)

    @property
    def from_audio(self) -> bool:
        return self.encoder.from_audio

    @property
    def portable(self) -> bool:
        return self.encoder.portable

    @property
    def width(self) -> int:
        return sum(layer.channels * layer.repeats for layer in self.encoder.layers)

    @property
    def hop(self) -> int:
        return self.encoder.row

    @property
    def reach(self) -> int:
        return self.encoder.reach

    @functools.cached_property
    def piece(self) -> int:
        return self.encoder.piece

    @property
    def key(self) -> str:
        return self.encoder.key

    def steps(self, samples: int) -> int:
        return self.encoder.frames if not self.from_audio else -(-samples // self.hop)

    def check(self) -> None:
        self.encoder.check()

    def lacking(self, split: str, names: Sequence[str]) -> list[Fault]:
        return self.encoder.lacking(split, names)

    def transform(self, real: bool = False) -> nn.Module:
        return self.encoder.transform(real)

    def compute(self, transform: nn.Module | None, samples: np.ndarray, clips: Sequence[Clip], split: str) -> Tensor:
        if self.from_audio:
            return super().compute(transform, samples, clips, split)
        import torch

        return torch.from_numpy(self.encoder.rows(split, [clip.name for clip in clips]))

    def on_grid(self, values: Tensor, steps: int, first: int = 0) -> Tensor:
        """Interpolate all layers on the output grid: (batch, width, rows) -> (batch, channels of all layers, steps)."""
        import torch

        features = self.conf.features
        step = features.hop_length * features.frames_per_step  # samples
        centres = ((torch.arange(steps, device=values.device) + 0.5) * step + first) / features.sample_rate  # s
        layers, begin = [], 0
        for layer in self.encoder.layers:
            row = values[:, begin : begin + layer.channels * layer.repeats].unflatten(1, (layer.repeats, -1))
            fine = row.permute(0, 2, 3, 1).flatten(2)  # (batch, channels, own steps)
            layers.append(_interpolated(fine, (centres - layer.centre) / layer.step))
            begin += layer.channels * layer.repeats
        return torch.cat(layers, dim=1)

    def scale(self, values: Tensor) -> Tensor:
        """Return the values unchanged: the network normalises them."""
        return values

    def mix(self, one: Tensor, other: Tensor, factor: float = 1.0, other_factor: float = 1.0) -> Tensor:
        """Return the maximum if both factors are 1, since encoders find a sound at any level; else the weighted sum.

        The toolkit uses the weighted sum.
        """
        return one.maximum(other) if factor == other_factor == 1.0 else super().mix(one, other, factor, other_factor)

    def gain(self, values: Tensor, decibels: Tensor) -> Tensor:
        return values


def encoder_state(inputs: Mapping[str, Input]) -> dict[str, Any] | None:
    """Return what a checkpoint saves of the pretrained encoder, so that it can detect; None without embeddings."""
    source = inputs.get("embeddings")
    return None if source is None else source.encoder.state


def _interpolated(values: Tensor, places: Tensor) -> Tensor:
    """Interpolate (batch, channels, steps) linearly at `places`, counted in steps; constant beyond the ends."""
    last = (values[0, 0] == values[0, 0]).sum() - 1  # not shape[2], which would be a constant in an ONNX file
    places = places.clamp(min=0).minimum(last)
    left = places.floor().long()
    right = (left + 1).minimum(last)
    return values[:, :, left].float().lerp(values[:, :, right].float(), places - left)
