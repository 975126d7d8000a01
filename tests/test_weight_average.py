"""The moving average of the weights: best.ckpt detects with it, and training resumes with it and with the weights."""

from __future__ import annotations

import math
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from torch.nn import init

from local.stage import Stage
from local.train import train
from local.training.history import read_history
from local.training.mtlvae import MTLVAETraining, clips_without_strong_labels
from local.training.run_state import BEST, LAST
from local.training.schedule import Plan, averaged_network, moving_average
from recipe_mtlvae.conf import Conf
from recipe_mtlvae.inputs.batches import Batch
from recipe_mtlvae.nets.checkpoint import build_network, read_content
from recipe_mtlvae.nets.vae import MTLVAE
from tests.tiny import make_tiny_corpus, tiny_conf

AVERAGED = ("train.weight_average=0.5", "train.epoch_steps=2", "vae.front_end=separable", "vae.dropout=0.2")
AVERAGED = (*AVERAGED, "loss.consistency=2.0")  # a resumed training needs the average for this term
CLASSES = ("Beep", "Hum")


def trained_for(epochs: int, root: Path, run_dir: Path) -> dict:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("local.train.plan_of", lambda *_: Plan(2, 2))  # the warm-up of the consistency
        train(Stage(1, tiny_conf(*AVERAGED, f"train.max_epochs={epochs}"), root, run_dir))
    return read_content(run_dir / LAST)


@pytest.fixture(scope="module")
def root(tmp_path_factory) -> Path:
    return make_tiny_corpus(tmp_path_factory.mktemp("averaged") / "corpus", tiny_conf(*AVERAGED))


def test_best_holds_the_average_that_was_validated_and_no_training_state(root, tmp_path):
    last, best = trained_for(1, root, tmp_path), read_content(tmp_path / BEST)
    name = "net.posterior.weight"
    assert torch.equal(best["state_dict"][name], last["state_dict"][name])
    assert not torch.equal(best["state_dict"][name], last["current_model_state"][name])
    assert not {"optimizer_states", "callbacks", "current_model_state"} & best.keys()


def test_a_resumed_training_ends_like_an_unbroken_one(root, tmp_path):
    trained_for(1, root, tmp_path / "broken")
    broken, whole = trained_for(2, root, tmp_path / "broken"), trained_for(2, root, tmp_path / "whole")
    for part in ("state_dict", "current_model_state"):
        assert all(torch.equal(broken[part][name], value) for name, value in whole[part].items())


def test_until_the_second_update_the_average_is_the_network_itself(root, tmp_path):
    """Without dropout and noise, both give the same output in the first two steps, here epochs, not in the third."""
    settings = ("vae.dropout=0.0", "vae.front_end=stack", "vae.variational=false", "train.epoch_steps=1")
    train(Stage(1, tiny_conf(*AVERAGED, *settings, "train.max_epochs=3"), root, tmp_path))
    first, second, third = (row["loss/consistency"] for row in read_history(tmp_path / "history.csv"))
    assert max(first, second) < 1e-12 < 1e-9 < third


def test_the_average_is_on_the_device_of_the_training():
    """The network itself is moved to that device later."""
    averaging, strategy = moving_average(0.5), SimpleNamespace(root_device=torch.device("meta"))
    averaging.setup(SimpleNamespace(strategy=strategy), MTLVAETraining(tiny_conf(*AVERAGED), CLASSES), "fit")
    assert {value.device.type for value in averaging._average_model.state_dict().values()} == {"meta"}


def says(conf: Conf, strong: float, weak: float) -> MTLVAE:
    """A network that gives all steps and all clips these probabilities."""
    net = build_network(conf, len(CLASSES))
    for parameter in net.parameters():
        init.zeros_(parameter)
    init.constant_(net.heads["strong_real"].bias, torch.tensor(strong).logit())
    init.constant_(net.heads["weak"].classify.bias, torch.tensor(weak).logit())
    return net.eval()


def test_consistency_counts_steps_and_clips_and_begins_like_that_of_the_mean_teacher():
    """Steps differ by 0.5 and clips by 0.1: 0.25 + 0.01. In the first step, 2 exp(-5) of this is added."""
    conf = tiny_conf(*AVERAGED)
    module, seen = MTLVAETraining(conf, CLASSES), {}
    module.net, module.plan = says(conf, 0.75, 0.5), Plan(epochs=4, epoch_steps=2)
    module.log_figures = lambda batch, loss, figures: seen.update(figures)
    averaging = moving_average(0.5)
    averaging._average_model = SimpleNamespace(module=SimpleNamespace(net=says(conf, 0.25, 0.6)))
    module._trainer = SimpleNamespace(global_step=0, callbacks=[averaging])
    spans = {task: slice(2 * i, 2 * i + 2) for i, task in enumerate(conf.tasks)}
    batch = Batch({"log_mel": torch.rand(8, 128, 126)}, torch.zeros(8, 31, 2), torch.zeros(8, 2), spans)
    total = module.training_step(batch, 0).item()
    assert seen["loss/consistency"].item() == pytest.approx(0.26)
    others = sum(seen[f"loss/{name}"].item() for name in (*conf.tasks, "kld"))
    assert total - others == pytest.approx(2 * math.exp(-5) * 0.26, rel=1e-3)


def test_consistency_is_about_the_clips_without_strong_labels():
    spans = {"strong_synth": slice(3), "weak": slice(3, 5), "reconstruction": slice(5, 6), "strong_real": slice(6, 9)}
    batch = Batch({}, torch.zeros(9, 31, 2), torch.zeros(9, 2), spans)
    assert clips_without_strong_labels(batch).tolist() == [3, 4, 5]


def test_the_teacher_has_its_own_dropout_but_uses_no_statistics_of_the_batch():
    averaging = moving_average(0.5)
    net = build_network(tiny_conf(*AVERAGED), len(CLASSES)).eval()
    averaging._average_model = SimpleNamespace(module=SimpleNamespace(net=net))
    teacher = averaged_network(SimpleNamespace(callbacks=[averaging]))
    modes = {type(module): module.training for module in teacher.modules()}
    assert modes[torch.nn.Dropout] and not modes[torch.nn.BatchNorm2d]
