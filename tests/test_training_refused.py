"""Training that cannot begin or that goes wrong: one line says why, and good results are kept."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from local.stage import Stage
from local.train import train
from local.training.mtlvae import MTLVAETraining
from local.training.run_state import BEST, LAST
from recipe_mtlvae.conf import Conf
from recipe_mtlvae.errors import RecipeError
from recipe_mtlvae.inputs.prepared import store_folder
from recipe_mtlvae.inputs.registry import inputs_of
from recipe_mtlvae.inputs.store_parts import part_path
from tests.tiny import make_tiny_corpus, tiny_conf


def refused(root: Path, run_dir: Path, conf: Conf) -> str:
    with pytest.raises(RecipeError) as error:
        train(Stage(1, conf, root, run_dir))
    (fault,) = error.value.faults
    return str(fault)


@pytest.mark.parametrize("split", ["weak", "synthetic_validation"])
def test_a_clip_whose_features_are_not_finite_ends_training_with_its_name(tmp_path, split):
    """Some of the weak clips are used for training, and all clips of `synthetic_validation` for selection."""
    conf = tiny_conf("train.epoch_steps=8")
    root = make_tiny_corpus(tmp_path / "corpus", conf)
    (source,) = inputs_of(conf).values()
    values = np.load(part_path(store_folder(source, root, split), 0), mmap_mode="r+")
    values[1, 5, 7] = np.nan
    values.flush()
    line = refused(root, tmp_path / "run", conf)
    assert f"the features of '{split}_1.wav' ({split}) are not finite; it is far too loud" in line
    assert not (tmp_path / "run" / LAST).exists() and not (tmp_path / "run" / BEST).exists()


def test_a_loss_that_explodes_is_reported_once(stored, tmp_path, capsys, monkeypatch):
    def step(self, batch, index):
        loss = training_step(self, batch, index)
        self.log("loss/total", loss.detach() * 20.0**self.current_epoch, on_step=False, on_epoch=True, batch_size=1)
        return loss

    def log_figures(self, batch, loss, figures):
        self.figures = {"loss/total": loss.detach()}

    training_step = MTLVAETraining.training_step
    monkeypatch.setattr(MTLVAETraining, "training_step", step)
    monkeypatch.setattr(MTLVAETraining, "log_figures", log_figures)
    train(Stage(1, tiny_conf("train.max_epochs=3"), stored, tmp_path / "run"))
    lines = [line for line in capsys.readouterr().err.splitlines() if "explodes" in line]
    assert len(lines) == 1 and "in epoch 2" in lines[0]


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        (["train.batch_size=400"], "no whole batch"),
        (["train.batch_size=400", "train.devices=2", "train.strategy=ddp"], "no whole batch"),
        (["train.devices=64"], "train.devices: expected processes for at most"),
        (["train.accelerator=gpu", "train.devices=999"], "train.accelerator, devices"),
        (["train.strategy=ddp", "train.devices=2", "train.batch_size=4"], "too small for 2 processes"),
    ],
)
def test_settings_that_cannot_be_trained_are_refused_before_anything_is_written(stored, tmp_path, settings, words):
    with pytest.raises(RecipeError, match=words):
        train(Stage(1, tiny_conf(*settings), stored, tmp_path / "run"))
    assert not (tmp_path / "run").exists()


def test_weak_clips_that_are_all_held_out_are_refused(tmp_path):
    conf = tiny_conf("data.weak_held_out=0.9")
    root = make_tiny_corpus(tmp_path / "corpus", conf, counts={"weak": 2})
    assert "nothing would be left of 2 weak clips to train on" in refused(root, tmp_path / "run", conf)
