"""The input `log_mel`: the baseline recipe's log-mel spectrogram, in dB until it is scaled."""

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

_FORMAT = 2  # raised when the same settings give other values
_HASHED = {"n_mels": "mels", "hop_length": "hop"}  # keys that were renamed, as in the hash of stores from before


class LogMelInput(Input):
    """128 bands in 626 frames of 10 s at the baseline's settings; `features` of the configuration."""

    def __init__(self, conf: Conf) -> None:
        super().__init__(conf)
        features = conf.features
        self.width, self.hop, self.per_step = features.n_mels, features.hop_length, features.frames_per_step
        self.least_samples = features.n_fft // 2 + 1  # so that the ends can be mirrored
        self.reach = math.ceil(features.n_fft / 2 / features.hop_length)

    @property
    def key(self) -> str:
        """The output grid and the scaling, done when read, are no part of it."""
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
        """Amplitudes are added, all in dB (20 log10)."""
        return 20.0 * (factor * 10.0 ** (one / 20.0) + other_factor * 10.0 ** (other / 20.0)).log10()

    def gain(self, values: Tensor, decibels: Tensor) -> Tensor:
        return values + decibels


def scale(log_mel: Tensor, scale_range: tuple[float, float]) -> Tensor:
    """(batch, mels, frames) -> the same from the lowest to the highest value of `scale_range`, each clip by itself.

    Constant clips give the lowest. The toolkit's formula: to [0, 1] at its commit 63d8b3b (2022), to [-1, 1] since
    471c35a (May 2024).
    """
    least, greatest = scale_range
    low = log_mel.amin(dim=(-2, -1), keepdim=True)
    high = log_mel.amax(dim=(-2, -1), keepdim=True)
    return (log_mel - low) / (high - low + 1e-8) * (greatest - least) + least
