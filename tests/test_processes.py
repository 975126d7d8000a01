"""Training in two processes (DDP, gloo) learns the same as one process with the same global batches."""

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

from local.stage import PROJECT
from local.training.history import read_history
from tests.tiny import make_tiny_corpus, tiny_conf

pytestmark = pytest.mark.slow

STEPS = 50
# An epoch is one step, so that history.csv holds the loss of each step. Without variational=false, each process would
# add noise of its own.
SETTINGS = ["train.epoch_steps=1", "train.threads=1", "vae.variational=false"]
ONE, TWO = ["train.devices=1"], ["train.devices=2", "train.strategy=ddp"]
SCRIPT = """
import os, sys
from pathlib import Path
from local.stage import Stage
from local.train import train
from recipe_mtlvae.scoring import energy_tracker
from tests.tiny import tiny_conf

def start(conf, save):
    with (Path(sys.argv[2]) / "trackers").open("a") as file:
        file.write(f"{os.getpid()}\\n")
    return start_tracker(conf, save)

start_tracker, energy_tracker.start = energy_tracker.start, start
Path(sys.argv[2]).mkdir(exist_ok=True)
train(Stage(1, tiny_conf(*sys.argv[3:]), Path(sys.argv[1]), Path(sys.argv[2])))
"""


@dataclass(frozen=True)
class Trained:
    history: list[dict[str, float]]  # one row per step
    energy: dict  # of the training
    trackers: int  # number of energy trackers that were started


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("processes")
    make_tiny_corpus(folder / "corpus", tiny_conf())
    (folder / "run.py").write_text(SCRIPT)
    return folder


def trained(folder: Path, name: str, *settings: str) -> Trained:
    command = [sys.executable, str(folder / "run.py"), str(folder / "corpus"), str(folder / name)]
    environment = {"PATH": os.environ["PATH"], "PYTHONPATH": str(PROJECT), "OMP_NUM_THREADS": "1"}
    subprocess.run([*command, *SETTINGS, *settings], check=True, env=environment, timeout=300)
    energy = json.loads((folder / name / "energy.json").read_text())["training"]
    trackers = len((folder / name / "trackers").read_text().splitlines())
    return Trained(read_history(folder / name / "history.csv"), energy, trackers)


@pytest.fixture(scope="module")
def one(folder) -> Trained:
    return trained(folder, "one", f"train.max_epochs={STEPS}", *ONE)


@pytest.fixture(scope="module")
def two(folder) -> Trained:
    return trained(folder, "two", f"train.max_epochs={STEPS}", *TWO)


def test_the_loss_curves_are_the_same(one, two):
    for name in ("loss/total", "loss/strong_synth", "loss/weak", "loss/reconstruction"):
        curves = [[row[name] for row in run.history] for run in (one, two)]
        assert len(curves[0]) == len(curves[1]) == STEPS
        assert curves[1] == pytest.approx(curves[0], rel=1e-4)
    assert one.history[-1]["loss/total"] < 0.98 * one.history[0]["loss/total"]  # they learn


def test_the_selection_score_gathered_from_both_processes_is_the_same(one, two):
    """Each process scores every second clip; a clip in the place of another would change the score."""
    scores = [[row["val/selection"] for row in run.history] for run in (one, two)]
    assert scores[1] == pytest.approx(scores[0], abs=1e-6)
    assert max(scores[0]) > 0.1


def test_training_in_two_processes_resumes_where_it_stopped(folder, two):
    first = trained(folder, "resumed", "train.max_epochs=3", *TWO)
    both = trained(folder, "resumed", "train.max_epochs=6", *TWO)
    assert len(both.history) == 6
    assert [row["loss/total"] for row in both.history] == [row["loss/total"] for row in two.history[:6]]
    assert (first.trackers, both.trackers) == (1, 2)
    assert first.energy["seconds"] < both.energy["seconds"]


def test_energy_is_counted_once(one, two):
    """A tracker measures the whole machine: one in each process would count the energy twice."""
    assert (one.trackers, two.trackers) == (1, 1)
