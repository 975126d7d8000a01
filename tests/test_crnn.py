"""The baseline's network: official names, shapes and size, and its outputs against an independent computation."""

from __future__ import annotations

import pytest
import torch
from torch.nn import functional

from recipe_mtlvae.nets.crnn import CRNN

FILTERS = (16, 32, 64, 128, 128, 128, 128)


def small_crnn(classes: int = 3) -> CRNN:
    """Return a network of two blocks for 8 bands, which runs the same code in milliseconds."""
    return CRNN(classes=classes, filters=(4, 6), pooling=((2, 2), (2, 4)), hidden=5)


def official_shapes() -> dict[str, tuple[int, ...]]:
    """Return the shapes by name in the official order, written out from the published configuration."""
    shapes: dict[str, tuple[int, ...]] = {}
    for i, (inputs, outputs) in enumerate(zip((1, *FILTERS), FILTERS, strict=False)):
        shapes[f"cnn.cnn.conv{i}.weight"] = (outputs, inputs, 3, 3)
        shapes[f"cnn.cnn.conv{i}.bias"] = (outputs,)
        for name in ("weight", "bias", "running_mean", "running_var"):
            shapes[f"cnn.cnn.batchnorm{i}.{name}"] = (outputs,)
        shapes[f"cnn.cnn.batchnorm{i}.num_batches_tracked"] = ()
        shapes[f"cnn.cnn.glu{i}.linear.weight"] = (outputs, outputs)
        shapes[f"cnn.cnn.glu{i}.linear.bias"] = (outputs,)
    for layer, width in ((0, 128), (1, 256)):
        for direction in ("", "_reverse"):
            shapes[f"rnn.rnn.weight_ih_l{layer}{direction}"] = (3 * 128, width)
            shapes[f"rnn.rnn.weight_hh_l{layer}{direction}"] = (3 * 128, 128)
            shapes[f"rnn.rnn.bias_ih_l{layer}{direction}"] = (3 * 128,)
            shapes[f"rnn.rnn.bias_hh_l{layer}{direction}"] = (3 * 128,)
    for name in ("dense", "dense_softmax"):
        shapes[f"{name}.weight"] = (10, 256)
        shapes[f"{name}.bias"] = (10,)
    return shapes


def test_state_dict_has_the_official_names_shapes_and_order():
    state = CRNN().state_dict()
    assert [(name, tuple(value.shape)) for name, value in state.items()] == list(official_shapes().items())


def test_default_network_has_the_official_number_of_parameters():
    assert sum(parameter.numel() for parameter in CRNN().parameters()) == 1_112_420


def test_batch_norm_has_the_official_constants():
    norms = [module for module in CRNN().modules() if isinstance(module, torch.nn.BatchNorm2d)]
    assert [(norm.eps, norm.momentum) for norm in norms] == [(1e-3, 0.99)] * 7


def test_ten_seconds_give_156_steps_of_probabilities():
    strong, weak = CRNN()(torch.rand(2, 128, 626) * 2 - 1)
    assert strong.shape == (2, 10, 156)
    assert weak.shape == (2, 10)
    assert all(value.min() >= 0 and value.max() <= 1 for value in (strong, weak))


def test_embeddings_are_fused_before_the_gru_as_in_2023():
    """They are concatenated to the output of the convolutions, and one linear layer maps both to its width."""
    net = CRNN(classes=3, filters=(4, 6), pooling=((2, 2), (2, 4)), hidden=5, embedding_width=7).eval()
    log_mel, embeddings = torch.rand(2, 8, 21), torch.rand(2, 7, 5)
    assert net.cat_tf.weight.shape == (6, 6 + 7)
    plain = small_crnn().eval()
    plain.load_state_dict({name: value for name, value in net.state_dict().items() if "cat_tf" not in name})
    with torch.no_grad():
        maps = net.cnn(log_mel.transpose(1, 2)[:, None])[..., 0].transpose(1, 2)
        fused = torch.cat([maps, embeddings.transpose(1, 2)], dim=2) @ net.cat_tf.weight.T + net.cat_tf.bias
        plain.cnn.forward = lambda maps: fused.transpose(1, 2)[..., None]
        torch.testing.assert_close(net(log_mel, embeddings).strong, plain(log_mel).strong)
    with pytest.raises(ValueError, match=r"embeddings: expected \(batch, width, steps\), got none"):
        net(log_mel)


def reference(state: dict[str, torch.Tensor], features: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Compute small_crnn(3) in eval mode by plain tensor operations; strong is (batch, steps, classes)."""
    maps = features.transpose(1, 2)[:, None]  # (batch, 1, frames, bands)
    for i, pool in enumerate(((2, 2), (2, 4))):
        maps = functional.conv2d(maps, state[f"cnn.cnn.conv{i}.weight"], state[f"cnn.cnn.conv{i}.bias"], padding=1)
        norm = [state[f"cnn.cnn.batchnorm{i}.{key}"] for key in ("running_mean", "running_var", "weight", "bias")]
        shift, spread, gain, bias = (value[:, None, None] for value in norm)
        maps = (maps - shift) / (spread + 1e-3) ** 0.5 * gain + bias
        weight, bias = state[f"cnn.cnn.glu{i}.linear.weight"], state[f"cnn.cnn.glu{i}.linear.bias"]
        maps = (torch.einsum("oc,bcft->boft", weight, maps) + bias[:, None, None]) / (1 + torch.exp(-maps))
        maps = functional.avg_pool2d(maps, pool)
    steps = maps[..., 0].transpose(1, 2)
    for layer in (0, 1):
        forward = gru(state, f"l{layer}", steps)
        backward = gru(state, f"l{layer}_reverse", steps.flip(1)).flip(1)
        steps = torch.cat([forward, backward], dim=2)
    strong = 1 / (1 + torch.exp(-(steps @ state["dense.weight"].T + state["dense.bias"])))
    scores = torch.exp(steps @ state["dense_softmax.weight"].T + state["dense_softmax.bias"])
    attention = scores / scores.sum(dim=2, keepdim=True)  # over classes
    return strong, (strong * attention).sum(dim=1) / attention.sum(dim=1)


def gru(state: dict[str, torch.Tensor], name: str, steps: torch.Tensor) -> torch.Tensor:
    """One direction of one GRU layer, step by step."""
    w_in, w_state, b_in, b_state = (
        state[f"rnn.rnn.{kind}_{name}"] for kind in ("weight_ih", "weight_hh", "bias_ih", "bias_hh")
    )
    hidden, outputs = torch.zeros(steps.shape[0], w_state.shape[1]), []
    for step in steps.unbind(1):
        reset_in, update_in, new_in = (step @ w_in.T + b_in).chunk(3, dim=1)
        reset_state, update_state, new_state = (hidden @ w_state.T + b_state).chunk(3, dim=1)
        update = torch.sigmoid(update_in + update_state)
        new = torch.tanh(new_in + torch.sigmoid(reset_in + reset_state) * new_state)
        hidden = (1 - update) * new + update * hidden
        outputs.append(hidden)
    return torch.stack(outputs, dim=1)


def test_outputs_equal_an_independent_computation_from_the_same_weights():
    torch.manual_seed(0)
    net = small_crnn().eval()
    for name, value in net.state_dict().items():
        if "batchnorm" in name and value.dim():
            value.uniform_(0.5, 1.5)
    features = torch.rand(2, 8, 21) * 2 - 1
    strong, weak = net(features)
    expected_strong, expected_weak = reference(net.state_dict(), features)
    torch.testing.assert_close(strong.transpose(1, 2), expected_strong, atol=1e-5, rtol=0)
    torch.testing.assert_close(weak, expected_weak, atol=1e-5, rtol=0)


def test_attention_is_a_softmax_over_classes_so_that_a_single_class_gives_the_mean_over_steps():
    strong, weak = small_crnn(classes=1).eval()(torch.rand(2, 8, 20))
    torch.testing.assert_close(weak, strong.mean(dim=2))


def test_prediction_is_the_output_with_steps_before_classes():
    net, features = small_crnn().eval(), torch.rand(2, 8, 20)
    prediction, (strong, weak) = net.predict(features), net(features)
    torch.testing.assert_close(prediction.strong, strong.transpose(1, 2))
    torch.testing.assert_close(prediction.weak, weak)


def test_prediction_of_a_network_in_training_has_no_dropout_and_leaves_it_in_training():
    net, features = small_crnn().train(), torch.rand(2, 8, 20)
    statistics = net.cnn.cnn.batchnorm0.running_mean.clone()
    first, second = net.predict(features), net.predict(features)
    assert torch.equal(first.strong, second.strong)
    assert torch.equal(net.cnn.cnn.batchnorm0.running_mean, statistics)
    assert all(module.training for module in net.modules())


def test_every_weight_matrix_gets_a_gradient():
    net = small_crnn()
    strong, weak = net(torch.rand(2, 8, 20))
    (strong.square().mean() + weak.square().mean()).backward()
    assert all(
        parameter.grad is not None and parameter.grad.abs().sum() > 0
        for parameter in net.parameters()
        if parameter.dim() > 1
    )


@pytest.mark.parametrize("shape", [(2, 64, 626), (128, 626), (2, 128, 3)])
def test_features_of_another_shape_are_refused(shape):
    with pytest.raises(ValueError, match=r"expected \(batch, 128, frames >= 4\), got"):
        CRNN()(torch.zeros(shape))
