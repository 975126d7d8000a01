"""A network and its feature extraction as one module for other runtimes: from the samples of a clip to its scores."""

from __future__ import annotations

from torch import Tensor, nn

from recipe_mtlvae.inputs.transforms import Transforms


class ClipModel(nn.Module):
    """Samples (n,) of one mono clip in [-1, 1] -> scores (steps, classes) and weak (classes,), probabilities.

    Each input is scaled by the clip's own values, as in training.
    """

    def __init__(self, net: nn.Module, transforms: Transforms) -> None:
        super().__init__()
        self.net = net
        self.transforms = transforms

    def forward(self, samples: Tensor) -> tuple[Tensor, Tensor]:
        prediction = self.net.predict(**self.transforms(samples.unsqueeze(0)))
        return prediction.strong[0], prediction.weak[0]
