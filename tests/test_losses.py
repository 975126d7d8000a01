"""Eq. 1 against values computed by hand."""

import dataclasses
import math

import pytest
import torch

from recipe_mtlvae.inputs.batches import Batch
from recipe_mtlvae.nets.losses import (
    consistency_mse,
    kl_per_dimension,
    masked_mse,
    mtlvae_losses,
    reconstruction_mse,
    strong_bce,
    weighted_sum,
)
from recipe_mtlvae.nets.masking import hidden, random_spans
from recipe_mtlvae.nets.prediction import Prediction
from recipe_mtlvae.nets.vae import MTLVAE, VAEOutput
from recipe_mtlvae.tasks import TASKS, Task

LN3, LN2 = math.log(3), math.log(2)


def test_strong_bce_is_the_mean_over_steps_and_classes():
    """Logit ln 3 is probability 3/4: -ln(3/4) where present, -ln(1/4) where absent."""
    logits = torch.full((1, 2, 1), LN3)
    targets = torch.tensor([[[1.0], [0.0]]])
    assert strong_bce(logits, targets).item() == pytest.approx((math.log(4 / 3) + math.log(4)) / 2)


def test_the_kl_of_a_shifted_unit_gaussian_is_half_its_squared_mean():
    mu = torch.tensor([[[3.0, 0.0]]])
    assert kl_per_dimension(mu, torch.zeros_like(mu)).tolist() == pytest.approx([4.5, 0.0])


def test_the_kl_of_a_wider_gaussian():
    """KL(N(0, s^2) || N(0, 1)) = (s^2 - 1 - ln s^2) / 2; here s^2 = 4."""
    logvar = torch.full((2, 5, 1), math.log(4))
    assert kl_per_dimension(torch.zeros_like(logvar), logvar).item() == pytest.approx((4 - 1 - math.log(4)) / 2)


def test_the_kl_agrees_with_torch_distributions():
    mu, logvar = torch.randn(4, 7, 3), torch.randn(4, 7, 3)
    posterior = torch.distributions.Normal(mu, (0.5 * logvar).exp())
    expected = torch.distributions.kl_divergence(posterior, torch.distributions.Normal(0.0, 1.0)).mean(dim=(0, 1))
    torch.testing.assert_close(kl_per_dimension(mu, logvar), expected)


def test_reconstruction_leaves_out_frames_beyond_the_last_whole_step():
    features = torch.zeros(1, 2, 6)
    features[:, :, 4:] = 100.0
    assert reconstruction_mse(torch.full((1, 2, 4), 0.5), features).item() == pytest.approx(0.25)


def test_the_error_of_masked_spans_is_counted_in_them_only():
    """The error is 1 in frame 1 of the first clip, 3 in frame 0 of the second, and 100 elsewhere: (1 + 9) / 2."""
    features = torch.full((2, 3, 5), 100.0)
    features[0, :, 1], features[1, :, 0] = 1.0, 3.0
    mask = torch.zeros(2, 1, 5, dtype=torch.bool)
    mask[0, :, 1] = mask[1, :, 0] = mask[1, :, 4] = True  # the last frame has no reconstruction
    assert masked_mse(torch.zeros(2, 3, 4), features, mask).item() == pytest.approx(5.0)


def test_hidden_spans_hold_the_mean_of_their_clip():
    log_mel = torch.tensor([[[0.0, 6.0, 3.0], [0.0, 6.0, 9.0]]])
    mask = torch.tensor([[[False, True, False]]])
    assert hidden(log_mel, mask).tolist() == [[[0.0, 4.0, 3.0], [0.0, 4.0, 9.0]]]


def test_consistency_adds_the_mean_over_steps_and_the_mean_over_clips():
    """Steps differ by 0.5 once and by 0 three times: 0.25 / 4. Clips differ by 0.1 and 0.3: (0.01 + 0.09) / 2."""
    average = Prediction(strong=torch.full((1, 2, 2), 0.25), weak=torch.tensor([[0.5, 0.5]]))
    ours = Prediction(strong=torch.tensor([[[0.75, 0.25], [0.25, 0.25]]]), weak=torch.tensor([[0.6, 0.2]]))
    assert consistency_mse(ours, average).item() == pytest.approx(0.0625 + 0.05)


def test_random_spans_are_whole_and_cover_at_most_their_share():
    mask = random_spans(50, 626, 0.3)  # 5 spans of 32 frames
    assert mask.shape == (50, 1, 626)
    counts = mask.sum(dim=2)
    assert counts.max() <= 5 * 32 and counts.min() >= 32 and counts.unique().numel() > 1
    assert random_spans(2, 10, 0.3).all()  # a clip shorter than a span


def test_the_loss_is_the_weighted_sum_of_its_terms():
    terms = {"strong_synth": torch.tensor(1.0), "weak": torch.tensor(2.0), "kld": torch.tensor(4.0)}
    weights = {"strong_synth": 1.0, "strong_real": 9.0, "weak": 0.5, "kld": 0.25}
    assert weighted_sum(terms, weights).item() == pytest.approx(1.0 + 1.0 + 1.0)


def test_a_term_without_a_weight_is_an_error():
    with pytest.raises(KeyError, match="kld"):
        weighted_sum({"kld": torch.tensor(1.0)}, {"weak": 1.0})


def run(net: MTLVAE, batch: Batch) -> tuple[VAEOutput, torch.Tensor, Batch]:
    """Run the network and return the arguments of mtlvae_losses."""
    log_mel = batch.inputs["log_mel"]
    return net(log_mel, batch.spans), log_mel, batch


@pytest.fixture
def batch() -> Batch:
    """Two clips for each task: synthetic, weak, unlabeled, real."""
    spans = {name: slice(2 * i, 2 * i + 2) for i, name in enumerate(("strong_synth", "weak", "reconstruction"))}
    spans["strong_real"] = slice(6, 8)
    features = torch.rand(8, 128, 626) * 2 - 1
    return Batch({"log_mel": features}, torch.zeros(8, 156, 3), torch.zeros(8, 3), spans)


def test_each_task_is_measured_on_its_own_clips_only(batch):
    """Zero weights make every logit 0, so each BCE is ln 2, whatever the other clips hold."""
    net = MTLVAE(classes=3, hidden=4, latent=2)
    for parameter in net.parameters():
        torch.nn.init.zeros_(parameter)
    terms = mtlvae_losses(*run(net, batch))
    assert set(terms) == {"strong_synth", "weak", "reconstruction", "strong_real", "kld"}
    assert terms["strong_synth"].item() == pytest.approx(LN2)
    assert terms["strong_real"].item() == pytest.approx(LN2)
    assert terms["weak"].item() == pytest.approx(LN2)
    assert terms["reconstruction"].item() == pytest.approx(batch.inputs["log_mel"][4:6, :, :624].square().mean().item())
    assert terms["kld"].item() == 0.0  # mu = 0 and logvar = 0 are the prior itself


def test_the_deterministic_encoder_has_no_kl_term(batch):
    net = MTLVAE(classes=3, hidden=4, latent=2, variational=False)
    assert "kld" not in mtlvae_losses(*run(net, batch), variational=False)


def test_labels_of_other_tasks_clips_do_not_change_a_term(batch):
    net = MTLVAE(classes=3, hidden=4, latent=2).eval()
    before = mtlvae_losses(*run(net, batch))
    for task, labels in (("strong_synth", "strong"), ("strong_real", "strong"), ("weak", "weak")):
        other = dataclasses.replace(batch, strong=batch.strong.clone(), weak=batch.weak.clone())
        changed, own = getattr(other, labels), batch.spans[task]
        changed[: own.start] = changed[own.stop :] = 1.0
        assert mtlvae_losses(*run(net, other))[task].item() == before[task].item(), task
        changed[own] = 1.0
        assert mtlvae_losses(*run(net, other))[task].item() != before[task].item(), task


@pytest.mark.parametrize(
    ("task", "words"),
    [(None, "expected clips of the tasks strong_synth, .*; got 'count'"), ("tally", "expected one of the losses .*")],
)
def test_an_unknown_task_or_loss_is_an_error(batch, task, words, monkeypatch):
    if task:
        monkeypatch.setitem(TASKS, "count", Task("weak", "weak", "weak", task))
    net = MTLVAE(classes=3, hidden=4, latent=2)
    batch.spans["count"] = slice(0, 2)
    with pytest.raises(ValueError, match=words):
        mtlvae_losses(*run(net, batch))
