"""YAMNet with a trained linear layer, and YAMNet without training: the references for systems on its embeddings."""

from __future__ import annotations

import sys

import numpy as np
import pytest
import torch

from local import untrained
from local.stage import Stage
from local.train import train
from recipe_mtlvae.conf import CONF_DIR, load_conf
from recipe_mtlvae.errors import RecipeError
from recipe_mtlvae.inference.detector import Detector
from recipe_mtlvae.inputs.encoders.yamnet import YAMNet
from recipe_mtlvae.nets.linear_layer import LinearLayer
from recipe_mtlvae.scoring.scores import read_scores
from tests.tiny import AUDIO, SETTINGS, make_tiny_corpus


def conf_of(weights, *settings: str):
    given = [f"encoder.weights={weights}", "train.max_epochs=1", "train.epoch_steps=1", *settings]
    return load_conf(CONF_DIR / "linear_yamnet.yaml", settings=[*SETTINGS, *given])


def test_a_steps_logits_are_linear_in_its_normalised_embeddings():
    torch.manual_seed(0)
    net, embeddings = LinearLayer(6, 2), torch.rand(1, 6, 3)
    step = embeddings[0, :, 1]
    expected = net.dense.weight @ ((step - step.mean()) / step.std(correction=0)) + net.dense.bias
    torch.testing.assert_close(net(None, embeddings)[0, 1], expected, rtol=1e-3, atol=1e-4)
    found = net.predict(None, embeddings)
    assert torch.equal(found.weak, found.strong.amax(dim=1))


def test_the_linear_layer_trains_and_detects(weights, tmp_path):
    conf = conf_of(weights)
    root = make_tiny_corpus(tmp_path / "corpus", conf)
    train(Stage(1, conf, root, tmp_path / "run"))
    found = Detector.load(tmp_path / "run" / "best.ckpt", device="cpu").detect(root / AUDIO / "validation_1.wav")
    assert found.scores.shape == (31, 2) and np.isfinite(found.scores).all()


def test_the_linear_layer_refuses_unlabeled_clips(weights):
    with pytest.raises(RecipeError, match=r"tasks.*: a linear layer learns from labels alone, got reconstruction"):
        conf_of(weights, "tasks=[weak, strong_real, reconstruction]")


def test_without_training_a_step_has_the_highest_score_of_its_class_in_the_nearest_window(
    weights, monkeypatch, tmp_path
):
    classes = tmp_path / "classes.yaml"
    classes.write_text("Beep: {Sine wave: 495, Ping: 476}\nHum: {Hum: 487}\n")
    monkeypatch.setattr(untrained, "CLASSES", classes)
    net = YAMNet()
    net.logits = lambda windows: torch.arange(len(windows))[:, None] + torch.arange(521) / 1000 - 2
    scorer = untrained.Untrained(conf_of(weights), ("Beep", "Hum"), net)
    scores = scorer.scores(torch.zeros(32_000), 31)  # 224 frames: windows at 0, 48, 96, 144 and one more of silence
    # The middle of window k is 0.4875 + 0.48 k s; that of step 11, 0.736 s, is nearer to window 1 than to window 0
    for step, window in ((0, 0), (10, 0), (11, 1), (18, 1), (19, 2)):
        expected = [1 / (1 + np.exp(-(window - 2 + number / 1000))) for number in (495, 487)]
        assert scores[step].tolist() == pytest.approx(expected, abs=1e-5), step


def test_scores_without_training_are_a_score_folder(weights, tmp_path, monkeypatch):
    conf = conf_of(weights)
    root = make_tiny_corpus(tmp_path / "corpus", conf)
    classes = tmp_path / "classes.yaml"
    classes.write_text("Beep: {Sine wave: 495}\nHum: {Hum: 487}\n")
    monkeypatch.setattr(untrained, "CLASSES", classes)
    (tmp_path / "own.yaml").write_text("{}\n")
    settings = [f"--set={setting}" for setting in [*SETTINGS, f"encoder.weights={weights}"]]
    options = [f"--data={tmp_path / 'own.yaml'}", f"--conf={CONF_DIR / 'linear_yamnet.yaml'}", "--tag=run"]
    monkeypatch.setattr(sys, "argv", ["x", *options, f"--data_root={root}", f"--exp_dir={tmp_path}", *settings])
    untrained.main()
    found = read_scores(tmp_path / "run" / "scores" / "validation")
    assert list(found.classes) == ["Beep", "Hum"] and len(found.clips) == 4


def test_a_class_that_yamnet_lacks_is_named():
    with pytest.raises(
        RecipeError, match=r"yamnet_classes.yaml: no class of YAMNet stands for Beep; add its classes there"
    ):
        untrained.columns_of(["Dog", "Beep"])
