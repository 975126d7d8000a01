"""The output of every network of the recipe at inference."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor


@dataclass
class Prediction:
    """Probabilities in [0, 1]."""

    strong: Tensor  # (batch, steps, classes)
    weak: Tensor  # (batch, classes)
