"""The input `log_mel`: the log-mel spectrogram of the baseline recipe, in dB before scaling."""

from __future__ import annotations

import dataclasses
import math
from typing import TYPE_CHECKING

from recipe_mtlvae.conf import Conf
from recipe_mtlvae.files import content_hash
from recipe_mtlvae.inputs.registry import Input
from recipe_mtlvae.labels import frames_of

if TYPE_CHECKING:
    from torch import Tensor, nn

_FORMAT = 2  # incremented when the same settings give other values
_HASHED = {"n_mels": "mels", "hop_length": "hop"}  # renamed keys -> old names, which keep older stores valid


class LogMelInput(Input):
    """Log-mel with the settings of the section `features`. The baseline's give 128 bands and 626 frames for 10 s."""

    def __init__(self, conf: Conf) -> None:
        super().__init__(conf)
        features = conf.features
        self.width, self.hop, self.per_step = features.n_mels, features.hop_length, features.frames_per_step
        self.least_samples = features.n_fft // 2 + 1  # so that the ends can be mirrored
        self.reach = math.ceil(features.n_fft / 2 / features.hop_length)

    @property
    def key(self) -> str:
        """Hash of the settings, without output grid and scaling, which are applied when the store is read."""
        settings = dataclasses.asdict(self.conf.features)
        del settings["frames_per_step"], settings["scale_range"]
        hashed = {_HASHED.get(key, key): value for key, value in settings.items()}
        return content_hash(_FORMAT, hashed, self.conf.data.clip_seconds)

    def steps(self, samples: int) -> int:
        return frames_of(self.conf.features, samples)

    def transform(self, real: bool = False) -> nn.Module:
        from recipe_mtlvae.inputs.mel_transform import LogMel, RealLogMel

        return (RealLogMel if real else LogMel)(self.conf.features)

    def scale(self, values: Tensor) -> Tensor:
        return scale(values, self.conf.features.scale_range)

    def mix(self, one: Tensor, other: Tensor, factor: float = 1.0, other_factor: float = 1.0) -> Tensor:
        """Add the amplitudes. Arguments and result are in dB (20 log10)."""
        return 20.0 * (factor * 10.0 ** (one / 20.0) + other_factor * 10.0 ** (other / 20.0)).log10()

    def gain(self, values: Tensor, decibels: Tensor) -> Tensor:
        return values + decibels


def scale(log_mel: Tensor, scale_range: tuple[float, float]) -> Tensor:
    """Scale each clip of (batch, mels, frames) linearly, from its own minimum and maximum to `scale_range`.

    Constant clips get the lower end of the range. The formula is the toolkit's: to [0, 1] at its commit 63d8b3b
    (2022), to [-1, 1] since 471c35a (May 2024).
    """
    least, greatest = scale_range
    low = log_mel.amin(dim=(-2, -1), keepdim=True)
    high = log_mel.amax(dim=(-2, -1), keepdim=True)
    return (log_mel - low) / (high - low + 1e-8) * (greatest - least) + least
