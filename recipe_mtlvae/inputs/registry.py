"""What networks see of a clip: named inputs, each with a rate, a width and a store of its own.

To add one: a file with its subclass of Input, its line in INPUTS, and its name among what a system's network takes:
`inputs` in nets/<system>.py.
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
    """One input of a configuration, computed from a waveform of features.sample_rate.

    What a store holds of it and what a long recording is cut from are its values (batch, width, steps) at its own rate,
    unscaled. A network takes them on_grid, then scaled.
    """

    width: int  # values a step
    hop: int  # samples from one step to the next
    reach: int  # steps to either side whose samples a step's values depend on
    least_samples: int  # that a waveform must have
    per_step: int = 1  # values on the grid to an output step
    piece: int = 1 << 15  # samples of a long recording at a time: their spectra stay in the cache
    carried: Mapping[str, Any] | None = None  # what a checkpoint keeps of a pretrained encoder
    from_audio: bool = True  # False: read from files, for prepared splits alone
    portable: bool = True  # whether an exported file can hold it

    def __init__(self, conf: Conf) -> None:
        self.conf = conf
        self.clip_samples = samples_of(conf.data.clip_seconds, conf.features.sample_rate)

    @property
    def shape(self) -> tuple[int, int]:
        """(width, steps) of one clip."""
        return self.width, self.steps(self.clip_samples)

    @property
    @abstractmethod
    def key(self) -> str:
        """Hash of all that the values of a clip depend on, which names the folder of its stores."""

    @abstractmethod
    def steps(self, samples: int) -> int:
        """Its steps of a waveform of so many samples."""

    @abstractmethod
    def transform(self, real: bool = False) -> nn.Module:
        """What computes it: (batch, samples) in [-1, 1] -> (batch, width, steps). real: without complex numbers."""

    def check(self) -> None:  # noqa: B027
        """Raises RecipeError where files are missing or damaged that it is computed with."""

    def lacking(self, split: str, names: Sequence[str]) -> list[Fault]:
        """Where its files lack clips of a split."""
        return []

    def compute(self, transform: nn.Module | None, samples: np.ndarray, clips: Sequence[Clip], split: str) -> Tensor:
        """Values (clips, width, steps) of clips of a split; samples (clips, samples); transform: where from_audio."""
        import torch

        return transform(torch.from_numpy(samples))

    @abstractmethod
    def scale(self, values: Tensor) -> Tensor:
        """Values on the grid as the network takes them."""

    def on_grid(self, values: Tensor, steps: int, first: int = 0) -> Tensor:
        """Values with per_step of them to each of `steps` output steps, at their true times.

        first: the sample with which the first output step begins, counted from where the first value's hop begins.
        """
        return values

    def mix(self, one: Tensor, other: Tensor, factor: float = 1.0, other_factor: float = 1.0) -> Tensor:
        """Values on the grid of two clips that sound together, each by its factor."""
        return factor * one + other_factor * other

    def gain(self, values: Tensor, decibels: Tensor) -> Tensor:
        """Values on the grid of the clips played louder by (batch, 1, 1)."""
        return values * 10.0 ** (decibels / 20.0)


def input_names(conf: Conf) -> tuple[str, ...]:
    """Of what the network of a configuration takes."""
    return system_module(conf.system).inputs(conf)


def inputs_of(conf: Conf, carried: Mapping[str, Any] | None = None) -> dict[str, Input]:
    """What the network of a configuration takes, by name: the keyword arguments of its forward and predict.

    carried: what a checkpoint keeps of a pretrained encoder; None: it comes from the file that the configuration names.
    """
    inputs = {}
    for name in input_names(conf):
        module, kind = INPUTS[name]
        inputs[name] = getattr(importlib.import_module(module), kind)(conf)
        inputs[name].carried = carried
    return inputs
