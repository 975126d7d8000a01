"""history.csv: one row per epoch, one column per logged figure, and the decisions that depend on them."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from pathlib import Path

from recipe_mtlvae.errors import fail
from recipe_mtlvae.files import read_text

SELECTION = "val/selection"

EpochRow = dict[str, float]


def has_levelled_off(rows: Sequence[EpochRow], epochs: int, warm_up_steps: int) -> bool:
    """Whether none of the last `epochs` epochs was the best. Epochs of a warm-up, which learns little, do not count."""
    counted = [row for row in rows if row["step"] > warm_up_steps]
    return bool(counted) and len(counted) - 1 - _best(counted) >= epochs


def best_epoch(rows: Sequence[EpochRow]) -> int:
    """Return the epoch with the best selection score, the first of equal ones, counted from 0."""
    return int(rows[_best(rows)]["epoch"])


def _best(rows: Sequence[EpochRow]) -> int:
    return max(range(len(rows)), key=lambda place: rows[place].get(SELECTION, float("-inf")))


def read_history(file: Path) -> list[EpochRow]:
    """Return the rows of a history.csv; [] if there is no such file. Raises RecipeError if it is damaged."""
    try:
        lines = list(csv.DictReader(read_text(file).splitlines()))
        rows = [{name: float(value) for name, value in line.items() if value} for line in lines]
        if not rows or [row["epoch"] for row in rows] != list(range(len(rows))):
            raise ValueError
    except FileNotFoundError:
        return []
    except (ValueError, TypeError, KeyError, csv.Error):
        what = "damaged: expected one row of numbers per epoch"
        raise fail(what, "run stage 1, which writes it again", file) from None
    return rows


def history_text(rows: Sequence[EpochRow]) -> str:
    """Return the rows as the text of history.csv."""
    stream = io.StringIO(newline="")
    writer = csv.DictWriter(stream, list(rows[-1]), restval="", extrasaction="ignore")
    writer.writeheader()
    writer.writerows(rows)
    return stream.getvalue()
