"""What every network of the recipe answers at inference, whatever its training."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor


@dataclass
class Prediction:
    """Probabilities in [0, 1]."""

    strong: Tensor  # (batch, steps, classes)
    weak: Tensor  # (batch, classes)
