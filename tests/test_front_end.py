"""The convolutions before the recurrent encoder: shapes, sizes, and where in time a sound comes out."""

from __future__ import annotations

import pytest
import torch

from recipe_mtlvae.nets.front_end import ConvolutionFrontEnd

WIDTHS = (16, 32, 64, 96, 128)


def front_end(separable: bool = True, **changes) -> ConvolutionFrontEnd:
    torch.manual_seed(0)
    return ConvolutionFrontEnd(
        **{"mels": 128, "frames_per_step": 4, "widths": WIDTHS, "separable": separable, **changes}
    )


def test_ten_seconds_give_the_baselines_156_steps_of_4_bands_and_128_channels():
    net = front_end()
    assert net(torch.zeros(2, 128, 626)).shape == (2, 156, 512)
    assert net.width == 512


@pytest.mark.parametrize(
    ("separable", "weights"),
    [
        (True, 25 * 16 + 9 * 16 * 32 + (9 * 32 + 32 * 64) + (9 * 64 + 64 * 96) + (9 * 96 + 96 * 128)),
        (False, 25 * 16 + 9 * (16 * 32 + 32 * 64 + 64 * 96 + 96 * 128)),
    ],
)
def test_weights_are_those_of_the_convolutions_and_two_per_channel_of_the_batch_norms(separable, weights):
    assert sum(weight.numel() for weight in front_end(separable).parameters()) == weights + 2 * sum(WIDTHS)


@pytest.mark.parametrize("separable", [True, False])
def test_a_click_moves_with_its_step(separable):
    net = front_end(separable).eval()
    silence = torch.zeros(1, 128, 320)
    here, there = silence.clone(), silence.clone()
    here[..., 100:104] = 1.0
    there[..., 140:144] = 1.0  # ten steps later
    with torch.inference_mode():
        change, later = ((net(click) - net(silence))[0] for click in (here, there))
    assert change[20:31].allclose(later[30:41], atol=1e-6)
    moved = change.abs().sum(1)
    assert moved.argmax() in (24, 25, 26)  # frames 100 to 103 are step 25
    reach = moved.nonzero().flatten()
    assert reach.min() >= 21 and reach.max() <= 29  # at most four steps on either side


def test_frames_beyond_the_last_whole_step_change_nothing():
    net, features = front_end().eval(), torch.randn(1, 128, 43)
    assert torch.equal(net(features), net(features[..., :40]))


def test_frames_per_step_must_be_a_power_of_two():
    with pytest.raises(ValueError, match=r"frames_per_step: expected a power of two, at most 2\^5"):
        front_end(frames_per_step=6)
