"""The baseline recipe's training, against hand-computed steps."""

import math

import pytest
import torch

from local.stage import Stage
from local.train import train
from local.training.history import read_history
from local.training.mean_teacher import MeanTeacherTraining, warm_up_steps
from local.training.schedule import Plan, warm_up
from local.training.selection import Selection
from recipe_mtlvae.conf import CONF_DIR, load_conf
from recipe_mtlvae.inputs.batches import Batch
from recipe_mtlvae.nets.checkpoint import load_checkpoint
from tests.tiny import SETTINGS, make_tiny_corpus

SHARES = ["mean_teacher.strong_clips=4", "mean_teacher.weak_clips=4", "mean_teacher.unlabeled_clips=4"]


def conf_of(*settings: str, file: str = "mean_teacher.yaml"):
    shared = [setting for setting in SETTINGS if not setting.startswith("train.batch_size")]
    return load_conf(CONF_DIR / file, settings=[*shared, *SHARES, *settings])


def test_the_warm_up_grows_from_exp_minus_5_to_1():
    assert warm_up(0, 10) == pytest.approx(math.exp(-5))
    assert warm_up(5, 10) == pytest.approx(math.exp(-1.25))
    assert warm_up(10, 10) == warm_up(99, 10) == 1.0


def test_with_few_epochs_the_warm_up_shrinks_to_a_quarter_of_the_planned_steps():
    assert warm_up_steps(50, Plan(200, 100)) == 50 * 100
    assert warm_up_steps(50, Plan(40, 100)) == 10 * 100


def batch_of(conf) -> Batch:
    spans = {"strong": slice(0, 4), "weak": slice(4, 8), "unlabeled": slice(8, 12)}
    generator = torch.Generator().manual_seed(0)
    features = torch.rand(12, 128, 126, generator=generator) * 60 - 40
    strong = (torch.rand(12, 31, 2, generator=generator) < 0.3).float()
    return Batch({"log_mel": features.half()}, strong, strong.amax(dim=1), spans)


def test_mixup_mixes_labelled_clips_within_their_own_set_and_leaves_unlabeled_ones():
    conf = conf_of("augment.mixup=1.0", "augment.mixup_beta=5.0")
    batch, before = batch_of(conf), batch_of(conf)
    MeanTeacherTraining(conf, ("Beep", "Hum")).on_train_batch_start(batch, 0)
    torch.testing.assert_close(batch.inputs["log_mel"][8:], before.inputs["log_mel"][8:].float())
    assert not torch.allclose(batch.inputs["log_mel"][:8], before.inputs["log_mel"][:8].float())
    assert batch.weak[4:8].sum() == pytest.approx(before.weak[4:8].sum().item())  # a soft mixture keeps the sum
    assert torch.equal(batch.weak[:4], before.weak[:4])


def test_mixup_has_one_order_and_one_ratio_for_all_inputs_and_labels():
    """Every input and label of a clip holds the number of the clip and is mixed linearly, so that they stay equal."""
    conf = conf_of("augment.mixup=1.0", "augment.mixup_beta=5.0", file="mean_teacher_yamnet.yaml")
    batch = batch_of(conf)
    numbers = torch.arange(1.0, 13.0)
    batch.inputs = {"log_mel": 20 * numbers.log10()[:, None, None].expand(-1, 128, 126).contiguous()}
    batch.inputs["embeddings"] = numbers[:, None, None].expand(-1, 1792, 31).clone()
    batch.weak = numbers[:, None].expand(-1, 2).clone()
    MeanTeacherTraining(conf, ("Beep", "Hum")).on_train_batch_start(batch, 0)
    embeddings = batch.inputs["embeddings"][:, 0, 0]
    assert not torch.equal(embeddings[:8], numbers[:8]) and torch.equal(embeddings[8:], numbers[8:])
    torch.testing.assert_close(10 ** (batch.inputs["log_mel"][:, 0, 0] / 20), embeddings)
    torch.testing.assert_close(batch.weak[4:8, 0], embeddings[4:8])


def test_the_fused_network_takes_a_step_on_both_inputs():
    conf = conf_of(file="mean_teacher_yamnet.yaml")
    batch = batch_of(conf)
    batch.inputs["embeddings"] = torch.rand(12, 1792, 31)
    module = MeanTeacherTraining(conf, ("Beep", "Hum"))
    module.log_figures = lambda *args: None
    module.plan = Plan(4, 2)
    module.configure_optimizers()
    module.training_step(batch, 0).backward()
    assert module.net.cat_tf.weight.grad.abs().sum() > 0


def test_the_first_teacher_is_the_mean_of_the_first_two_students(monkeypatch):
    """The factor is min(1 - 1 / (step + 1), 0.999): one half after the first step."""
    module = MeanTeacherTraining(conf_of(), ("Beep", "Hum"))
    teacher = next(module.teacher.parameters())
    before = teacher.clone()
    with torch.no_grad():
        next(module.net.parameters()).add_(1.0)
    monkeypatch.setattr(MeanTeacherTraining, "global_step", 1)
    module.on_train_batch_end(None, None, 0)
    torch.testing.assert_close(teacher, before + 0.5)


@pytest.mark.parametrize("file", ["mean_teacher.yaml", "mean_teacher_without_real.yaml"])
def test_both_baselines_train_and_store_student_and_teacher(file, tmp_path):
    conf = conf_of("train.max_epochs=1", "train.epoch_steps=1", file=file)
    root = make_tiny_corpus(tmp_path / "corpus", conf)
    train(Stage(1, conf, root, tmp_path / "run"))
    student = load_checkpoint(tmp_path / "run" / "best.ckpt", "net")
    teacher = load_checkpoint(tmp_path / "run" / "best.ckpt", "teacher")
    one, other = student.net.state_dict(), teacher.net.state_dict()
    assert one.keys() == other.keys() and any(not torch.equal(one[name], other[name]) for name in one)
    assert student.decoding is not None and teacher.decoding is not None


def test_patience_begins_once_the_warm_up_is_over(tmp_path, monkeypatch):
    """Four of eight epochs run: two of warm-up, a first one to compare with, and one that is not better."""
    conf = conf_of("train.max_epochs=8", "train.epoch_steps=1", "train.patience=1", "mean_teacher.warmup_epochs=9")
    root = make_tiny_corpus(tmp_path / "corpus", conf)
    monkeypatch.setattr(Selection, "_intersection_f1", lambda *_: 0.0)
    monkeypatch.setattr("local.training.selection.macro_f1", lambda *arrays: 0.5)
    train(Stage(1, conf, root, tmp_path / "run"))
    assert len(read_history(tmp_path / "run" / "history.csv")) == 4
