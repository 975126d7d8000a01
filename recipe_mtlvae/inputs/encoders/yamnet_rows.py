"""YAMNet's layers packed side by side, as stored: one row of values every 320 ms."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from recipe_mtlvae.inputs.encoders.yamnet import FFT, WINDOW, YAMNet


class YAMNetRows(nn.Module):
    """(batch, samples) -> (batch, width, rows): of each layer the steps of a row, one after the other.

    real: without complex numbers, which ONNX's exporter refuses.
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
