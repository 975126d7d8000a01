"""Log-mel features, the baseline recipe's."""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor, nn

from recipe_mtlvae.conf import FeatureConf

BANDS = 16  # of one product: it takes only the bins that these bands touch, a sixth of a full product's work


def mel_filters(conf: FeatureConf) -> Tensor:
    """(bins, mels): triangles of height 1 on the HTK scale, to the last bit torchaudio's, whose order of steps this is.

    A band between two bins is empty.
    """
    bins = torch.linspace(0.0, conf.sample_rate // 2, conf.n_fft // 2 + 1)[:, None]  # Hz
    edges = _hertz(torch.linspace(_mel(conf.f_min), _mel(conf.f_max), conf.n_mels + 2))
    widths = edges[1:] - edges[:-1]
    rising = (bins - edges[:-2]) / widths[:-1]
    falling = (edges[2:] - bins) / widths[1:]
    return torch.minimum(rising, falling).clamp(min=0.0)


class LogMel(nn.Module):
    """Waveform to log-mel in dB, unscaled: frames centred every `hop_length` samples, ends mirrored.

    Mel amplitudes (HTK scale, unnormalised filters, symmetric Hamming window) as in the DCASE 2022 baseline;
    faster on a CPU than torchaudio's MelSpectrogram, since bands are multiplied with the bins that they touch alone.
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
        # not abs(): torch's is 3 times as slow, guarding against squares that overflow
        amplitudes = (spectrum[..., 0].square() + spectrum[..., 1].square()).sqrt()
        groups = [amplitudes[..., span] @ self.get_buffer(f"filters_{i}") for i, span in enumerate(self.spans)]
        mels = torch.cat(groups, dim=2).transpose(1, 2)  # (batch, mels, frames)
        decibels = 20.0 * torch.log10(mels.clamp(min=self.conf.amplitude_floor))
        return decibels.clamp(min=self.conf.db_min, max=self.conf.db_max)


def scale(log_mel: Tensor, scale_range: tuple[float, float]) -> Tensor:
    """(batch, mels, frames) -> the same from the lowest to the highest value of `scale_range`, each clip by itself.

    Constant clips give the lowest. The toolkit's formula: to [0, 1] at its commit 63d8b3b (2022), to [-1, 1] since
    471c35a (May 2024).
    """
    least, greatest = scale_range
    low = log_mel.amin(dim=(-2, -1), keepdim=True)
    high = log_mel.amax(dim=(-2, -1), keepdim=True)
    return (log_mel - low) / (high - low + 1e-8) * (greatest - least) + least


def band_centres(conf: FeatureConf) -> np.ndarray:
    """Centre frequencies of the mel bands in Hz (mels,)."""
    return _hertz(np.linspace(_mel(conf.f_min), _mel(conf.f_max), conf.n_mels + 2)[1:-1])


def _mel(hertz: float) -> float:
    """The HTK scale."""
    return 2595.0 * math.log10(1.0 + hertz / 700.0)


def _hertz(mel: np.ndarray | Tensor) -> np.ndarray | Tensor:
    return 700.0 * (10.0 ** (mel / 2595.0) - 1.0)
