"""The shared recurrent VAE: shapes, when it samples, and which head is used."""

import pytest
import torch

from recipe_mtlvae.nets.complexity import macs, parameters
from recipe_mtlvae.nets.vae import LOGVAR_RANGE, MTLVAE, HeadSizes, ReconstructionHead
from recipe_mtlvae.tasks import TASKS, Task, inference_head


@pytest.fixture
def features() -> torch.Tensor:
    return torch.rand(3, 128, 626, generator=torch.Generator().manual_seed(0)) * 2 - 1


def small(**options) -> MTLVAE:
    torch.manual_seed(0)
    return MTLVAE(classes=5, hidden=8, latent=6, **options)


def test_ten_seconds_give_156_steps_and_every_head_its_shape(features):
    output = small()(features)
    assert output.strong_synth.shape == output.strong_real.shape == (3, 156, 5)
    assert output.weak.shape == (3, 5)
    assert output.reconstruction.shape == (3, 128, 624)  # 156 whole steps of 4 frames
    assert output.mu.shape == output.logvar.shape == output.z.shape == (3, 156, 6)


def test_z_is_sampled_in_training_and_mu_at_inference(features):
    net = small()
    training = net.train()(features)
    assert not torch.equal(training.z, training.mu)
    inference = net.eval()(features)
    assert torch.equal(inference.z, inference.mu)


def test_the_deterministic_encoder_never_samples(features):
    output = small(variational=False).train()(features)
    assert torch.equal(output.z, output.mu)


def test_z_has_the_posteriors_mean_and_deviation():
    net = small().train()
    mu, logvar = torch.full((200, 50, 6), 2.0), torch.full((200, 50, 6), -1.0)
    z = net.sample(mu, logvar)
    assert z.mean().item() == pytest.approx(2.0, abs=0.01)
    assert z.std().item() == pytest.approx(torch.tensor(-0.5).exp().item(), abs=0.01)


def test_logvar_stays_within_its_range(features):
    net = small()
    torch.nn.init.constant_(net.posterior.bias, 100.0)
    assert net(features).logvar.max().item() == LOGVAR_RANGE[1]


def test_reconstruction_of_a_step_lands_on_that_steps_own_frames(features):
    """A head that returns its input undoes _stack: no frame and no band is swapped."""
    net = small()
    head = ReconstructionHead(HeadSizes(512, 5, mels=128, frames_per_step=4, outputs_per_step=1))
    with torch.no_grad():
        head.weight.copy_(torch.eye(512))
        head.bias.zero_()
        assert torch.equal(head(net._stack(features), 156), features[:, :, :624])


def test_inference_uses_the_strong_real_head_if_there_is_one(features):
    net = small().eval()
    with torch.no_grad():
        expected = torch.sigmoid(net(features).strong_real)
    assert torch.equal(net.predict(features).strong, expected)


def test_with_other_tasks_off_inference_uses_the_synthetic_head_and_its_maximum(features):
    net = small(tasks=["strong_synth"]).eval()
    prediction = net.predict(features)
    with torch.no_grad():
        output = net(features)
    assert torch.equal(prediction.strong, torch.sigmoid(output.strong_synth))
    assert torch.equal(prediction.weak, prediction.strong.amax(dim=1))
    assert output.weak is None and output.reconstruction is None and output.strong_real is None


def test_a_clip_gate_multiplies_each_step_by_its_clips_probability(features):
    net, gated = small().eval(), small(clip_gate=True).eval()
    gated.load_state_dict(net.state_dict())
    free, found = net.predict(features), gated.predict(features)
    assert torch.equal(found.strong[1, 7], free.strong[1, 7] * free.weak[1]) and torch.equal(found.weak, free.weak)


def test_a_prediction_in_training_mode_is_not_sampled(features):
    net = small().train()
    assert torch.equal(net.predict(features).strong, net.predict(features).strong)


def test_all_tasks_train_the_shared_encoder(features):
    for task in ("strong_synth", "strong_real", "weak", "reconstruction"):
        net = small()
        getattr(net(features), task).square().sum().backward()
        assert net.encoder.weight_ih_l0.grad.abs().sum() > 0, task


@pytest.mark.parametrize("shape", [(128, 626), (2, 64, 626), (2, 128, 3)])
def test_features_of_another_shape_are_refused(shape):
    with pytest.raises(ValueError, match=r"expected \(batch, 128, frames >= 4\), got"):
        small()(torch.zeros(shape))


def test_a_network_without_a_strong_task_is_refused():
    with pytest.raises(ValueError, match="a strong one among them"):
        MTLVAE(tasks=["weak"])


def test_parameters_and_macs_equal_the_count_by_hand():
    def gru(inputs: int, hidden: int) -> int:  # one bidirectional layer: weights of 3 gates
        return 2 * 3 * hidden * (inputs + hidden)

    biases = 2 * 2 * 3 * 128 * 4  # two biases per gate, both directions, four layers
    products = gru(512, 128) + gru(256, 128) + 256 * 128 + gru(64, 128) + gru(256, 128) + 256 * (4 * 10 + 512)
    net = MTLVAE()
    assert parameters(net) == products + biases + 128 + 4 * 10 + 512
    assert macs(net, torch.zeros(1, 128, 626)) == 156 * products


@pytest.mark.parametrize("frames, steps", [(626, 156), (628, 157), (4, 1)])
def test_wide_recurrent_steps_do_not_change_the_number_of_output_steps(frames, steps):
    net = small(outputs_per_step=2)
    output = net(torch.rand(2, 128, frames))
    assert output.strong_real.shape == (2, steps, 5)
    assert output.reconstruction.shape == (2, 128, 4 * steps)
    assert output.mu.shape == (2, (steps + 1) // 2, 6)
    assert net.predict(torch.rand(2, 128, frames)).strong.shape == (2, steps, 5)


@pytest.mark.parametrize("other", [{"front_end": "plain"}, {"sees": ("embeddings",)}])
def test_wide_recurrent_steps_are_refused_with_convolutions_or_embeddings(other):
    with pytest.raises(ValueError, match="outputs_per_step: expected 1 with convolutions or embeddings, got 2"):
        small(outputs_per_step=2, **other)


def test_the_two_outputs_of_a_wide_step_have_separate_weights():
    net = small(outputs_per_step=2)
    strong = net(torch.rand(2, 128, 626)).strong_real
    strong[:, 1::2].sum().backward()
    first, second = net.heads["strong_real"].weight.grad.reshape(2, 5, -1)
    assert first.abs().sum() == 0 and second.abs().sum() > 0


def test_a_head_runs_only_on_the_clips_of_its_own_task(features):
    net = small().eval()
    own, whole = net(features, {"weak": slice(1, 3)}), net(features)
    assert torch.equal(own.weak, whole.weak[1:3])
    assert own.strong_synth is None and own.reconstruction is None


def test_a_shared_strong_head_is_one_classifier_with_two_biases_from_the_same_random_numbers(features):
    """One of two strong heads of 2 * 8 * 5 weights goes; the rest of the network is the same."""
    net, apart = small(shared_strong_head=True), small()
    assert parameters(net) == parameters(apart) - 2 * 8 * 5
    assert all(
        torch.equal(value, apart.state_dict()[name]) for name, value in net.state_dict().items() if "real" not in name
    )
    output = net.eval()(features)
    biases = net.heads["strong_real"].bias - net.heads["strong_synth"].bias
    torch.testing.assert_close(output.strong_real - output.strong_synth, biases.expand(3, 156, 5))
    again = small(shared_strong_head=True)
    again.load_state_dict(net.state_dict())
    assert torch.equal(again.eval()(features).strong_real, output.strong_real)


def test_a_head_of_an_unknown_kind_is_refused(monkeypatch):
    monkeypatch.setitem(TASKS, "count", Task("strong", "tally", "strong_bce"))
    with pytest.raises(ValueError, match="task 'count': expected a head of the kinds strong, weak, reconstruction"):
        MTLVAE(tasks=["strong_real", "count"])


def test_of_two_strong_heads_that_of_real_clips_is_used():
    assert inference_head("strong", ["strong_real", "strong_synth"]) == "strong_real"
    assert inference_head("strong", ["strong_synth"]) == "strong_synth"
    assert inference_head("weak", ["strong_synth"]) is None


@pytest.mark.parametrize("front_end", ["separable", "plain"])
def test_convolutions_precede_the_encoder_and_keep_the_shapes_of_the_outputs(front_end):
    torch.manual_seed(0)
    net = MTLVAE(
        classes=3, mels=32, hidden=4, layers=1, latent=2, front_end=front_end, front_end_widths=(4, 8), dropout=0.2
    )
    features = torch.randn(2, 32, 43)
    output = net(features)
    assert output.strong_real.shape == (2, 10, 3) and output.reconstruction.shape == (2, 32, 40)
    assert net.encoder.weight_ih_l0.shape == (12, 8 * 8)  # 32 bands halved twice, 8 channels
    assert net.eval().predict(features).strong.shape == (2, 10, 3)


def test_without_dropout_no_random_number_is_drawn():
    net = MTLVAE(classes=3, mels=8, hidden=4, layers=1, latent=2, variational=False)
    torch.manual_seed(0)
    expected = torch.rand(1)
    torch.manual_seed(0)
    net.train()(torch.randn(1, 8, 8, generator=torch.Generator()))
    assert torch.equal(torch.rand(1), expected)
