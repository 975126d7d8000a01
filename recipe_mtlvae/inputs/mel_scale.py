"""The HTK mel scale."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from recipe_mtlvae.conf_sections import FeatureConf

if TYPE_CHECKING:
    from torch import Tensor


def band_centres(conf: FeatureConf) -> np.ndarray:
    """Return the centre frequencies of the mel bands in Hz (mels,)."""
    return hertz_of(np.linspace(mel_of(conf.f_min), mel_of(conf.f_max), conf.n_mels + 2)[1:-1])


def mel_of(hertz: float) -> float:
    """Convert Hz to mel: 2595 log10(1 + f / 700)."""
    return 2595.0 * math.log10(1.0 + hertz / 700.0)


def hertz_of(mel: np.ndarray | Tensor) -> np.ndarray | Tensor:
    """Convert mel to Hz, the inverse of mel_of."""
    return 700.0 * (10.0 ** (mel / 2595.0) - 1.0)
