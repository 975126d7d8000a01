"""A real torchrun: two processes extract, train and predict, and write what one does. `pytest -m slow_archive`."""

from __future__ import annotations

import csv
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.children import child, python
from tests.tiny import SETTINGS, make_tiny_corpus, tiny_conf

pytestmark = [pytest.mark.slow_archive, pytest.mark.timeout(400)]
TOGETHER = [sys.executable, "-m", "torch.distributed.run", "--nproc_per_node", "2", "--standalone"]
TWO = ["--set=train.devices=2", "--set=train.strategy=ddp"]


@pytest.fixture
def stage(tmp_path: Path) -> Callable[..., None]:
    """Run a stage on the tiny corpus, without its stores, in one process or two."""
    root = make_tiny_corpus(tmp_path / "corpus", tiny_conf(), stores=False)

    def run(name: str, *more: str, tag: str, together: bool = False) -> None:
        start = TOGETHER if together else [sys.executable]
        options = [f"--data_root={root}", f"--exp_dir={tmp_path / 'exp'}", f"--tag={tag}"]
        words = [*start, "-m", f"local.{name}", *options, *(f"--set={text}" for text in SETTINGS), *more]
        with child(*words, env=python(), stderr=subprocess.STDOUT, cwd=tmp_path) as process:
            said = process.communicate(timeout=200)[0]
        assert process.returncode == 0, said

    return run


def test_two_processes_of_torchrun_extract_train_and_predict(stage, tmp_path):
    stage("prepare", tag="two", together=True)
    stores = {path.relative_to(tmp_path): path.read_bytes() for path in (tmp_path / "corpus").rglob("*.npy")}
    assert stores
    stage("train", *TWO, tag="two", together=True)
    run = tmp_path / "exp" / "two"
    assert json.loads((run / "training.json").read_text())["processes"] == 2
    assert len(list(csv.DictReader((run / "history.csv").open()))) == 2
    assert "nodes" not in json.loads((run / "energy.json").read_text())["training"]  # one machine, measured once
    stage("predict", *TWO, tag="two", together=True)
    together = {path.name: path.read_bytes() for path in (run / "scores" / "validation").glob("*.tsv")}
    assert len(together) == 4
    (run / "scores").rename(run / "earlier")
    stage("predict", *TWO, tag="two")
    assert together == {path.name: path.read_bytes() for path in (run / "scores" / "validation").glob("*.tsv")}
