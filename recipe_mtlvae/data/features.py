"""Log-mel features: the baseline recipe's, computed by torchaudio."""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor, nn
from torchaudio.transforms import MelSpectrogram

from recipe_mtlvae.conf import FeatureConf


class LogMel(nn.Module):
    """Waveform to log-mel in dB, unscaled: frames centred every `hop` samples, ends mirrored.

    Mel amplitudes (HTK scale, unnormalised filters, symmetric Hamming window) as in the DCASE 2022 baseline.
    """

    def __init__(self, conf: FeatureConf) -> None:
        super().__init__()
        self.conf = conf
        self.mel = MelSpectrogram(
            sample_rate=conf.sample_rate,
            n_fft=conf.n_fft,
            win_length=conf.n_fft,
            hop_length=conf.hop,
            f_min=conf.f_min,
            f_max=conf.f_max,
            n_mels=conf.mels,
            window_fn=torch.hamming_window,
            wkwargs={"periodic": False},
            power=1.0,  # amplitudes, not energies
        )

    def forward(self, waveform: Tensor) -> Tensor:
        """(batch, samples) in [-1, 1] -> (batch, mels, 1 + samples // hop) in dB, clamped to [db_min, db_max]."""
        if waveform.ndim != 2:
            raise ValueError(f"expected a waveform (batch, samples), got shape {tuple(waveform.shape)}")
        if waveform.shape[1] <= self.conf.n_fft // 2:
            raise ValueError(f"expected more than {self.conf.n_fft // 2} samples to mirror, got {waveform.shape[1]}")
        decibels = 20.0 * torch.log10(self.mel(waveform).clamp(min=self.conf.amplitude_floor))
        return decibels.clamp(min=self.conf.db_min, max=self.conf.db_max)


def scale(log_mel: Tensor) -> Tensor:
    """(batch, mels, frames) -> the same in [-1, 1], by each clip's own minimum and maximum; constant clips give -1."""
    low = log_mel.amin(dim=(-2, -1), keepdim=True)
    high = log_mel.amax(dim=(-2, -1), keepdim=True)
    return 2.0 * (log_mel - low) / (high - low + 1e-8) - 1.0


def band_centres(features: FeatureConf) -> np.ndarray:
    """Centre frequencies of the mel bands in Hz (mels,), on the HTK scale."""

    def mel(hertz: float) -> float:
        return 2595.0 * math.log10(1.0 + hertz / 700.0)

    points = np.linspace(mel(features.f_min), mel(features.f_max), features.mels + 2)[1:-1]
    return 700.0 * (10.0 ** (points / 2595.0) - 1.0)
