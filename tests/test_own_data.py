"""A user's own data with the example configuration: other classes, lengths, sample rates and tables."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile

import local.stage
from local import predict, prepare, score, train
from local.training.data import require_splits
from recipe_mtlvae.conf import CONF_DIR, load_conf
from recipe_mtlvae.corpus.splits import Corpus
from recipe_mtlvae.errors import RecipeError, exit_code_of
from recipe_mtlvae.inputs.prepared import open_split
from recipe_mtlvae.labels import Event
from recipe_mtlvae.scoring.scores import read_scores

EXAMPLE = CONF_DIR / "data" / "own.yaml"
FAST = ("train.max_epochs=1", "train.epoch_steps=2", "train.batch_size=4", "train.devices=1", "train.accelerator=cpu")
SMALL = ("vae.hidden=16", "vae.latent=8")
TONES = {"Robin": 2000.0, "Wren": 3000.0}


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three tables without header, separated by commas, of recordings of 3 to 13 s at 8 to 48 kHz in one folder."""
    folder = tmp_path_factory.mktemp("own")
    rng = np.random.default_rng(0)
    (folder / "recordings").mkdir()
    for table, count in (("train", 6), ("choose", 3), ("test", 3)):
        rows = []
        for number in range(count):
            name, rate = f"{table}, {number}.wav", (8000, 22050, 48000)[number % 3]
            seconds, label = (3.0, 9.0, 13.0)[number % 3], list(TONES)[number % 2]
            time = np.arange(round(seconds * rate)) / rate
            tone = np.sin(2 * np.pi * TONES[label] * time) * (time >= 1.0) * (time < seconds - 1.0)
            samples = 0.4 * tone + 0.01 * rng.standard_normal(len(time))
            soundfile.write(folder / "recordings" / name, samples, rate)
            rows.append(f'"{name}",1.0,{seconds - 1.0},{label}\n')
        (folder / f"{table}.csv").write_text("".join(rows))
    return folder


def run(module, root: Path, project: Path, monkeypatch: pytest.MonkeyPatch) -> int:
    monkeypatch.setattr(local.stage, "PROJECT", project)
    arguments = ["--data", str(EXAMPLE), "--data_root", str(root), *(f"--set={text}" for text in (*FAST, *SMALL))]
    monkeypatch.setattr(sys, "argv", [module.__name__, *arguments])
    return exit_code_of(module.main)


@pytest.fixture(scope="module")
def done(root: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of the run after stages 0 to 3."""
    project = tmp_path_factory.mktemp("project")
    with pytest.MonkeyPatch.context() as monkeypatch:
        for module in (prepare, train, predict, score):
            assert run(module, root, project, monkeypatch) == 0
    return project / "exp" / "mtlvae-own"


def test_the_readme_shows_the_example_as_it_is() -> None:
    shown = (CONF_DIR.parent / "README.md").read_text(encoding="utf-8")
    assert EXAMPLE.read_text(encoding="utf-8").partition("\n")[2] in shown


def test_the_example_has_ten_lines():
    lines = [line for line in EXAMPLE.read_text().splitlines() if not line.startswith("#")]
    assert len(lines) == 10


def test_classes_are_those_of_the_tables(root):
    assert Corpus(load_conf(EXAMPLE), root).classes == ("Robin", "Wren")


@pytest.mark.slow
def test_long_recordings_are_cut_for_training_with_their_labels(root, done):
    split = open_split(Corpus(load_conf(EXAMPLE), root), "strong_real")
    events = {clip.name: clip.events for clip in split.clips}
    assert events["train, 1.wav/0.000"] == (Event(1.0, 4.0, "Wren"),)
    assert events["train, 1.wav/4.000"] == (Event(0.0, 4.0, "Wren"),)
    assert events["train, 1.wav/5.000"] == (Event(0.0, 3.0, "Wren"),)
    assert events["train, 0.wav"] == (Event(1.0, 2.0, "Robin"),)
    assert (len(split.recordings), len(split.clips)) == (6, 2 * (1 + 3 + 4))


@pytest.mark.slow
def test_long_recordings_are_scored_whole(done):
    scores = read_scores(done / "scores" / "validation")
    ends = {clip: float(item.edges[-1]) for clip, item in scores.clips.items()}
    assert ends == pytest.approx({"test, 0": 3.0, "test, 1": 9.0, "test, 2": 13.0}, abs=0.13)  # at most two steps


@pytest.mark.slow
def test_metrics_state_their_coverage_and_the_hash_of_their_clip_list(done):
    metrics = json.loads((done / "metrics.json").read_text())
    assert metrics["coverage"] == {"scored": 3, "expected": 3}
    assert len(metrics["clip_list_hash"]) == 12


@pytest.mark.parametrize(
    ("setting", "words"),
    [
        ("tasks=[strong_real, weak]", "task 'weak' has no split to learn from; leave it out of tasks"),
        ("data.splits.synthetic_validation=null", "there is no strongly labelled split to select by; give one"),
    ],
)
def test_training_names_the_split_that_it_lacks(setting, words):
    with pytest.raises(RecipeError, match=words):
        require_splits(load_conf(EXAMPLE, settings=[setting]))
