"""history.csv: a row an epoch, every logged figure by its name, and what is decided by them."""

from __future__ import annotations

import csv
import io
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytorch_lightning as pl

from recipe_mtlvae.errors import fail, warn
from recipe_mtlvae.files import read_text, write_text

SELECTION = "val/selection"
GROWN = 10.0  # times the first epoch's loss: it explodes

Row = dict[str, float]


class History(pl.Callback):
    """Adds a row an epoch to those of the run so far, in the file and in checkpoints."""

    def __init__(self, file: Path, rows: Sequence[Row], batch_size: int, show: bool) -> None:
        self.file = file
        self.rows = list(rows)
        self.batch_size = batch_size
        self.show = show  # one line an epoch on screen, where no progress bar is
        self.has_grown = False

    def state_dict(self) -> dict[str, Any]:
        return {"rows": self.rows}

    def on_train_epoch_start(self, trainer: pl.Trainer, module: pl.LightningModule) -> None:
        self.started = time.perf_counter()

    def on_train_epoch_end(self, trainer: pl.Trainer, module: pl.LightningModule) -> None:
        seconds = time.perf_counter() - self.started
        clips = trainer.num_training_batches * self.batch_size
        row = {"epoch": trainer.current_epoch, "step": trainer.global_step, "clips": clips, "seconds": seconds}
        row |= {name: float(value) for name, value in sorted(trainer.callback_metrics.items()) if "/" in name}
        self.rows.append(row)
        if not trainer.is_global_zero:
            return
        loss, first = row["loss/total"], self.rows[0]["loss/total"]
        if self.show:
            text = f"epoch {row['epoch'] + 1}/{trainer.max_epochs}  {seconds:.1f} s  loss {loss:.3f}"
            print(text + f"  selection {row.get(SELECTION, float('nan')):.3f}", flush=True)
        if loss > GROWN * first > 0 and not self.has_grown:
            self.has_grown = True
            hint = "lower train.learning_rate under another --tag"
            warn(f"the loss explodes: {loss:.3g} in epoch {row['epoch'] + 1}, {first:.3g} in the first one; {hint}")
        write_text(self.file, history_text(self.rows), newline="")


class Patience(pl.Callback):
    """Stops once no epoch of the last `epochs` was the best; those of a warm-up, which hardly learns, do not count."""

    def __init__(self, epochs: int, history: History) -> None:
        self.epochs, self.history = epochs, history

    def on_train_epoch_end(self, trainer: pl.Trainer, module: pl.LightningModule) -> None:
        if has_levelled_off(self.history.rows, self.epochs, module.warm_up_steps):
            trainer.should_stop = True


def has_levelled_off(rows: Sequence[Row], epochs: int, warm_up_steps: int) -> bool:
    """Whether the best epoch after the warm-up lies so many epochs back."""
    counted = [row for row in rows if row["step"] > warm_up_steps]
    return bool(counted) and len(counted) - 1 - best_epoch(counted, by_place=True) >= epochs


def best_epoch(rows: Sequence[Row], by_place: bool = False) -> int:
    """The epoch with the best selection score, the first of equal ones, counted from 0; or its place among the rows."""
    place = max(range(len(rows)), key=lambda place: rows[place].get(SELECTION, float("-inf")))
    return place if by_place else int(rows[place]["epoch"])


def read_history(file: Path) -> list[Row]:
    """The rows of a history.csv; none where the file is not there. Raises RecipeError where it is damaged."""
    try:
        lines = list(csv.DictReader(read_text(file).splitlines()))
        rows = [{name: float(value) for name, value in line.items() if value} for line in lines]
        if not rows or [row["epoch"] for row in rows] != list(range(len(rows))):
            raise ValueError
    except FileNotFoundError:
        return []
    except (ValueError, TypeError, KeyError, csv.Error):
        raise fail("damaged: expected numbers in a row an epoch", "run stage 1, which writes it again", file) from None
    return rows


def history_text(rows: Sequence[Row]) -> str:
    """The rows as history.csv holds them."""
    stream = io.StringIO(newline="")
    writer = csv.DictWriter(stream, list(rows[-1]), restval="", extrasaction="ignore")
    writer.writeheader()
    writer.writerows(rows)
    return stream.getvalue()
