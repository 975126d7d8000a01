"""From waveforms to log-mel in dB, as in the baseline recipe."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from recipe_mtlvae.conf_sections import FeatureConf
from recipe_mtlvae.inputs.mel_scale import hertz_of, mel_of

BANDS = 16  # per matrix product: a product takes only the bins that its bands touch, in all a sixth of the work


def mel_filters(conf: FeatureConf) -> Tensor:
    """Return triangular filters of height 1 on the HTK mel scale (bins, mels).

    They equal torchaudio's to the last bit, because the order of operations is the same. A filter that lies between
    two bins is all zeros.
    """
    bins = torch.linspace(0.0, conf.sample_rate // 2, conf.n_fft // 2 + 1)[:, None]  # Hz
    edges = hertz_of(torch.linspace(mel_of(conf.f_min), mel_of(conf.f_max), conf.n_mels + 2))
    widths = edges[1:] - edges[:-1]
    rising = (bins - edges[:-2]) / widths[:-1]
    falling = (edges[2:] - bins) / widths[1:]
    return torch.minimum(rising, falling).clamp(min=0.0)


class LogMel(nn.Module):
    """Compute log-mel in dB, unscaled. Frames are centred every `hop_length` samples; the ends are mirrored.

    Mel amplitudes (HTK scale, unnormalised filters, symmetric Hamming window) are as in the DCASE 2022 baseline. It is
    faster on a CPU than torchaudio's MelSpectrogram, because bands are multiplied only with the bins that they touch.
    """

    def __init__(self, conf: FeatureConf) -> None:
        super().__init__()
        self.conf = conf
        self.register_buffer("window", torch.hamming_window(conf.n_fft, periodic=False), persistent=False)
        self.spans: list[slice] = []  # bins of each group of bands
        for number, bands in enumerate(mel_filters(conf).split(BANDS, dim=1)):
            touched = bands.any(dim=1).nonzero().flatten().tolist() or [0]
            self.spans.append(slice(touched[0], touched[-1] + 1))
            self.register_buffer(f"filters_{number}", bands[self.spans[-1]].contiguous(), persistent=False)

    def forward(self, waveform: Tensor) -> Tensor:
        """(batch, samples) in [-1, 1] -> (batch, n_mels, 1 + samples // hop_length) in dB in [db_min, db_max]."""
        if waveform.ndim != 2:
            raise ValueError(f"expected a waveform (batch, samples), got shape {tuple(waveform.shape)}")
        if waveform.shape[1] <= self.conf.n_fft // 2:
            raise ValueError(f"expected more than {self.conf.n_fft // 2} samples to mirror, got {waveform.shape[1]}")
        half = self.conf.n_fft // 2
        mirrored = nn.functional.pad(waveform[:, None], (half, half), mode="reflect")[:, 0]
        frames = mirrored.unfold(1, self.conf.n_fft, self.conf.hop_length)  # (batch, frames, n_fft)
        spectrum = torch.view_as_real(torch.fft.rfft(frames * self.window))  # (batch, frames, bins, 2)
        # torch's abs() takes 3 times as long, because it guards against overflow of the squares
        amplitudes = (spectrum[..., 0].square() + spectrum[..., 1].square()).sqrt()
        groups = [amplitudes[..., span] @ self.get_buffer(f"filters_{i}") for i, span in enumerate(self.spans)]
        mels = torch.cat(groups, dim=2).transpose(1, 2)  # (batch, mels, frames)
        decibels = 20.0 * torch.log10(mels.clamp(min=self.conf.amplitude_floor))
        return decibels.clamp(min=self.conf.db_min, max=self.conf.db_max)


class RealLogMel(nn.Module):
    """LogMel without complex numbers, which the ONNX exporter does not accept.

    The DFT of n_fft = rows * columns samples is computed in two steps (Cooley and Tukey, 1965): over the rows and,
    after multiplication by the twiddle factors, over the columns. Compared with one matrix product, this takes a tenth
    of the work and a thirtieth of the storage.
    """

    def __init__(self, conf: FeatureConf) -> None:
        super().__init__()
        self.conf = conf
        self.rows = max(n for n in range(1, math.isqrt(conf.n_fft) + 1) if conf.n_fft % n == 0)
        self.columns = conf.n_fft // self.rows
        kept = self.columns // 2 + 1  # bins of the columns; the others mirror these
        n1, n2 = torch.arange(self.rows), torch.arange(self.columns)
        self.register_buffer("window", LogMel(conf).window)
        self._register("first", n1[:, None] * n1, self.rows)  # (rows, rows)
        self._register("turn", n1[:, None] * n2, conf.n_fft)  # (rows, columns)
        self._register("second", n2[:, None] * torch.arange(kept), self.columns)  # (columns, kept)
        filters = torch.zeros(self.rows * kept, conf.n_mels)
        bins = min(conf.n_fft // 2 + 1, len(filters))
        filters[:bins] = mel_filters(conf)[:bins]
        self.register_buffer("filters", filters)  # bin k1 + rows * k2, (kept * rows, mels)

    def _register(self, name: str, turns: Tensor, whole: int) -> None:
        angle = (turns % whole).double() * (2 * math.pi / whole)
        self.register_buffer(f"{name}_cos", angle.cos().float())
        self.register_buffer(f"{name}_sin", (-angle.sin()).float())

    def forward(self, waveform: Tensor) -> Tensor:
        """See LogMel.forward."""
        half = self.conf.n_fft // 2
        mirrored = nn.functional.pad(waveform, (half, half), mode="reflect")
        frames = self._frames(mirrored) * self.window
        mel = self._amplitudes(frames.reshape(len(frames), -1, self.rows, self.columns)) @ self.filters
        decibels = 20.0 * torch.log10(mel.transpose(1, 2).clamp(min=self.conf.amplitude_floor))
        return decibels.clamp(min=self.conf.db_min, max=self.conf.db_max)

    def _frames(self, samples: Tensor) -> Tensor:
        """(batch, samples) -> (batch, frames, n_fft), joined from blocks so that tracing fixes no length."""
        block = math.gcd(self.conf.n_fft, self.conf.hop_length)
        whole = samples[:, : samples.shape[1] // block * block].reshape(samples.shape[0], -1, block)
        count, step = self.conf.n_fft // block, self.conf.hop_length // block
        return torch.cat([whole[:, i : i + 1 - count or None : step] for i in range(count)], dim=2)

    def _amplitudes(self, frames: Tensor) -> Tensor:
        """(batch, frames, rows, columns), sample n at (n // columns, n % columns) -> (batch, frames, kept * rows)"""
        real, imaginary = self.first_cos @ frames, self.first_sin @ frames
        real, imaginary = (
            real * self.turn_cos - imaginary * self.turn_sin,
            real * self.turn_sin + imaginary * self.turn_cos,
        )
        real, imaginary = (
            real @ self.second_cos - imaginary @ self.second_sin,
            real @ self.second_sin + imaginary @ self.second_cos,
        )
        amplitudes = torch.sqrt(real * real + imaginary * imaginary)  # (batch, frames, k1, k2)
        return amplitudes.transpose(2, 3).reshape(len(frames), -1, len(self.filters))
