"""What a training leaves after every epoch, and how it goes on from there: best.ckpt, last.ckpt, history.csv.

best.ckpt holds the weights of the epoch with the best selection score; checkpoints/last.ckpt all that training goes on
from, the rows of history.csv among it; checkpoints/previous.ckpt is last.ckpt of the epoch before.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
from lightning_fabric.plugins.io import TorchCheckpointIO
from pytorch_lightning.callbacks import Checkpoint

from local.training.history import History, Row, best_epoch, history_text, read_history
from recipe_mtlvae.errors import RecipeError, fail, warn
from recipe_mtlvae.files import read_text, write_text
from recipe_mtlvae.machine import is_rank_zero
from recipe_mtlvae.nets.checkpoint import load_checkpoint, read_content, write_content

BEST, LAST, PREVIOUS = "best.ckpt", "checkpoints/last.ckpt", "checkpoints/previous.ckpt"
# What best.ckpt lacks: what training alone goes on from, with a moving average the weights that are averaged too
TRAINING_ONLY = ("callbacks", "optimizer_states", "lr_schedulers", "current_model_state", "averaging_state")


@dataclass(frozen=True)
class Trained:
    """How far a run's training has come."""

    checkpoint: Path | None  # to go on from; None: from the start
    epochs: int
    rows: list[Row]  # of history.csv, one each epoch


def trained(run_dir: Path) -> Trained:
    """What is there to go on from. A damaged last.ckpt is told in a line, and the one before it is taken.

    Raises RecipeError where both are damaged.
    """
    for file in found(run_dir):
        try:
            content = read_content(file)
            epochs = int(content["epoch"]) + 1
            kept = content["callbacks"].get("History", {}).get("rows")
        except (RecipeError, KeyError, TypeError, ValueError, AttributeError):
            say(f"{file}: damaged, or not a checkpoint to go on from; taking the one before it")
            continue
        # checkpoints of earlier versions have no rows
        return Trained(file, epochs, read_history(run_dir / "history.csv")[:epochs] if kept is None else kept)
    if found(run_dir):
        what = "no checkpoint to go on from: last.ckpt is damaged, and there is none before it that is not"
        raise fail(what, "train again under another --tag", run_dir / "checkpoints")
    return Trained(None, 0, [])


def found(run_dir: Path) -> list[Path]:
    """The checkpoints that training can go on from, the newest first."""
    return [run_dir / name for name in (LAST, PREVIOUS) if (run_dir / name).exists()]


def restore(run_dir: Path, so_far: Trained) -> None:
    """Write history.csv and best.ckpt again where they are damaged or lost, and say so.

    Raises RecipeError where no checkpoint has the best epoch's weights any more.
    """
    if not so_far.rows:
        return
    history, best = run_dir / "history.csv", run_dir / BEST
    if not _is_history(history, so_far.rows):
        write_text(history, history_text(so_far.rows), newline="")
        say(f"{history}: was damaged or lost; written again from {so_far.checkpoint.name}")
    if _is_checkpoint(best):
        return
    epoch = best_epoch(so_far.rows)
    for file in found(run_dir):
        try:
            content = read_content(file)
        except RecipeError:
            continue
        if content.get("epoch") == epoch:
            write_content(_for_detection(content), best)
            say(f"{best}: was damaged or lost; written again from {file.name}")
            return
    what = f"damaged or lost, and with it the weights of epoch {epoch + 1}, the best one"
    raise fail(what, f"copy {LAST} there to have epoch {so_far.epochs}'s, or train under another --tag", best)


def is_whole(run_dir: Path, so_far: Trained) -> bool:
    """Whether best.ckpt and history.csv are there and whole."""
    return _is_checkpoint(run_dir / BEST) and _is_history(run_dir / "history.csv", so_far.rows)


def _is_checkpoint(file: Path) -> bool:
    try:
        return load_checkpoint(file) is not None
    except RecipeError:
        return False


def _is_history(file: Path, rows: Sequence[Row]) -> bool:
    """Whether a history.csv has these rows; one more is of an epoch that was killed before its checkpoint."""
    try:
        text = "".join(line + "\r\n" for line in read_text(file).splitlines())
    except (OSError, ValueError):
        return False
    return bool(text) and (not rows or text.startswith(history_text(rows)))


def _for_detection(content: dict[str, Any]) -> dict[str, Any]:
    """A checkpoint without what training alone reads."""
    return {name: value for name, value in content.items() if name not in TRAINING_ONLY}


def say(text: str) -> None:
    """A warning, once of several processes."""
    if is_rank_zero():
        warn(text)


class Checkpoints(Checkpoint):
    """Writes them after each epoch: best.ckpt where its selection score is the best of the run so far."""

    def __init__(self, run_dir: Path, history: History) -> None:
        self.run_dir, self.history = run_dir, history

    def on_train_epoch_end(self, trainer: pl.Trainer, module: pl.LightningModule) -> None:
        if best_epoch(self.history.rows) == trainer.current_epoch:
            trainer.save_checkpoint(self.run_dir / BEST)  # whole: Lightning leaves callbacks' averages out of others
        trainer.save_checkpoint(self.run_dir / LAST)


class WholeFiles(TorchCheckpointIO):
    """Writes checkpoints whole or not at all, on the disk where they shall be."""

    def save_checkpoint(self, checkpoint: dict[str, Any], path: Path | str, storage_options: Any = None) -> None:
        if str(path).endswith(BEST):
            checkpoint = _for_detection(checkpoint)
        previous = Path(path).with_name(Path(PREVIOUS).name) if str(path).endswith(LAST) else None
        write_content(checkpoint, Path(path), previous)
