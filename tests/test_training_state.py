"""What a training writes and resumes from: damaged, lost and moved files, a full disk, values that are not finite."""

from __future__ import annotations

import errno
import json
import os
import shutil
from pathlib import Path

import pytest
import torch

from local.stage import Stage
from local.train import train
from local.training import run_state
from local.training.history import best_epoch, has_levelled_off, read_history
from local.training.mtlvae import MTLVAETraining
from local.training.run_state import BEST, HISTORY, LAST, PREVIOUS, RunState, is_whole, read_state
from local.training.schedule import Plan
from local.training.selection import Selection
from recipe_mtlvae.errors import RecipeError, exit_code_of
from recipe_mtlvae.files import write_json
from recipe_mtlvae.nets.checkpoint import load_checkpoint, write_content
from tests.tiny import tiny_conf

FOUR = "train.max_epochs=4"


@pytest.fixture(scope="module")
def root(stored) -> Path:
    return stored


def run_of(run_dir: Path, root: Path, *settings: str) -> Path:
    train(Stage(1, tiny_conf(*settings), root, run_dir))
    return run_dir


@pytest.fixture(scope="module")
def two(tmp_path_factory, root) -> Path:
    """A run of two epochs; not to be changed."""
    return run_of(tmp_path_factory.mktemp("two") / "run", root)


@pytest.fixture(scope="module")
def four(tmp_path_factory, root) -> Path:
    """A run of four epochs at once; not to be changed."""
    return run_of(tmp_path_factory.mktemp("four") / "run", root, FOUR)


@pytest.fixture
def run(two, tmp_path) -> Path:
    return shutil.copytree(two, tmp_path / "run")


def figures(run_dir: Path) -> list[dict[str, float]]:
    return [{**row, "seconds": 0.0} for row in read_history(run_dir / HISTORY)]


def weights(file: Path) -> bytes:
    return b"".join(value.numpy().tobytes() for value in load_checkpoint(file).net.state_dict().values())


def assert_equal(run_dir: Path, other: Path) -> None:
    assert figures(run_dir) == figures(other)
    for name in (BEST, LAST, PREVIOUS):
        assert weights(run_dir / name) == weights(other / name)


def damage(file: Path, how: str) -> None:
    content = bytearray(file.read_bytes())
    middle = len(content) // 2
    content[middle : middle + 64] = {"zeros": bytes(64), "half": b"", "empty": b"", "text": b"\xff" * 64}[how]
    file.write_bytes({"half": content[:middle], "empty": b""}.get(how, content))


DAMAGES = ("zeros", "half", "empty", "text")


@pytest.mark.parametrize("how", DAMAGES)
def test_a_damaged_last_checkpoint_is_reported_and_the_previous_one_leads_to_the_same_end(run, root, four, how, capsys):
    damage(run / LAST, how)
    run_of(run, root, FOUR)
    (line,) = [line for line in capsys.readouterr().err.splitlines() if LAST in line]
    assert line.startswith(f"warning: {run / LAST}: damaged")
    assert_equal(run, four)


def test_without_the_last_checkpoint_the_previous_one_leads_to_the_same_end(run, root, four):
    (run / LAST).unlink()
    run_of(run, root, FOUR)
    assert_equal(run, four)


def test_without_a_readable_checkpoint_training_is_refused_and_nothing_is_changed(run, root):
    damage(run / LAST, "half")
    damage(run / PREVIOUS, "empty")
    before = {path: path.read_bytes() for path in run.rglob("*") if path.is_file()}
    with pytest.raises(RecipeError, match=r"no checkpoint to resume from: last\.ckpt is damaged"):
        run_of(run, root, FOUR)
    assert {path: path.read_bytes() for path in run.rglob("*") if path.is_file()} == before


def shorten(file: Path) -> None:
    """Remove the last digits of the last figure; the file can still be read."""
    file.write_bytes(file.read_bytes().rstrip()[:-3] + b"\r\n")


@pytest.mark.parametrize("how", [*DAMAGES, "short", "lost"])
def test_a_damaged_or_lost_history_is_written_again_from_the_checkpoint(run, root, four, how, capsys):
    does = {"lost": Path.unlink, "short": shorten}.get(how, lambda file: damage(file, how))
    does(run / HISTORY)
    run_of(run, root, FOUR)
    assert "history.csv: was damaged or lost; written again from last.ckpt" in capsys.readouterr().err
    assert_equal(run, four)


def test_a_damaged_history_is_reported_in_one_line_when_it_is_read(run):
    damage(run / HISTORY, "text")
    with pytest.raises(RecipeError, match=r"history\.csv: damaged: expected one row of numbers per epoch; run stage 1"):
        read_history(run / HISTORY)


@pytest.mark.parametrize("how", ["half", "lost"])
def test_a_lost_best_checkpoint_is_restored_from_another_one_of_its_epoch(run, root, how, capsys):
    before = weights(run / BEST)
    (run / BEST).unlink() if how == "lost" else damage(run / BEST, how)
    run_of(run, root)
    assert "best.ckpt: was damaged or lost; written again from" in capsys.readouterr().err
    assert weights(run / BEST) == before
    assert load_checkpoint(run / BEST).decoding is not None


def scored(monkeypatch, *scores: float) -> None:
    """Give the epochs that follow these selection scores."""
    left = iter(scores)
    monkeypatch.setattr(Selection, "_intersection_f1", lambda *_: next(left))
    monkeypatch.setattr("local.training.selection.macro_f1", lambda *_: 0.0)


@pytest.mark.parametrize("last", [BEST, LAST])
def test_a_run_killed_between_its_two_checkpoints_ends_with_the_weights_of_its_best_epoch(
    root, tmp_path, monkeypatch, last
):
    """After the kill, epoch 3 gets another score, as on other hardware."""

    def write(content, path, previous=None):
        write_content(content, path, previous)
        if content["epoch"] == 2 and path.name == Path(last).name:
            raise RuntimeError("killed")

    scored(monkeypatch, 0.5, 0.1, 0.9)
    with monkeypatch.context() as killed, pytest.raises(RuntimeError, match="killed"):
        killed.setattr(run_state, "write_content", write)
        run_of(tmp_path / "run", root, "train.max_epochs=3")
    scored(monkeypatch, 0.2)
    run = run_of(tmp_path / "run", root, "train.max_epochs=3")
    assert load_checkpoint(run / BEST).epoch == best_epoch(read_history(run / HISTORY))


def test_a_best_checkpoint_that_cannot_be_restored_is_refused_in_one_line(root, tmp_path, monkeypatch):
    scored(monkeypatch, 0.5, 0.1, 0.2)
    run = run_of(tmp_path / "run", root, "train.max_epochs=3")
    (run / BEST).unlink()
    with pytest.raises(RecipeError, match=r"best\.ckpt: damaged or lost, and with it the weights of epoch 1"):
        run_of(run, root, FOUR)


def test_a_run_that_was_moved_keeps_its_best_epoch(root, tmp_path, monkeypatch):
    scored(monkeypatch, 0.5, 0.25, 0.0, 0.5)
    run = run_of(tmp_path / "run", root)
    moved = tmp_path / "elsewhere" / "run"
    shutil.move(run, moved)
    run_of(moved, root, FOUR)
    assert load_checkpoint(moved / BEST).epoch == 0
    assert len(read_history(moved / HISTORY)) == 4


def test_a_stage_that_trains_nothing_changes_neither_energy_nor_checkpoint(run, root):
    before = (run / "energy.json").read_bytes(), (run / LAST).read_bytes()
    run_of(run, root, "postprocess.median_filter=5")
    assert ((run / "energy.json").read_bytes(), (run / LAST).read_bytes()) == before


def test_a_finished_stage_notices_that_its_history_is_damaged(run, root):
    state = read_state(run)
    assert is_whole(run, state)
    shorten(run / HISTORY)
    assert not is_whole(run, state)


def test_a_training_that_ended_by_its_patience_is_not_continued(root, tmp_path, monkeypatch):
    settings = ("train.patience=1", "train.max_epochs=9")
    scored(monkeypatch, 0.5, 0.1)
    run = run_of(tmp_path / "run", root, *settings)
    run_of(run, root, *settings, "postprocess.threshold=0.4")
    assert len(read_history(run / HISTORY)) == 2


def test_training_has_levelled_off_once_the_best_epoch_after_the_warm_up_is_long_ago():
    rows = [{"epoch": i, "step": 10 * (i + 1), "val/selection": s} for i, s in enumerate((0.9, 0.2, 0.4, 0.4, 0.3))]
    assert best_epoch(rows) == 0
    assert has_levelled_off(rows, 4, 0) and not has_levelled_off(rows, 5, 0)
    assert has_levelled_off(rows, 2, 10) and not has_levelled_off(rows, 3, 10)
    assert not has_levelled_off(rows, 1, 50)


def test_a_damaged_energy_file_is_kept_and_the_energy_is_unknown(run, root, capsys):
    (run / "energy.json").write_text('{"training": {"kwh": 0.5')
    run_of(run, root, "train.max_epochs=3")
    assert capsys.readouterr().err.count("energy.json: damaged") == 1
    energy = json.loads((run / "energy.json").read_text())["training"]
    assert energy["kwh"] is None and "damaged" in energy["reason"]
    assert (run / "energy.json.damaged").read_text() == '{"training": {"kwh": 0.5'


def test_a_full_disk_is_reported_with_the_checkpoint_and_the_previous_one_is_kept(run, root, monkeypatch, capsys):
    def fsync(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    before = weights(run / LAST)
    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", fsync)
        assert exit_code_of(lambda: run_of(run, root, FOUR)) == 1
    (line,) = [line for line in capsys.readouterr().err.splitlines() if line.startswith("error")]
    assert line in (f"error: {run / name}: No space left on device" for name in (BEST, LAST))
    assert weights(run / LAST) == before
    assert not [path for path in run.rglob(".*.ckpt.*")]


@pytest.mark.parametrize("batch", [0, 1])
def test_a_loss_that_is_not_finite_ends_training_and_the_last_good_checkpoint_is_kept(run, root, monkeypatch, batch):
    def step(self, batch_, index):
        loss = training_step(self, batch_, index)
        if self.current_epoch == 2 and index == batch:
            self.figures |= {"loss/weak": torch.tensor(float("inf")), "loss/total": torch.tensor(float("nan"))}
            return loss * float("nan")
        return loss

    training_step = MTLVAETraining.training_step
    monkeypatch.setattr(MTLVAETraining, "training_step", step)
    before = weights(run / LAST), weights(run / BEST)
    words = "^training diverged: weak not finite in step .* epoch 3; lower train.learning_rate"
    with pytest.raises(RecipeError, match=words):
        run_of(run, root, FOUR)
    assert (weights(run / LAST), weights(run / BEST)) == before
    assert len(read_history(run / HISTORY)) == 2


def test_a_checkpoint_older_than_the_run_state_resumes_with_the_rows_of_the_history(run, root, four):
    clips, content = read_state(run).clips, torch.load(run / LAST, weights_only=True)
    del content["callbacks"]["History"]
    torch.save(content, run / LAST)
    write_json(run / "stages" / "training_plan.json", {"epochs": 2, "epoch_steps": 9})
    write_json(run / "stages" / "training_data.json", clips)
    assert read_state(run) == RunState(run / LAST, 2, read_history(run / HISTORY), Plan(2, 9), clips)
    run_of(run, root, FOUR)
    assert figures(run) == figures(four)


def test_a_resumed_run_keeps_its_first_plan(run, root):
    run_of(run, root, FOUR)
    plan = read_state(run).plan
    assert plan == Plan(2, plan.epoch_steps)
