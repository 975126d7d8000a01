"""The weights' moving average: what best.ckpt detects with, and what training goes on from."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from local.checkpoints import BEST, LAST
from local.stage import Stage
from local.train import train
from recipe_mtlvae.nets.checkpoint import read_content
from tests.tiny import make_tiny_corpus, tiny_conf

AVERAGED = ("train.weight_average=0.5", "train.epoch_steps=2", "vae.front_end=separable", "vae.dropout=0.2")


def trained_for(epochs: int, root: Path, run_dir: Path) -> dict:
    train(Stage(1, tiny_conf(*AVERAGED, f"train.max_epochs={epochs}"), root, run_dir))
    return read_content(run_dir / LAST)


@pytest.fixture(scope="module")
def root(tmp_path_factory) -> Path:
    return make_tiny_corpus(tmp_path_factory.mktemp("averaged") / "corpus", tiny_conf(*AVERAGED))


def test_best_holds_the_average_that_was_validated_and_nothing_of_the_training(root, tmp_path):
    last, best = trained_for(1, root, tmp_path), read_content(tmp_path / BEST)
    name = "net.posterior.weight"
    assert torch.equal(best["state_dict"][name], last["state_dict"][name])
    assert not torch.equal(best["state_dict"][name], last["current_model_state"][name])
    assert not {"optimizer_states", "callbacks", "current_model_state"} & best.keys()


def test_a_training_that_goes_on_ends_as_an_unbroken_one(root, tmp_path):
    trained_for(1, root, tmp_path / "broken")
    broken, whole = trained_for(2, root, tmp_path / "broken"), trained_for(2, root, tmp_path / "whole")
    for part in ("state_dict", "current_model_state"):
        assert all(torch.equal(broken[part][name], value) for name, value in whole[part].items())
