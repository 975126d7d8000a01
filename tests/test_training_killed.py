"""kill -9 at any moment of training, on two file systems, and two runs at once: the result equals an unbroken run's."""

from __future__ import annotations

import random
import shutil
import signal
import sys
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from subprocess import Popen

import pytest
import torch

from local.training.history import read_history
from local.training.run_state import BEST, LAST
from recipe_mtlvae.nets.checkpoint import load_checkpoint
from tests.children import LIMIT, child, python
from tests.tiny import SETTINGS, make_tiny_corpus, tiny_conf

pytestmark = pytest.mark.slow
KILLS = 3
MEMORY = Path("/dev/shm")  # if it exists, another file system than that of temporary files


@pytest.fixture(scope="module")
def root(tmp_path_factory) -> Path:
    return make_tiny_corpus(tmp_path_factory.mktemp("corpus"), tiny_conf())


@pytest.fixture(scope="module")
def unbroken(root, tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("unbroken")
    with training(root, folder) as process:
        assert process.wait(LIMIT) == 0
    return folder / "t"


@pytest.fixture(params=["same", "other"])
def folder(request, tmp_path) -> Iterator[Path]:
    """The folder of the runs, on the file system of temporary files or on another one."""
    if request.param == "same":
        yield tmp_path
        return
    if not MEMORY.is_dir():
        pytest.skip(f"no {MEMORY}")
    folder = MEMORY / tmp_path.name
    yield folder
    shutil.rmtree(folder)


def training(root: Path, folder: Path) -> AbstractContextManager[Popen[str]]:
    settings = [f"--set={setting}" for setting in (*SETTINGS, "train.max_epochs=6")]
    options = ("--data", "desed", "--data_root", root, "--exp_dir", folder, "--tag", "t", *settings)
    return child(sys.executable, "-m", "local.train", *options, env=python())


def assert_equal(run: Path, other: Path) -> None:
    histories = [read_history(folder / "history.csv") for folder in (run, other)]
    assert [{**row, "seconds": 0.0} for row in histories[0]] == [{**row, "seconds": 0.0} for row in histories[1]]
    for name in (BEST, LAST):
        ours, theirs = (load_checkpoint(folder / name) for folder in (run, other))
        assert (ours.epoch, ours.decoding) == (theirs.epoch, theirs.decoding)
        ours, theirs = ours.net.state_dict(), theirs.net.state_dict()
        assert ours.keys() == theirs.keys() and all(torch.equal(value, theirs[key]) for key, value in ours.items())


def test_training_killed_at_random_moments_ends_like_an_unbroken_run(root, unbroken, folder):
    chance = random.Random(1)
    for _ in range(KILLS):
        with training(root, folder) as process:
            while (line := process.stdout.readline()) and not line.startswith("epoch"):
                pass
            time.sleep(chance.uniform(0, 0.5))
            process.send_signal(signal.SIGKILL)
    with training(root, folder) as process:
        _, said = process.communicate(timeout=LIMIT)
    assert process.returncode == 0 and "Traceback" not in said
    assert_equal(folder / "t", unbroken)


def test_of_two_runs_at_once_one_is_refused_in_one_line_and_the_other_completes(root, unbroken, folder):
    with training(root, folder) as one, training(root, folder) as two:
        ends = [process.communicate(timeout=LIMIT) for process in (one, two)]
    assert sorted([one.returncode, two.returncode]) == [0, 1]
    (line,) = [said for (_, said), process in zip(ends, (one, two), strict=True) if process.returncode]
    assert line.startswith(f"error: {folder / 't'}: another run is at work here: process ") and line.count("\n") == 1
    assert_equal(folder / "t", unbroken)
