"""Convolutions before the recurrent encoder, which recognize patterns of a few frames at any pitch.

The report stacks the frames of an output step, so that its recurrent encoder has to learn each pitch separately. A
convolution shares its weights over bands and frames, as in the baseline's network. This front end costs a fraction of
the baseline's convolutions, because it halves frames and bands before there are many channels. The syntax is Python
3.8's, as in vae.py.
"""

from __future__ import annotations

from typing import List, Sequence  # noqa: UP035  Python 3.8

import torch
from torch import Tensor, nn


class ConvolutionFrontEnd(nn.Module):
    """Maps scaled log-mel to one vector per output step.

    Layer i has widths[i] channels and halves the bands. The first layers halve the frames too, until `frames_per_step`
    frames have become one step. The first layer is 5x5, the others are 3x3, each with batch norm and SiLU.

    Args:
        mels: bands of the log-mel
        frames_per_step: feature frames per output step, a power of two
        widths: channels of each layer
        separable: from the third layer on, replace each 3x3 convolution by a depthwise 3x3 and a pointwise 1x1 one,
            with a tenth of its multiplications
    Attributes:
        width: size of the vector of one step
    """

    def __init__(self, mels: int, frames_per_step: int, widths: Sequence[int], separable: bool) -> None:
        super().__init__()
        halvings = frames_per_step.bit_length() - 1  # of the frames
        if 2**halvings != frames_per_step or halvings > len(widths):
            raise ValueError(
                f"frames_per_step: expected a power of two, at most 2^{len(widths)} for {len(widths)} layers; "
                f"got {frames_per_step}"
            )
        self.frames_per_step = frames_per_step
        layers: List[nn.Module] = []  # noqa: UP006
        bands = mels
        for i, (channels_in, channels) in enumerate(zip((1, *widths), widths)):  # noqa: B905
            stride = (2 if i < halvings else 1, 2)  # frames, bands
            size = 5 if i == 0 else 3
            if separable and i > 1:
                layers += [_convolution(channels_in, channels_in, size, stride, groups=channels_in)]
                layers += [_convolution(channels_in, channels, 1, (1, 1))]
            else:
                layers += [_convolution(channels_in, channels, size, stride)]
            layers += [nn.BatchNorm2d(channels), nn.SiLU(inplace=True)]
            bands = (bands + 1) // 2
        # On one thread, a training step takes 0.6 (separable) or 0.8 (plain) of its time with the contiguous layout
        self.layers = nn.Sequential(*layers).to(memory_format=torch.channels_last)
        self.width = bands * widths[-1]

    def forward(self, features: Tensor) -> Tensor:
        """(batch, mels, frames) -> (batch, steps, width), steps = frames // frames_per_step"""
        steps = features.shape[2] // self.frames_per_step
        frames = features[:, :, : steps * self.frames_per_step].transpose(1, 2)  # (batch, frames, mels)
        maps = self.layers(frames.unsqueeze(1).contiguous(memory_format=torch.channels_last))
        return maps.permute(0, 2, 3, 1).flatten(2)  # (batch, steps, bands, channels) -> (batch, steps, width)


def _convolution(channels_in: int, channels: int, size: int, stride: Sequence[int], groups: int = 1) -> nn.Conv2d:
    """A convolution without bias, since the batch norm that follows has one."""
    return nn.Conv2d(channels_in, channels, size, tuple(stride), padding=size // 2, groups=groups, bias=False)
