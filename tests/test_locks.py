"""Locks: who holds the folder of a run, who is refused, and that no lock outlives its process."""

from __future__ import annotations

import errno
import fcntl
import os
import platform
import re
import signal
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from local.stage import Stage
from recipe_mtlvae.errors import RecipeError
from recipe_mtlvae.locks import locked
from recipe_mtlvae.shards import Shard
from tests.children import LIMIT, child, python
from tests.tiny import tiny_conf

HOLD = "import sys, time\nfrom pathlib import Path\nfrom recipe_mtlvae.locks import locked\n"
HOLD += f"with locked(Path(sys.argv[1])):\n    print('held', flush=True)\n    time.sleep({LIMIT})"


@pytest.fixture
def stage(tmp_path) -> Stage:
    return Stage(1, tiny_conf(), tmp_path / "corpus", tmp_path / "run")


def refuse(holder: str) -> None:
    raise BlockingIOError(holder)


def test_a_second_run_in_a_folder_is_refused_in_one_line_that_names_the_first(stage):
    first = rf"process {os.getpid()} on {re.escape(platform.node())} since \d{{4}}-\d\d-\d\d \d\d:\d\d:\d\d"
    line = rf"^{re.escape(str(stage.run_dir))}: another run is at work here: {first}; wait for its end, or give --tag"
    with stage.begun(), pytest.raises(RecipeError, match=line), stage.begun():
        pytest.fail("two at once")
    with stage.begun():
        assert (stage.run_dir / "conf.yaml").exists()


def test_shares_of_a_stage_hold_a_folder_together_and_any_other_run_is_refused(stage):
    one, two = (replace(stage, shard=Shard(index, 2)) for index in (0, 1))
    with one.begun(), two.begun(), pytest.raises(RecipeError, match="another run is at work"), stage.begun():
        pytest.fail("a whole run among shares")


def test_processes_that_train_together_are_one_run(stage, monkeypatch):
    with stage.begun():
        monkeypatch.setenv("LOCAL_RANK", "1")
        with stage.begun():
            pass


def test_a_lock_ends_with_its_process_even_if_it_is_killed(tmp_path):
    path = tmp_path / ".lock"
    with child(sys.executable, "-c", HOLD, path, env=python()) as process:
        assert process.stdout.readline() == "held\n"
        with pytest.raises(BlockingIOError, match=f"process {process.pid} on "), locked(path, refuse):
            pytest.fail("two at once")
        process.send_signal(signal.SIGKILL)
        process.wait(LIMIT)
        with locked(path, refuse):
            pass


def test_on_a_file_system_without_locks_the_run_goes_on(tmp_path, monkeypatch):
    def flock(*_) -> None:
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(fcntl, "flock", flock)
    with locked(Path(tmp_path / ".lock"), refuse), locked(tmp_path, refuse):
        pass


def test_opening_a_stage_writes_nothing(tmp_path):
    from local.stage import open_stage

    stage = open_stage(1, "", ["--data_root", str(tmp_path), "--exp_dir", str(tmp_path / "exp")])
    assert not stage.run_dir.exists()
