"""A bidirectional GRU that trains faster on a CPU: the same weights, names and results as torch.nn.GRU.

torch runs a GRU step by step and direction by direction, and its backward pass multiplies and adds the weight gradient
of each step separately. Here both directions share one batched product per step, and what does not depend on the
previous step is computed for many steps at once: the inputs' share of the gates, the gates' derivatives, all weight
gradients. The backward pass through time then takes one elementwise and one matrix product per step.

Equations: Cho et al. (2014), in the variant of torch.nn.GRU. The syntax is Python 3.8's, as in vae.py.
"""

from __future__ import annotations

from typing import Any, Tuple  # noqa: UP035  Python 3.8

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

BLOCK = 8  # steps whose derivatives are computed together: few enough to stay in the cache


class BidirectionalGRU(nn.GRU):
    """torch.nn.GRU(width, hidden, layers, batch_first=True, bidirectional=True), faster on a CPU in float32.

    In all other cases (on a GPU, in lower precision, traced or exported), torch.nn.GRU itself computes.
    """

    def __init__(self, width: int, hidden: int, layers: int) -> None:
        super().__init__(width, hidden, layers, batch_first=True, bidirectional=True)

    def forward(self, steps: Tensor) -> Tensor:
        """(batch, steps, width) -> (batch, steps, 2 * hidden), the forward direction's cells first"""
        if not self._is_fast(steps):
            return super().forward(steps)[0]
        layer_input = steps.transpose(0, 1)  # (steps, batch, width)
        for layer in range(self.num_layers):
            names = [f"_l{layer}", f"_l{layer}_reverse"]
            weights = [
                getattr(self, kind + name)
                for kind in ("weight_ih", "weight_hh", "bias_ih", "bias_hh")
                for name in names
            ]
            layer_input = _Layer.apply(layer_input, *weights)
        return layer_input.transpose(0, 1)

    @staticmethod
    def _is_fast(steps: Tensor) -> bool:
        plain = steps.device.type == "cpu" and steps.dtype == torch.float32
        return plain and not torch.jit.is_tracing() and not _is_autocasting()


def _is_autocasting() -> bool:
    try:
        return torch.is_autocast_enabled("cpu")
    except TypeError:  # torch before 2.4, as inside the toolkit
        return torch.is_autocast_cpu_enabled()


class _Layer(torch.autograd.Function):
    """One layer in both directions. Tensors that hold the two directions have `2` as their first dimension.

    The backward direction reads the steps in reverse, so that one batched product computes a step of both.
    """

    @staticmethod
    def forward(ctx: Any, steps: Tensor, *weights: Tensor) -> Tensor:
        """(steps, batch, width) and the eight weights of a layer -> (steps, batch, 2 * hidden)"""
        (count, batch, width), hidden = steps.shape, weights[2].shape[1]
        inputs = [flat.reshape(count * batch, width) for flat in (steps, steps.flip(0))]  # one per direction
        recurrent = torch.stack(weights[2:4])  # (2, 3 * hidden, hidden); gates in torch's order: reset, update, new
        bias = torch.stack(weights[6:8])
        bias_new = bias[:, None, 2 * hidden :].clone()  # the reset gate multiplies it
        bias = torch.stack(weights[4:6]) + torch.cat(
            [bias[:, : 2 * hidden], torch.zeros_like(bias[:, 2 * hidden :])], 1
        )
        gates = steps.new_empty(2, count * batch, 3 * hidden)
        for direction in range(2):
            torch.addmm(bias[direction], inputs[direction], weights[direction].t(), out=gates[direction])
        gates = gates.view(2, count, batch, 3 * hidden)  # the inputs' share; _run completes them
        states = steps.new_zeros(2, count + 1, batch, hidden)  # before each step; the first is zero
        candidates = steps.new_empty(2, count, batch, hidden)  # W_hn h + b_hn
        _run(gates, states, candidates, recurrent.transpose(1, 2).contiguous(), bias_new)
        ctx.save_for_backward(gates, states, candidates, recurrent, *inputs, *weights[:2])
        return torch.cat([states[0, 1:], states[1, 1:].flip(0)], dim=2)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple:
        """Return the gradients of `steps` and of the eight weights."""
        gates, states, candidates, recurrent, *rest = ctx.saved_tensors
        inputs, weights = rest[:2], rest[2:]
        _, count, batch, hidden = candidates.shape
        grad = torch.stack([grad[..., :hidden], grad[..., hidden:].flip(0)])  # (2, steps, batch, hidden)
        grad_gates, grad_new = _run_back(grad, gates, states, candidates, recurrent)
        flat = grad_gates.view(2, count * batch, 3 * hidden)
        before = states[:, :count].reshape(2, count * batch, hidden)
        grad_recurrent = [flat[d].t() @ before[d] for d in range(2)]
        grad_bias_recurrent = flat.sum(1)
        grad_gates[..., 2 * hidden :] = grad_new
        grad_weights = [flat[d].t() @ inputs[d] for d in range(2)]
        grad_bias = flat.sum(1)
        grad_steps = None
        if ctx.needs_input_grad[0]:
            there, back = ((flat[d] @ weights[d]).view(count, batch, -1) for d in range(2))
            grad_steps = there + back.flip(0)
        return (grad_steps, *grad_weights, *grad_recurrent, *grad_bias, *grad_bias_recurrent)


def _run(gates: Tensor, states: Tensor, candidates: Tensor, recurrent: Tensor, bias_new: Tensor) -> None:
    """Run through time, and fill `states` and `candidates`.

    `gates` (2, steps, batch, 3 * hidden) holds the inputs' share on entry, and reset, update, new on return.
    """
    hidden = states.shape[3]
    hidden_share = gates.new_empty(2, gates.shape[2], 3 * hidden)
    split = hidden_share[..., : 2 * hidden], hidden_share[..., 2 * hidden :]
    for gate, before, after, candidate in zip(  # noqa: B905  Python 3.8
        gates.unbind(1), states[:, :-1].unbind(1), states[:, 1:].unbind(1), candidates.unbind(1)
    ):
        torch.bmm(before, recurrent, out=hidden_share)
        switches = gate[..., : 2 * hidden].add_(split[0]).sigmoid_()
        torch.add(split[1], bias_new, out=candidate)
        new = gate[..., 2 * hidden :].addcmul_(switches[..., :hidden], candidate).tanh_()
        torch.lerp(new, before, switches[..., hidden:], out=after)


def _run_back(
    grad: Tensor, gates: Tensor, states: Tensor, candidates: Tensor, recurrent: Tensor
) -> Tuple[Tensor, Tensor]:  # noqa: UP006
    """Run back through time. `grad` (2, steps, batch, hidden): of the outputs on entry, of the states on return.

    Returns the gradients of the gates' recurrent share (2, steps, batch, 3 * hidden), and of the inputs' share of the
    new gate (2, steps, batch, hidden), the only gate where they differ.
    """
    count, hidden = grad.shape[1], grad.shape[3]
    grad_gates, grad_new = torch.empty_like(gates), torch.empty_like(candidates)
    by_gate = grad_gates.unflatten(3, (3, hidden))
    handed = torch.empty_like(grad[:, 0])
    for first in reversed(range(0, count, BLOCK)):
        block = slice(first, min(first + BLOCK, count))
        slopes, new_slope, keep = _slopes(gates[:, block], states[:, first : block.stop + 1], candidates[:, block])
        for t in reversed(range(first, block.stop)):
            torch.mul(grad[:, t, :, None], slopes[:, t - first], out=by_gate[:, t])
            if t:
                torch.mul(grad[:, t], keep[:, t - first], out=handed)
                grad[:, t - 1].add_(handed.baddbmm_(grad_gates[:, t], recurrent))
        torch.mul(grad[:, block], new_slope, out=grad_new[:, block])
    return grad_gates, grad_new


def _slopes(gates: Tensor, states: Tensor, candidates: Tensor) -> Tuple[Tensor, Tensor, Tensor]:  # noqa: UP006
    """Return the derivatives of the states of some steps with respect to the gates before their activation.

    These are (2, steps, batch, 3, hidden) for the recurrent share, (2, steps, batch, hidden) for the inputs' share of
    the new gate, and the share of the previous state that a step keeps.
    """
    reset, update, new = gates.chunk(3, dim=3)
    slopes = gates.new_empty(*gates.shape[:3], 3, candidates.shape[3])
    new_slope = (1.0 - update) * (1.0 - new * new)
    torch.mul(new_slope, candidates * reset * (1.0 - reset), out=slopes[..., 0, :])
    torch.mul(states[:, :-1] - new, update * (1.0 - update), out=slopes[..., 1, :])
    torch.mul(new_slope, reset, out=slopes[..., 2, :])
    return slopes, new_slope, update
