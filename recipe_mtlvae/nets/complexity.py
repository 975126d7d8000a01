"""What a network costs: parameters, and multiply-accumulate operations."""

from __future__ import annotations

import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode


def parameters(net: nn.Module) -> int:
    """Trainable parameters."""
    return sum(parameter.numel() for parameter in net.parameters() if parameter.requires_grad)


def macs(net: nn.Module, features: torch.Tensor) -> int:
    """Multiply-accumulates of one forward pass in eval mode, of matrix products and convolutions.

    `features` (1, mels, frames) on the CPU: torch's counter does not see into cuDNN's recurrent kernels.
    """
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        net.eval()(features)
    return counter.get_total_flops() // 2
