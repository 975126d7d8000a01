"""Stage 2: which networks write scores where, and which checkpoints are refused."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from local import predict as stage_2
from local.predict import predict, predicted_splits
from local.prediction import shares
from local.stage import Stage
from local.train import train
from recipe_mtlvae.audio.decoding import read_audio
from recipe_mtlvae.corpus.splits import Corpus
from recipe_mtlvae.errors import RecipeError
from recipe_mtlvae.inputs.mel_transform import LogMel
from recipe_mtlvae.inputs.prepared import open_split
from recipe_mtlvae.nets.checkpoint import load_checkpoint
from recipe_mtlvae.nets.crnn import CRNN
from recipe_mtlvae.scoring.scores import read_scores
from tests.tiny import AUDIO, make_tiny_corpus, tiny_conf

ONE_STEP = ["train.max_epochs=1", "train.epoch_steps=1"]
SHARES = ["mean_teacher.strong_clips=2", "mean_teacher.weak_clips=2", "mean_teacher.unlabeled_clips=2"]


@pytest.fixture(scope="module")
def root(tmp_path_factory) -> Path:
    return make_tiny_corpus(tmp_path_factory.mktemp("corpus"), tiny_conf())


def run_stage_2(stage: Stage, monkeypatch) -> None:
    monkeypatch.setattr(stage_2, "open_stage", lambda number, description: stage)
    stage_2.main()


def test_every_clip_of_each_test_split_gets_scores_in_the_audio_files_own_length(root, tmp_path, monkeypatch):
    stage = Stage(2, tiny_conf(*ONE_STEP), root, tmp_path)
    train(stage)
    run_stage_2(stage, monkeypatch)
    assert set(read_scores(tmp_path / "scores" / "validation").clips) == {f"validation_{i}" for i in range(4)}
    assert set(read_scores(tmp_path / "scores" / "evaluation").clips) == {f"any name {i}" for i in range(3)}
    model = json.loads((tmp_path / "model.json").read_text())
    assert model["training"]["epochs"] == 1 and model["training"]["peak_memory_bytes"] > 1e8
    assert (tmp_path / "latents.npz").exists()


def test_the_description_of_the_training_is_updated_when_it_continues(root, tmp_path, monkeypatch):
    for epochs in (1, 2):
        stage = Stage(2, tiny_conf(*ONE_STEP, f"train.max_epochs={epochs}"), root, tmp_path)
        train(stage)
        run_stage_2(stage, monkeypatch)
    assert json.loads((tmp_path / "model.json").read_text())["training"]["epochs"] == 2


def test_student_and_teacher_are_both_scored(root, tmp_path, monkeypatch):
    stage = Stage(2, tiny_conf("system=mean_teacher", *ONE_STEP, *SHARES), root, tmp_path)
    train(stage)
    run_stage_2(stage, monkeypatch)
    student, teacher = (read_scores(folder / "scores" / "public") for folder in stage.system_dirs().values())
    assert student.clips.keys() == teacher.clips.keys()
    energy = json.loads((tmp_path / "teacher" / "energy.json").read_text())
    assert {"training", "validation", "public", "evaluation"} <= set(energy)  # trained together with its student


def official_file(path: Path, classes: int, net: CRNN | None = None) -> Path:
    weights = {
        f"sed_{which}.{name}": value
        for which in ("student", "teacher")
        for name, value in (net or CRNN(classes)).state_dict().items()
    }
    torch.save({"state_dict": weights, "hyper_parameters": {}}, path)
    return path


def test_an_official_checkpoint_is_scored_like_a_run(root, tmp_path, monkeypatch):
    official = official_file(tmp_path / "official.ckpt", 2)
    stage = Stage(2, tiny_conf("system=mean_teacher"), root, tmp_path / "run", official)
    run_stage_2(stage, monkeypatch)
    for folder in stage.system_dirs().values():
        assert len(read_scores(folder / "scores" / "validation").clips) == 4
        assert json.loads((folder / "model.json").read_text())["training"]["epochs"] == 0


def by_hand(log_mel: torch.Tensor, scale_range: list[int]) -> torch.Tensor:
    """Scale by the toolkit's formulas: those of commit 471c35a for [-1, 1] and of 63d8b3b for [0, 1]."""
    low, high = log_mel.amin((1, 2), keepdim=True), log_mel.amax((1, 2), keepdim=True)
    share = (log_mel - low) / (high - low + 1e-8)
    return share * 2 - 1 if scale_range == [-1, 1] else share


@pytest.mark.parametrize("scale_range", [[-1, 1], [0, 1]])
def test_an_official_checkpoint_trained_with_either_range_gives_its_own_scores(
    root, tmp_path, monkeypatch, capsys, scale_range
):
    conf = tiny_conf("system=mean_teacher", f"baseline_checkpoint.scale_range={scale_range}")
    split = open_split(Corpus(conf, root), "strong_real")
    features = by_hand(torch.from_numpy(split.store.read(range(6))).float(), scale_range)
    weak = torch.tensor([[1.0, 0.0], [0.0, 1.0]] * 3)
    torch.manual_seed(0)
    net = CRNN(2)
    optimizer = torch.optim.Adam(net.parameters(), lr=1e-3)
    for _ in range(4):
        optimizer.zero_grad()
        torch.nn.functional.binary_cross_entropy(net(features)[1], weak).backward()
        optimizer.step()
    stage = Stage(2, conf, root, tmp_path / "run", official_file(tmp_path / "official.ckpt", 2, net))
    run_stage_2(stage, monkeypatch)
    assert f"features scaled to {scale_range}" in capsys.readouterr().out
    samples = read_audio(root / AUDIO / "validation_1.wav", 16000, 2.0).samples
    log_mel = LogMel(conf.features)(torch.from_numpy(samples)[None])
    written = read_scores(tmp_path / "run" / "scores" / "validation").clips["validation_1"].scores
    np.testing.assert_allclose(written, net.predict(by_hand(log_mel, scale_range)).strong[0], atol=2e-6)
    other = [0, 1] if scale_range == [-1, 1] else [-1, 1]
    assert np.abs(written - net.predict(by_hand(log_mel, other)).strong[0].numpy()).max() > 0.01


def test_an_official_checkpoint_of_other_classes_is_refused(root, tmp_path, monkeypatch):
    official = official_file(tmp_path / "official.ckpt", 10)
    stage = Stage(2, tiny_conf("system=mean_teacher"), root, tmp_path / "run", official)
    with pytest.raises(RecipeError, match="a network of 10 classes; the corpus has Beep, Hum"):
        run_stage_2(stage, monkeypatch)


def test_a_checkpoint_of_another_class_list_is_refused(root, tmp_path):
    train(Stage(1, tiny_conf(*ONE_STEP), root, tmp_path))
    other = Stage(2, tiny_conf("data.classes=[Beep, Hum, Ring]"), root, tmp_path)
    with pytest.raises(RecipeError, match="the checkpoint's classes are Beep, Hum; the corpus has Beep, Hum, Ring"):
        predict(other, load_checkpoint(tmp_path / "best.ckpt"), tmp_path, predicted_splits(other), "key")


def test_a_failed_prediction_leaves_no_score_folder_and_can_be_repeated(root, tmp_path, monkeypatch):
    stage = Stage(2, tiny_conf(*ONE_STEP), root, tmp_path)
    train(stage)
    with monkeypatch.context() as full:
        full.setattr(shares, "write_scores", lambda *_: (_ for _ in ()).throw(OSError(28, "No space left on device")))
        with pytest.raises(OSError, match="No space left"):
            run_stage_2(stage, full)
    assert not [path for path in (tmp_path / "scores").iterdir() if not path.name.startswith(".")]
    assert not (tmp_path / "model.json").exists()
    run_stage_2(stage, monkeypatch)
    assert len(read_scores(tmp_path / "scores" / "validation").clips) == 4
