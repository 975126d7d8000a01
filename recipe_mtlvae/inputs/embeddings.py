"""The input `embeddings`: what a pretrained encoder makes of a recording, computed once and stored.

A row holds 320 ms of all the encoder's layers: four steps of the fine one, two of the middle one, one of the coarse
one. On the output grid each layer is interpolated between the true centres of its steps.
"""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from recipe_mtlvae.conf import Conf
from recipe_mtlvae.errors import fail
from recipe_mtlvae.files import content_hash
from recipe_mtlvae.inputs.registry import Input

if TYPE_CHECKING:
    import torch
    from torch import Tensor, nn

_FORMAT = 1  # raised when the same weights give other values
CHANNELS = (256, 512, 1024)  # of the layers
REPEATS = (4, 2, 1)  # their steps to a row
WIDTH = sum(CHANNELS)  # values to an output step
ROW = 5120  # samples
REACH = 5  # rows: 1.58 s to either side, half of what a step of the last layer sees


class EmbeddingsInput(Input):
    """YAMNet's, with the weights of encoder.weights or those that a checkpoint carries."""

    hop, reach, least_samples, piece = ROW, REACH, 1, 1 << 19
    width = sum(channels * repeats for channels, repeats in zip(CHANNELS, REPEATS, strict=True))

    def __init__(self, conf: Conf) -> None:
        super().__init__(conf)
        if conf.features.sample_rate != 16_000:
            raise fail(f"features.sample_rate: expected 16000 with embeddings, got {conf.features.sample_rate}")

    @property
    def key(self) -> str:
        return content_hash(_FORMAT, self.conf.encoder.name, _file_hash(self._file()), self.conf.data.clip_seconds)

    def steps(self, samples: int) -> int:
        return -(-samples // ROW)

    def transform(self, real: bool = False) -> nn.Module:
        from recipe_mtlvae.inputs.encoders.yamnet_rows import YAMNetRows

        return YAMNetRows(self.encoder(), real)

    def encoder(self) -> nn.Module:
        """The pretrained network."""
        if self.carried is None:
            return _loaded(self._file())
        from recipe_mtlvae.inputs.encoders.yamnet import YAMNet

        net = YAMNet()
        try:
            net.load_state_dict(self.carried)
        except (AttributeError, RuntimeError, TypeError):
            raise fail("the checkpoint carries other weights than YAMNet's", "train again, or copy it again") from None
        return net

    def check(self) -> None:
        self.encoder()

    def on_grid(self, values: Tensor, steps: int, first: int = 0) -> Tensor:
        """(batch, width, rows) -> (batch, WIDTH, steps)"""
        import torch

        from recipe_mtlvae.inputs.encoders.yamnet import TAPS, tap_centre, tap_step

        features = self.conf.features
        step = features.hop_length * features.frames_per_step  # samples
        centres = ((torch.arange(steps, device=values.device) + 0.5) * step + first) / features.sample_rate  # s
        layers, begin = [], 0
        for tap, channels, repeats in zip(TAPS, CHANNELS, REPEATS, strict=True):
            row = values[:, begin : begin + channels * repeats]
            fine = row.unflatten(1, (repeats, channels)).permute(0, 2, 3, 1).flatten(2)  # (batch, channels, own steps)
            layers.append(_interpolated(fine, (centres - tap_centre(tap)) / tap_step(tap)))
            begin += channels * repeats
        return torch.cat(layers, dim=1)

    def scale(self, values: Tensor) -> Tensor:
        """As they are: the network normalises them."""
        return values

    def mix(self, one: Tensor, other: Tensor, factor: float = 1.0, other_factor: float = 1.0) -> Tensor:
        """What either sound makes an encoder see, whatever their levels; by factors, their sum, as the toolkit does."""
        return one.maximum(other) if factor == other_factor == 1.0 else super().mix(one, other, factor, other_factor)

    def gain(self, values: Tensor, decibels: Tensor) -> Tensor:
        return values

    def _file(self) -> Path:
        if self.conf.encoder.weights is None:
            what = "embeddings need the encoder's weights"
            raise fail(what, "stage 0 fetches them; or give the official yamnet.h5 as encoder.weights=FILE")
        return Path(self.conf.encoder.weights)


def carried_weights(inputs: Mapping[str, Input]) -> dict[str, torch.Tensor] | None:
    """What a checkpoint carries, so that it detects without another file: YAMNet's licence, Apache-2.0, allows it."""
    source = inputs.get("embeddings")
    return None if source is None else source.encoder().state_dict()


def _interpolated(values: Tensor, places: Tensor) -> Tensor:
    """(batch, channels, steps) at places counted in steps, linear between their neighbours, constant at the ends."""
    last = values.shape[2] - 1
    places = places.clamp(0, last)
    left = places.floor().long()
    right = (left + 1).clamp(max=last)
    return values[:, :, left].float().lerp(values[:, :, right].float(), places - left)


@functools.cache
def _loaded(file: Path) -> nn.Module:
    from recipe_mtlvae.inputs.encoders.yamnet_weights import load_yamnet

    return load_yamnet(file)


@functools.cache
def _file_hash(file: Path) -> str:
    """Of the file, and of the one beside it in which ONNX keeps large tensors."""
    try:
        parts = [path.read_bytes() for path in (file, file.with_suffix(".data")) if path == file or path.exists()]
    except OSError as error:
        hint = "give the official yamnet.h5, or the network as ONNX, in encoder.weights"
        raise fail(f"YAMNet's weights cannot be read ({error.strerror})", hint, file) from None
    return hashlib.sha256(b"".join(parts)).hexdigest()
