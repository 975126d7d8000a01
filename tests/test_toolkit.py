"""The recurrent VAE in place of the toolkit's network: its call, its output, and the loss terms that it adds."""

from __future__ import annotations

import ast
import copy
import re
from pathlib import Path

import pytest
import torch

from recipe_mtlvae.nets.toolkit import TOOLKIT_TASKS, ToolkitMTLVAE
from recipe_mtlvae.nets.vae import MTLVAE

ROOT = Path(__file__).parents[1]


def small_net(**changes: object) -> MTLVAE:
    """Return a network for 8 bands and 3 classes, which runs the same code in milliseconds."""
    return MTLVAE(**{"classes": 3, "mels": 8, "hidden": 4, "layers": 1, "latent": 2, "tasks": TOOLKIT_TASKS, **changes})


def small(**changes: object) -> ToolkitMTLVAE:
    return ToolkitMTLVAE(small_net(**changes))


@pytest.fixture
def features() -> torch.Tensor:
    """(batch, mels, frames)"""
    return torch.rand(4, 8, 22, generator=torch.Generator().manual_seed(0)) * 2 - 1


def test_ten_seconds_give_the_shapes_of_the_toolkits_network():
    strong, weak = ToolkitMTLVAE()(torch.rand(2, 128, 626) * 2 - 1)
    assert strong.shape == (2, 10, 156)
    assert weak.shape == (2, 10)


def test_the_output_is_that_of_the_inference_heads_with_classes_before_steps(features):
    net = small().eval()
    strong, weak = net(features)
    prediction = net.net.predict(features)
    torch.testing.assert_close(strong.transpose(1, 2), prediction.strong)
    torch.testing.assert_close(weak, prediction.weak)


@pytest.mark.parametrize("tasks", [("strong_synth",), ("strong_synth", "weak"), ("strong_synth", "strong_real")])
def test_any_set_of_tasks_gives_the_output_of_inference(features, tasks):
    net = small(tasks=tasks).eval()
    strong, weak = net(features)
    prediction = net.net.predict(features)
    torch.testing.assert_close(strong.transpose(1, 2), prediction.strong)
    torch.testing.assert_close(weak, prediction.weak)


def test_a_clip_gate_acts_only_at_detection(features):
    net = small(clip_gate=True, variational=False)
    free, gated = net.train()(features), net.eval()(features)
    torch.testing.assert_close(gated.strong, free.strong * free.weak.unsqueeze(2))
    torch.testing.assert_close(gated.strong.transpose(1, 2), net.net.predict(features).strong)


def test_binary_cross_entropy_on_the_outputs_and_the_added_terms_reach_every_parameter(features):
    net = small()
    strong, weak = net(features)
    loss = torch.nn.BCELoss()
    total = loss(strong, torch.zeros_like(strong)) + loss(weak, torch.ones_like(weak))
    (total + sum(net.loss_terms(unlabeled=slice(2, None)).values())).backward()
    assert all(parameter.grad is not None for parameter in net.parameters())


def test_posterior_and_reconstruction_are_readable_after_the_call(features):
    net = small()
    assert net.output is None
    net(features)
    assert net.output.mu.shape == net.output.logvar.shape == (4, 5, 2)
    assert net.output.reconstruction.shape == (4, 8, 20)


def test_the_reconstruction_term_is_the_mean_squared_error_of_the_unlabeled_clips(features):
    net = small()
    net(features)
    expected = ((net.output.reconstruction[3:] - features[3:, :, :20]) ** 2).mean()
    torch.testing.assert_close(net.loss_terms(unlabeled=slice(3, None))["reconstruction"], expected)


def test_kl_term_is_the_mean_over_all_clips_steps_and_dimensions(features):
    net = small()
    net(features)
    posterior = torch.distributions.Normal(net.output.mu, (0.5 * net.output.logvar).exp())
    expected = torch.distributions.kl_divergence(posterior, torch.distributions.Normal(0.0, 1.0)).mean()
    torch.testing.assert_close(net.loss_terms(unlabeled=slice(3, None))["kld"], expected)


def test_a_deterministic_network_has_no_kl_term(features):
    net = small(variational=False)
    net(features)
    assert set(net.loss_terms(unlabeled=slice(2, None))) == {"reconstruction"}


def test_loss_terms_need_a_call_first():
    with pytest.raises(RuntimeError, match="call the network first"):
        small().loss_terms(unlabeled=slice(2, None))


def test_loss_terms_need_an_unlabeled_clip(features):
    net = small()
    net(features)
    with pytest.raises(ValueError, match="no clip of the 4 in the batch"):
        net.loss_terms(unlabeled=slice(4, None))


def test_masked_classes_get_probability_zero_and_the_others_are_unchanged(features):
    net = small().eval()
    mask = torch.tensor([[True, True, False]] * 2 + [[True] * 3] * 2)
    plain, masked = net(features), net(features, classes_mask=mask)
    assert (masked.strong[:2, 2] == 0).all() and (masked.weak[:2, 2] == 0).all()
    assert torch.equal(masked.strong[:2, :2], plain.strong[:2, :2])
    assert torch.equal(masked.weak[2:], plain.weak[2:])


def test_padding_does_not_affect_the_clip_probability(features):
    net = small().eval()
    padding = torch.zeros(4, 1, 5, dtype=torch.bool)
    padding[0, 0, 3:] = True
    plain, masked = net(features), net(features, pad_mask=padding)
    head, decoded = net.net.heads["weak"], net.net.decode(net.output.z)
    torch.testing.assert_close(masked.weak[:1], torch.sigmoid(head(decoded[:1, :3], steps=3)))
    torch.testing.assert_close(masked.weak[1:], plain.weak[1:])


@pytest.mark.parametrize(("padded", "steps"), [(3, 2), (2, 1), (4, 2)])
def test_padding_is_left_out_if_a_recurrent_step_has_several_outputs(features, padded, steps):
    """Output steps 0 and 1 are of one recurrent step, 2 and 3 of the next, 4 of the last."""
    net = small(outputs_per_step=2).eval()
    padding = torch.zeros(4, 1, 5, dtype=torch.bool)
    padding[0, 0, padded:] = True
    weak = net(features, pad_mask=padding).weak
    head, decoded = net.net.heads["weak"], net.net.decode(net.output.z)
    torch.testing.assert_close(weak[:1], torch.sigmoid(head(decoded[:1, :steps], steps=padded)))
    torch.testing.assert_close(weak[1:], net(features).weak[1:])


def test_without_a_weak_head_padding_is_left_out_of_the_maximum(features):
    net = small(tasks=("strong_real",)).eval()
    padding = torch.ones(4, 1, 5, dtype=torch.bool)
    padding[:, :, 1] = False
    strong, weak = net(features, pad_mask=padding)
    assert torch.equal(weak, strong[:, :, 1])


def test_embeddings_change_nothing_if_the_network_does_not_see_them(features):
    net = small().eval()
    assert torch.equal(net(features).strong, net(features, embeddings=torch.ones(4, 768, 496)).strong)


def test_embeddings_that_the_network_sees_are_pooled_to_its_steps(features):
    net = small(sees=("log_mel", "embeddings"), embedding_width=6).eval()
    embeddings = torch.rand(4, 6, 10, generator=torch.Generator().manual_seed(1))
    pooled = embeddings.reshape(4, 6, 5, 2).mean(dim=3)  # 22 frames are 5 steps
    assert torch.allclose(net(features, embeddings=embeddings).strong, net(features, embeddings=pooled).strong)
    torch.testing.assert_close(
        net(features, embeddings=embeddings).strong.transpose(1, 2), net.net.predict(features, pooled).strong
    )
    with pytest.raises(ValueError, match=r"embeddings: expected \(batch, width, steps\), got none"):
        net(features)


def test_the_teacher_can_be_copied_from_a_student_that_has_been_called(features):
    student = small().eval()
    strong, _ = student(features)
    teacher = copy.deepcopy(student)
    assert teacher.output is None
    assert torch.equal(teacher(features).strong, strong)
    assert teacher.net.posterior.weight is not student.net.posterior.weight


def imported_files(file: Path, seen: set[Path]) -> set[Path]:
    """`file` and everything of the package that it imports, package __init__ files included."""
    if file in seen:
        return seen
    seen.add(file)
    for name in re.findall(
        r"^\s*(?:from|import) (recipe_mtlvae[\w.]*)", file.read_text(encoding="utf-8"), re.MULTILINE
    ):
        parts = name.split(".")
        for length in range(1, len(parts) + 1):
            path = ROOT.joinpath(*parts[:length])
            imported_files(path / "__init__.py" if path.is_dir() else path.with_suffix(".py"), seen)
    return seen


ADAPTER = ROOT / "recipe_mtlvae" / "nets" / "toolkit.py"
NEEDED = sorted(imported_files(ADAPTER, set()) | {ROOT / "recipe_mtlvae" / "nets" / "__init__.py"})


@pytest.mark.parametrize("file", NEEDED, ids=lambda file: str(file.relative_to(ROOT)))
def test_python_3_8_can_parse_the_adapter_and_all_that_it_imports(file):
    tree = ast.parse(file.read_text(encoding="utf-8"), feature_version=(3, 8))
    deferred = any(isinstance(node, ast.ImportFrom) and node.module == "__future__" for node in tree.body)
    assert deferred or not any(isinstance(node, (ast.FunctionDef, ast.AnnAssign)) for node in ast.walk(tree))
    # These keywords are newer than 3.8, though its grammar accepts them: zip(strict=), dataclass(slots=, kw_only=)
    keywords = {keyword.arg for node in ast.walk(tree) if isinstance(node, ast.Call) for keyword in node.keywords}
    assert not keywords & {"strict", "slots", "kw_only"}
