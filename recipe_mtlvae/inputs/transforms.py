"""From waveforms to the inputs of a network."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor, nn

from recipe_mtlvae.conf import Conf
from recipe_mtlvae.inputs.registry import Input, inputs_of
from recipe_mtlvae.labels import steps_of


class Transforms(nn.Module):
    """Compute all inputs of a configuration's network.

    real: use no complex numbers, which the ONNX exporter does not accept. encoder_state: what a checkpoint has saved of
    a pretrained encoder; None: read the encoder from the file encoder.weights.
    """

    def __init__(self, conf: Conf, real: bool = False, encoder_state: Mapping[str, Any] | None = None) -> None:
        super().__init__()
        self.conf, self.encoder_state = conf, encoder_state
        self.inputs = inputs_of(conf, encoder_state)
        self.by_name = nn.ModuleDict({name: source.transform(real) for name, source in self.inputs.items()})

    @property
    def least_samples(self) -> int:
        """Length of the shortest waveform that all inputs can be computed from."""
        return max(source.least_samples for source in self.inputs.values())

    def forward(self, waveform: Tensor) -> dict[str, Tensor]:
        """Return the network's inputs by name. waveform: (batch, samples) in [-1, 1]."""
        values = {name: transform(waveform) for name, transform in self.by_name.items()}
        return scaled(self.inputs, values, steps_of(self.conf.features, waveform.shape[1]))


def scaled(inputs: Mapping[str, Input], values: Mapping[str, Tensor], steps: int) -> dict[str, Tensor]:
    """Bring values to the output grid and scale them, as a network takes them.

    values: by input, (batch, width, steps of the input), as `Input.transform` computes them. steps: output steps of the
    clips.
    """
    return {name: source.scale(source.on_grid(values[name], steps)) for name, source in inputs.items()}
