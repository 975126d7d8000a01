"""A data set in one YAML file with splits of any name: the use of each follows from its role and its task."""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml

import local.stage
from local import compare, predict, prepare, score, train
from local.training.data import Data
from local.training.selection import Selection
from recipe_mtlvae.conf import load_conf
from recipe_mtlvae.corpus import problems
from recipe_mtlvae.corpus.check import CorpusCheck, check_corpus
from recipe_mtlvae.corpus.splits import Corpus
from recipe_mtlvae.errors import RecipeError, exit_code_of
from recipe_mtlvae.nets.prediction import Prediction
from recipe_mtlvae.report.runs import read_run
from tests.tiny import make_tiny_corpus


def split(name: str, labels: str, role: str, task: str | None = None) -> dict[str, str | None]:
    return {"metadata": f"{name}.tsv", "audio": name, "labels": labels, "role": role, "task": task}


LEFT_OUT = ("synthetic_train", "strong_real", "weak", "unlabeled", "synthetic_validation", "validation", "public")
MADE = {
    "data": {
        "name": "made",
        "classes": ["Beep", "Hum"],
        "clip_seconds": 2.0,
        "weak_held_out": 0.25,
        "splits": dict.fromkeys(LEFT_OUT)
        | {
            "kitchen": split("kitchen", "strong", "test"),
            "garden": split("garden", "strong", "test"),
            "studio": split("studio", "strong", "train", "strong_real"),
            "field": split("field", "strong", "train", "strong_real"),
            "tagged": split("tagged", "weak", "train", "weak"),
            "choice": split("choice", "strong", "select"),
            "tagged_choice": split("tagged_choice", "weak", "select"),
        },
    },
    "tasks": ["strong_real", "weak"],
    "vae": {"hidden": 16, "latent": 8},
    "train": {"max_epochs": 1, "epoch_steps": 2, "batch_size": 4, "accelerator": "cpu", "devices": 1},
}
CLIPS = {"kitchen": 3, "garden": 2, "studio": 4, "field": 3, "tagged": 8, "choice": 3, "tagged_choice": 2}


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The YAML file, with the data beside it."""
    folder = tmp_path_factory.mktemp("made")
    file = folder / "made.yaml"
    file.write_text(yaml.safe_dump(MADE, sort_keys=False))
    make_tiny_corpus(folder, load_conf(file), stores=False, counts=CLIPS)
    return file


@pytest.fixture(scope="module")
def run(made: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of the run after stages 0 to 4."""
    exp = tmp_path_factory.mktemp("exp")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(local.stage, "PROJECT", exp)
        options = ["--data", str(made), "--data_root", str(made.parent), "--exp_dir", str(exp), "--tag", "t"]
        for stage in (prepare, train, predict, score, compare):
            patch.setattr(sys, "argv", [stage.__name__, *options])
            assert exit_code_of(stage.main) == 0
    return exp / "t"


@pytest.fixture(scope="module")
def data(made: Path, run: Path) -> Data:
    return Data(Corpus(load_conf(made), made.parent))


def test_test_and_select_splits_are_predicted_and_the_strong_ones_scored(run: Path) -> None:
    predicted = {folder.name for folder in (run / "scores").iterdir()}
    assert predicted == {"kitchen", "garden", "evaluation", "choice", "tagged_choice"}
    scored = {file.name: json.loads(file.read_text())["split"] for file in run.glob("metrics*.json")}
    assert scored == {
        "metrics.json": "kitchen",
        "metrics_garden.json": "garden",
        "metrics_choice.json": "choice",
    }


def test_the_page_lists_test_splits_first_and_marks_the_select_split(run: Path) -> None:
    page = (run / "report.html").read_text()
    titles = ["Kitchen, 3 clips", "Garden, 2 clips", "Choice (selection), 3 clips"]
    places = [page.index(f">{title}<") for title in titles]
    assert places == sorted(places)
    assert "Selection: the epoch and the thresholds were chosen on these clips" in page
    assert "Energy, dev-test (kitchen)" in page and "Energy, evaluation" in page
    assert list(read_run(run).metrics) == ["kitchen", "garden", "choice"]


def test_train_splits_of_one_task_are_joined_in_the_order_of_the_yaml(data: Data) -> None:
    assert [part.split.name for part in data.plan.sets["strong_real"].parts] == ["studio", "field"]
    assert len(data.plan.sets["strong_real"]) == 7
    assert len(data.plan.sets["weak"]) == 6  # 2 of 8 are held out


def test_epochs_are_selected_on_all_select_splits_and_the_held_out_weak_clips(data: Data) -> None:
    assert [part.split.name for part in data.strong_selection] == ["choice"]
    assert [(part.split.name, len(part)) for part in data.weak_selection.parts] == [("tagged", 2), ("tagged_choice", 2)]


def test_the_selection_score_is_the_mean_of_the_strong_splits_and_the_weak_f1(data: Data) -> None:
    """One of two strong splits is answered correctly and one with silence: 0.5. Half of the weak clips are found."""
    right, silent = data.strong_selection[0], data.strong_selection[0]
    selection = Selection([right, silent], data.weak_selection, load_conf().postprocess)
    logged: dict[str, float] = {}

    class Module:
        networks = ("net",)

        def log_dict(self, figures: dict[str, float], **_: object) -> None:
            logged.update(figures)

        def log(self, name: str, value: float, **_: object) -> None:
            logged[name] = value

    strong = torch.from_numpy(np.stack([right.targets(i)[0] for i in range(3)]))
    weak = torch.from_numpy(np.stack([data.weak_selection.targets(i)[1] for i in range(4)]))
    weak[2:] = 0.0  # tagged_choice has one clip of each class, and nothing is found in it
    answers = [(strong, weak[:3]), (0 * strong, weak[:3]), (strong[:1], weak)]
    selection.on_validation_epoch_start(None, Module())
    for number, (frames, tags) in enumerate(answers):
        selection.on_validation_batch_end(None, Module(), {"net": Prediction(frames, tags)}, None, 0, number)
    selection.on_validation_epoch_end(None, Module())
    held = [
        label
        for part in data.weak_selection.parts[:1]
        for i in range(2)
        for label in np.flatnonzero(part.targets(i)[1])
    ]
    f1 = [2 * held.count(label) / (2 * held.count(label) + 1) for label in (0, 1)]  # one clip of each class is missed
    assert logged["val/intersection_f1"] == pytest.approx(0.5)
    assert logged["val/weak_f1"] == pytest.approx(np.mean(f1))
    assert logged["val/selection"] == pytest.approx(0.5 + np.mean(f1))


def checked(made: Path, root: Path) -> CorpusCheck:
    corpus = Corpus(load_conf(made), root)
    return check_corpus(corpus, *corpus.all_files())


@pytest.mark.parametrize(("test", "leaks"), [("garden", 1), ("choice", 0), ("field", 0)])
def test_training_audio_is_a_leak_in_test_splits_only(made: Path, tmp_path: Path, test: str, leaks: int) -> None:
    root = shutil.copytree(made.parent, tmp_path / "made")
    shutil.copyfile(root / "studio" / "studio_0.wav", root / test / f"{test}_0.wav")
    check = checked(made, root)
    assert len(problems.errors(check)) == leaks
    what = (
        "THE SAME AUDIO IN TRAINING AND TEST: 1 clips of 'studio' are in 'garden'" if leaks else "have the same audio"
    )
    told = problems.errors(check) if leaks else problems.warnings(check)
    assert any(what in str(one) for one in told)


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ("{metadata: m, audio: a, labels: strong}", r"hall\.role': expected one of train, select, test, got None"),
        ("{metadata: m, audio: a, labels: weak, role: train}", r"hall\.task': expected one of strong_synth, weak,"),
        (
            "{metadata: m, audio: a, labels: weak, role: train, task: strong_real}",
            r"hall\.labels': expected strong, which task strong_real learns from, got weak",
        ),
    ],
)
def test_a_split_of_an_unknown_name_needs_a_role_a_task_and_its_labels(given: str, words: str) -> None:
    with pytest.raises(RecipeError, match=words):
        load_conf(settings=[f"data.splits.hall={given}"])


@pytest.mark.parametrize("name", ["evaluation", "training", "a/b", ".."])
def test_the_name_of_a_split_must_be_fit_for_a_file(name: str) -> None:
    with pytest.raises(RecipeError, match=r"expected a name of .*letters"):
        load_conf(settings=[f"data={{splits: {{{name}: {{metadata: m, audio: a, labels: strong, role: test}}}}}}"])
