"""The cost of a network: parameters, and multiply-accumulate operations."""

from __future__ import annotations

import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode


def parameters(net: nn.Module) -> int:
    """Return the number of trainable parameters."""
    return sum(parameter.numel() for parameter in net.parameters() if parameter.requires_grad)


def macs(net: nn.Module, *inputs: torch.Tensor, **named_inputs: torch.Tensor) -> int:
    """Return the multiply-accumulates of one forward pass in eval mode: of its matrix products and convolutions.

    Pass the inputs of one clip on the CPU: torch's counter does not see into cuDNN's recurrent kernels.
    """
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        net.eval()(*inputs, **named_inputs)
    return counter.get_total_flops() // 2
