"""The faster bidirectional GRU against torch.nn.GRU with the same weights."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from recipe_mtlvae.nets import gru
from recipe_mtlvae.nets.gru import BidirectionalGRU


def pair(width: int = 12, hidden: int = 8, layers: int = 2) -> tuple[BidirectionalGRU, nn.GRU]:
    torch.manual_seed(0)
    fast = BidirectionalGRU(width, hidden, layers)
    plain = nn.GRU(width, hidden, layers, batch_first=True, bidirectional=True)
    plain.load_state_dict(fast.state_dict())
    return fast, plain


def gradients(net: nn.Module, steps: Tensor) -> dict[str, Tensor]:
    """Return the gradients of each weight and of the input, for one fixed weighting of the outputs."""
    steps = steps.clone().requires_grad_()
    output = net(steps)
    output = output if isinstance(output, Tensor) else output[0]
    (output * torch.linspace(-1, 1, output.numel()).view_as(output)).sum().backward()
    return {name: weight.grad for name, weight in net.named_parameters()} | {"steps": steps.grad}


def test_weights_have_the_names_and_shapes_of_torchs_gru() -> None:
    fast, plain = pair()
    shapes = {name: weight.shape for name, weight in fast.state_dict().items()}
    assert shapes == {name: weight.shape for name, weight in plain.state_dict().items()}


@pytest.mark.parametrize("batch, steps", [(3, 20), (1, 1), (2, gru.BLOCK), (2, gru.BLOCK + 1)])
def test_outputs_are_those_of_torchs_gru(batch: int, steps: int) -> None:
    fast, plain = pair()
    x = torch.randn(batch, steps, 12)
    torch.testing.assert_close(fast(x), plain(x)[0], rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("batch, steps", [(3, 20), (1, 1), (2, gru.BLOCK), (2, gru.BLOCK + 1)])
def test_gradients_are_those_of_torchs_gru(batch: int, steps: int) -> None:
    fast, plain = pair()
    x = torch.randn(batch, steps, 12)
    torch.testing.assert_close(gradients(fast, x), gradients(plain, x), rtol=1e-4, atol=1e-5)


def test_gradients_are_those_of_finite_differences() -> None:
    torch.manual_seed(0)
    shapes = [(6, 3)] * 2 + [(6, 2)] * 2 + [(6,)] * 4  # two directions, two units, three inputs
    weights = [torch.randn(shape, dtype=torch.float64, requires_grad=True) for shape in shapes]
    steps = torch.randn(gru.BLOCK + 2, 2, 3, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(gru._Layer.apply, (steps, *weights))


def test_the_fast_path_is_the_one_that_trains(monkeypatch: pytest.MonkeyPatch) -> None:
    fast, _ = pair()
    monkeypatch.setattr(nn.GRU, "forward", None)
    assert fast(torch.randn(2, 5, 12)).shape == (2, 5, 16)


@pytest.mark.parametrize("steps", [torch.randn(2, 5, 12, dtype=torch.float64), torch.randn(2, 5, 12)])
def test_other_precisions_take_torchs_own_path(steps: Tensor) -> None:
    fast, plain = pair()
    with torch.autocast("cpu", torch.bfloat16, enabled=steps.dtype == torch.float32):
        output, expected = fast.to(steps.dtype)(steps), plain.to(steps.dtype)(steps)[0]
    assert torch.equal(output, expected)
