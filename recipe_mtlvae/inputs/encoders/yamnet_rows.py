"""The encoder `yamnet`: its layers packed into one row of values every 320 ms, as stored.

A row holds four steps of the finest layer, two steps of the middle one and one step of the coarsest.
"""

from __future__ import annotations

import functools
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from recipe_mtlvae.errors import fail
from recipe_mtlvae.files import content_hash
from recipe_mtlvae.inputs.encoders.encoder import Encoder, Layer, file_hash
from recipe_mtlvae.inputs.encoders.yamnet import FFT, TAPS, WINDOW, YAMNet, tap_centre, tap_step
from recipe_mtlvae.inputs.encoders.yamnet_weights import load_yamnet

_FORMAT = 1  # incremented when the same weights give other values


class YAMNetEncoder(Encoder):
    """YAMNet with the weights in the file encoder.weights, or with those in a checkpoint."""

    layers = tuple(
        Layer(channels, repeats, tap_centre(tap), tap_step(tap))
        for tap, channels, repeats in zip(TAPS, (256, 512, 1024), (4, 2, 1), strict=True)
    )
    row, piece = 5120, 1 << 19
    reach = 5  # 1.58 s before and after: half the receptive field of the last layer

    @property
    def key(self) -> str:
        return content_hash(_FORMAT, "yamnet", file_hash(self.file), self.conf.data.clip_seconds)

    @property
    def state(self) -> dict[str, Any]:
        """All weights, so that a checkpoint needs no other file to detect. YAMNet's licence (Apache-2.0) allows it."""
        return self.net().state_dict()

    def check(self) -> None:
        self.net()

    def transform(self, real: bool = False) -> nn.Module:
        return YAMNetRows(self.net(), real)

    def net(self) -> YAMNet:
        """Return the pretrained network."""
        if self.saved is None:
            return _loaded(self.file)
        net = YAMNet()
        try:
            net.load_state_dict(self.saved)
        except (AttributeError, RuntimeError, TypeError):
            raise fail("the checkpoint's weights are not YAMNet's", "train again, or copy it again") from None
        if not all(value.isfinite().all() for value in self.saved.values()):
            raise fail("the checkpoint's weights of YAMNet are not all finite", "train again, or copy it again")
        return net


class YAMNetRows(nn.Module):
    """Compute rows: (batch, samples) -> (batch, width, rows). A row holds each layer's steps, layer after layer.

    real: use no complex numbers, which the ONNX exporter does not accept.
    """

    def __init__(self, net: YAMNet, real: bool = False) -> None:
        super().__init__()
        self.net = net
        self.real = real
        if real:
            turns = torch.outer(torch.arange(WINDOW), torch.arange(FFT // 2 + 1)) % FFT
            angles = turns.double() * (2 * torch.pi / FFT)
            self.register_buffer("cosines", angles.cos().float(), persistent=False)
            self.register_buffer("sines", angles.sin().float(), persistent=False)

    def forward(self, waveform: Tensor) -> Tensor:
        spectrum = self._real_spectrum if self.real else None
        layers = self.net(waveform, spectrum)
        rows = layers[-1].shape[1]
        packed = [layer.reshape(layer.shape[0], rows, -1) for layer in layers]  # (batch, rows, steps * channels)
        return torch.cat(packed, dim=2).transpose(1, 2)

    def _real_spectrum(self, frames: Tensor) -> Tensor:
        """(batch, frames, WINDOW) -> magnitudes (batch, frames, bins)"""
        return torch.sqrt((frames @ self.cosines).square() + (frames @ self.sines).square())


@functools.cache
def _loaded(file: Path) -> YAMNet:
    return load_yamnet(file)
