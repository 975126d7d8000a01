"""The inputs of the networks. Each input has a name, a rate, a width and a store of its own.

To add one, write a subclass of Input in a new file, list it in INPUTS, and add its name to the inputs of a system's
network: `inputs` in nets/<system>.py.
"""

from __future__ import annotations

import importlib
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from recipe_mtlvae.conf import Conf
from recipe_mtlvae.errors import Fault
from recipe_mtlvae.labels import samples_of
from recipe_mtlvae.systems import system_module

if TYPE_CHECKING:  # torch is slow to import, and stores are opened without it
    import numpy as np
    from torch import Tensor, nn

    from recipe_mtlvae.corpus.metadata import Clip

# By name: module, class
INPUTS = {
    "log_mel": ("recipe_mtlvae.inputs.log_mel", "LogMelInput"),
    "embeddings": ("recipe_mtlvae.inputs.embeddings", "EmbeddingsInput"),
}


class Input(ABC):
    """One input of a configuration, computed from a waveform at features.sample_rate.

    Its values (batch, width, steps) have the input's own rate and are unscaled. Stores hold them in this form, and the
    windows of long recordings are cut from them. A network takes them after `on_grid` and `scale`.
    """

    width: int  # values per step
    hop: int  # samples from one step to the next
    reach: int  # the values of a step depend on samples up to this many steps before and after
    least_samples: int  # length of the shortest waveform that can be computed
    per_step: int = 1  # values on the grid per output step
    piece: int = 1 << 15  # samples of a long recording computed at a time: their spectra stay in the cache
    encoder_state: Mapping[str, Any] | None = None  # what a checkpoint has saved of a pretrained encoder
    from_audio: bool = True  # False: read from files, which exist only for prepared splits
    portable: bool = True  # whether an exported file can contain the input

    def __init__(self, conf: Conf) -> None:
        self.conf = conf
        self.clip_samples = samples_of(conf.data.clip_seconds, conf.features.sample_rate)

    @property
    def shape(self) -> tuple[int, int]:
        """Shape (width, steps) of one clip's values."""
        return self.width, self.steps(self.clip_samples)

    @property
    @abstractmethod
    def key(self) -> str:
        """Hash of everything that the values of a clip depend on. It names the folder of the input's stores."""

    @abstractmethod
    def steps(self, samples: int) -> int:
        """Return the number of steps for a waveform of `samples` samples."""

    @abstractmethod
    def transform(self, real: bool = False) -> nn.Module:
        """Return the module that computes the values: (batch, samples) in [-1, 1] -> (batch, width, steps).

        real: use no complex numbers, for ONNX.
        """

    def check(self) -> None:  # noqa: B027
        """Raise RecipeError if files that are needed to compute the input are missing or damaged."""

    def lacking(self, split: str, names: Sequence[str]) -> list[Fault]:
        """Return a fault if the input's files lack clips of a split."""
        return []

    def compute(self, transform: nn.Module | None, samples: np.ndarray, clips: Sequence[Clip], split: str) -> Tensor:
        """Return the values (clips, width, steps) of some clips of a split.

        transform: the module that `transform` returns; None unless from_audio. samples: (clips, samples).
        """
        import torch

        return transform(torch.from_numpy(samples))

    @abstractmethod
    def scale(self, values: Tensor) -> Tensor:
        """Scale values on the grid as the network takes them."""

    def on_grid(self, values: Tensor, steps: int, first: int = 0) -> Tensor:
        """Return `per_step` values for each of `steps` output steps, at their true times.

        first: the sample at which the first output step begins, if the first value's hop begins at sample 0.
        """
        return values

    def mix(self, one: Tensor, other: Tensor, factor: float = 1.0, other_factor: float = 1.0) -> Tensor:
        """Return the values on the grid of two clips that sound together, each multiplied by its factor."""
        return factor * one + other_factor * other

    def gain(self, values: Tensor, decibels: Tensor) -> Tensor:
        """Return the values on the grid of the clips made louder by `decibels` (batch, 1, 1)."""
        return values * 10.0 ** (decibels / 20.0)


def input_names(conf: Conf) -> tuple[str, ...]:
    """Return the names of the inputs that the configuration's network takes."""
    return system_module(conf.system).inputs(conf)


def inputs_of(conf: Conf, encoder_state: Mapping[str, Any] | None = None) -> dict[str, Input]:
    """Return the inputs of the configuration's network by name: the keyword arguments of its forward and predict.

    encoder_state: what a checkpoint has saved of a pretrained encoder. None: there is no checkpoint, and the encoder is
    read from the file encoder.weights.
    """
    inputs = {}
    for name in input_names(conf):
        module, kind = INPUTS[name]
        inputs[name] = getattr(importlib.import_module(module), kind)(conf)
        inputs[name].encoder_state = encoder_state
    return inputs
