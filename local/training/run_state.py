"""The files of a training run: what is written after each epoch, and how training resumes from it.

checkpoints/last.ckpt holds all that is needed to resume, including the state of the run; checkpoints/previous.ckpt is
the last.ckpt of the epoch before. best.ckpt, the weights of the epoch with the best selection score, and history.csv
are derived from these.
"""

from __future__ import annotations

import time
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
from lightning_fabric.plugins.io import TorchCheckpointIO
from pytorch_lightning.callbacks import Checkpoint

from local.training.history import SELECTION, EpochRow, best_epoch, has_levelled_off, history_text, read_history
from local.training.schedule import Plan
from recipe_mtlvae.errors import RecipeError, fail, warn
from recipe_mtlvae.files import read_json, read_text, write_text
from recipe_mtlvae.machine import is_rank_zero
from recipe_mtlvae.nets.checkpoint import load_checkpoint, read_content, write_content

BEST, LAST, PREVIOUS, HISTORY = "best.ckpt", "checkpoints/last.ckpt", "checkpoints/previous.ckpt", "history.csv"
# Left out of best.ckpt: what is needed only to resume; with a moving average, also the weights that it averages
TRAINING_ONLY = ("callbacks", "optimizer_states", "lr_schedulers", "current_model_state", "averaging_state")
KEY = "History"  # of the run's state, among the states of callbacks in a checkpoint
BEGUN = ("plan", "data")  # parts of the state that earlier versions kept in stages/training_<part>.json


@dataclass
class RunState:
    """How far a training has come, and what it began with; None where the checkpoint of an earlier version lacks it."""

    checkpoint: Path | None = None  # to resume from; None: train from the start
    epochs: int = 0
    rows: list[EpochRow] = field(default_factory=list)  # of history.csv, one an epoch
    plan: Plan | None = None
    clips: str | None = None  # hash of the clips and labels


def read_state(run_dir: Path) -> RunState:
    """Return the state to resume from. A damaged last.ckpt is reported, and previous.ckpt is used instead.

    Raises RecipeError if both are damaged.
    """
    for file in _found(run_dir):
        try:
            content = read_content(file)
            epochs, kept = int(content["epoch"]) + 1, content["callbacks"].get(KEY, {})
            plan, clips = (kept.get(name) or read_json(run_dir / "stages" / f"training_{name}.json") for name in BEGUN)
            plan = Plan(**plan) if plan else None
        except (RecipeError, KeyError, TypeError, ValueError, AttributeError):
            _say(f"{file}: damaged, or not a checkpoint to resume from; using the one before it")
            continue
        rows = kept.get("rows") or read_history(run_dir / HISTORY)[:epochs]
        return RunState(file, epochs, rows, plan, clips)
    if _found(run_dir):
        what = "no checkpoint to resume from: last.ckpt is damaged, and previous.ckpt is damaged or missing"
        raise fail(what, "train again under another --tag", run_dir / "checkpoints")
    return RunState()


def restore(run_dir: Path, state: RunState) -> None:
    """Write history.csv and best.ckpt again if they are damaged or lost, and warn about it.

    A best.ckpt of another epoch than the best one is replaced, too: a process may have been killed before it wrote it.
    Raises RecipeError if no checkpoint has the weights of the best epoch any more.
    """
    if not state.rows:
        return
    history, best = run_dir / HISTORY, run_dir / BEST
    if not _has_rows(history, state.rows):
        write_text(history, history_text(state.rows), newline="")
        _say(f"{history}: was damaged or lost; written again from {state.checkpoint.name}")
    found, epoch = _epoch_of(best), best_epoch(state.rows)
    if found == epoch:
        return
    for file in _found(run_dir):
        try:
            content = read_content(file)
        except RecipeError:
            continue
        if content.get("epoch") == epoch:
            write_content(_for_detection(content), best)
            why = "damaged or lost" if found is None else "of another epoch"
            _say(f"{best}: was {why}; written again from {file.name}")
            return
    if found is not None:
        return
    what = f"damaged or lost, and with it the weights of epoch {epoch + 1}, the best one"
    raise fail(what, f"copy {LAST} there to use epoch {state.epochs}'s, or train under another --tag", best)


def is_whole(run_dir: Path, state: RunState) -> bool:
    """Whether best.ckpt and history.csv are there and whole."""
    return _epoch_of(run_dir / BEST) is not None and _has_rows(run_dir / HISTORY, state.rows)


def _found(run_dir: Path) -> list[Path]:
    """Return the checkpoints that training can resume from, the newest first."""
    return [run_dir / name for name in (LAST, PREVIOUS) if (run_dir / name).exists()]


def _epoch_of(file: Path) -> int | None:
    """Return the epoch of a checkpoint, counted from 0; None if it is damaged or lost."""
    try:
        return load_checkpoint(file).epoch
    except RecipeError:
        return None


def _has_rows(file: Path, rows: list[EpochRow]) -> bool:
    """Whether history.csv begins with these rows; a further one is of an epoch killed before its checkpoint."""
    try:
        text = "".join(line + "\r\n" for line in read_text(file).splitlines())
    except (OSError, ValueError):
        return False
    return bool(text) and (not rows or text.startswith(history_text(rows)))


def _for_detection(content: dict[str, Any]) -> dict[str, Any]:
    """Return a checkpoint without what training alone reads."""
    return {name: value for name, value in content.items() if name not in TRAINING_ONLY}


def _say(text: str) -> None:
    """Print a warning, from the first process only."""
    if is_rank_zero():
        warn(text)


class RunFiles(Checkpoint):
    """Write the history and the checkpoints after each epoch, and stop once training has levelled off.

    Lightning calls this callback last. batch_size: clips per step, over all processes. show: print one line per epoch,
    if there is no progress bar.
    """

    def __init__(self, run_dir: Path, state: RunState, batch_size: int, patience: int | None, show: bool) -> None:
        self.run_dir, self.state, self.batch_size, self.patience, self.show = run_dir, state, batch_size, patience, show

    @property
    def state_key(self) -> str:
        return KEY

    def state_dict(self) -> dict[str, Any]:
        return {"rows": self.state.rows, "plan": asdict(self.state.plan), "data": self.state.clips}

    def on_train_epoch_start(self, trainer: pl.Trainer, module: pl.LightningModule) -> None:
        self.started = time.perf_counter()

    def on_train_epoch_end(self, trainer: pl.Trainer, module: pl.LightningModule) -> None:
        rows, seconds = self.state.rows, time.perf_counter() - self.started
        clips = trainer.num_training_batches * self.batch_size
        row = {"epoch": trainer.current_epoch, "step": trainer.global_step, "clips": clips, "seconds": seconds}
        row |= {name: float(value) for name, value in sorted(trainer.callback_metrics.items()) if "/" in name}
        rows.append(row)
        if self.patience is not None and has_levelled_off(rows, self.patience, module.warm_up_steps):
            trainer.should_stop = True
        if trainer.is_global_zero:
            if self.show:
                text = f"epoch {row['epoch'] + 1}/{trainer.max_epochs}  {seconds:.1f} s  loss {row['loss/total']:.3f}"
                print(text + f"  selection {row.get(SELECTION, float('nan')):.3f}", flush=True)
            write_text(self.run_dir / HISTORY, history_text(rows), newline="")
        trainer.save_checkpoint(self.run_dir / LAST)


class WholeFiles(TorchCheckpointIO):
    """Write last.ckpt and, if this epoch is the best one, best.ckpt: each whole or not at all.

    best.ckpt comes last, since `restore` can make it from last.ckpt. If it came first, a kill would leave weights of an
    epoch that is trained again, and may then not be the best one.
    """

    def save_checkpoint(self, checkpoint: dict[str, Any], path: Path | str, storage_options: Any = None) -> None:
        run_dir = Path(path).parent.parent
        write_content(checkpoint, Path(path), run_dir / PREVIOUS)
        if best_epoch(checkpoint["callbacks"][KEY]["rows"]) == checkpoint["epoch"]:
            write_content(_for_detection(checkpoint), run_dir / BEST)
