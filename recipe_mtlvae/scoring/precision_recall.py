"""Between missing and false alarm: how precision and recall of each class move with its threshold.

Events are counted by intersection: one that is detected is right where at least half of it lies in its class's truth.
That is what a user of `detect` asks of an event. The 200-ms collars of event-based F1 ask for more, so that few classes
would ever reach a precision of 0.9; segments would let one long event outweigh many short ones.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

# 0.1 to 0.9 as tuning tries them; finer at the ends, where scores of sure or timid classes lie
CURVE_THRESHOLDS = (0.01, 0.02, 0.05, *(round(0.05 * i, 2) for i in range(2, 20)), 0.98, 0.99)


@dataclass(frozen=True)
class OperatingPoint:
    """What to hold: precision or recall of at least `target`, or the best F1."""

    kind: str  # precision | recall | f1
    target: float = 0.0

    @classmethod
    def parse(cls, text: str) -> OperatingPoint:
        """`precision=0.9`, `recall=0.9` or `f1`; raises ValueError for another text."""
        if text == "f1":
            return cls("f1")
        match = re.fullmatch(r"(precision|recall)=(\d*\.?\d+)", text)
        if not match or not 0 < float(match[2]) <= 1:
            raise ValueError(f"expected precision=X or recall=X, X above 0 and up to 1, or f1; got {text!r}")
        return cls(match[1], float(match[2]))


@dataclass(frozen=True)
class Chosen:
    """A threshold, and what it gave on the clips of the curve."""

    threshold: float
    precision: float
    recall: float
    reached: bool  # whether precision or recall is what was asked for


@dataclass(frozen=True)
class PrecisionRecall:
    """Counts over some clips, at each threshold after the class's median filter."""

    thresholds: tuple[float, ...]
    true: np.ndarray  # (classes, thresholds) truth events that are found
    false: np.ndarray  # (classes, thresholds) detections that are not right
    references: np.ndarray  # (classes,) truth events

    def __post_init__(self) -> None:
        shape = (len(self.references), len(self.thresholds))
        if self.true.shape != shape or self.false.shape != shape:
            raise ValueError(f"expected counts {shape}, got {self.true.shape} and {self.false.shape}")

    def as_dict(self) -> dict[str, Any]:
        """Of lists of numbers."""
        counts = {name: getattr(self, name).tolist() for name in ("true", "false", "references")}
        return {"thresholds": list(self.thresholds), **counts}

    @classmethod
    def from_dict(cls, content: Mapping[str, Any]) -> PrecisionRecall:
        """The inverse of as_dict; raises KeyError, TypeError or ValueError for what is none."""
        counts = (np.array(content[name], dtype=np.int64) for name in ("true", "false", "references"))
        return cls(tuple(map(float, content["thresholds"])), *counts)

    @property
    def precision(self) -> np.ndarray:
        """(classes, thresholds); nan where nothing fires."""
        with np.errstate(invalid="ignore"):
            return self.true / (self.true + self.false)

    @property
    def recall(self) -> np.ndarray:
        """(classes, thresholds); nan where there is no event."""
        with np.errstate(invalid="ignore"):
            return self.true / self.references[:, None]

    def choose(self, row: int, wanted: OperatingPoint, own: float) -> Chosen | None:
        """The threshold of a class. Where the target is reached, the one with most of the other figure; where it is
        not, the one that comes closest; of equal ones the nearest to `own`. None: it never fires, or has no event.
        """
        best, rank = None, (-math.inf,)
        for i, threshold in enumerate(self.thresholds):
            true, fired = int(self.true[row, i]), int(self.true[row, i] + self.false[row, i])
            if not fired or not self.references[row]:
                continue
            precision, recall = true / fired, true / int(self.references[row])
            held, other = (recall, precision) if wanted.kind == "recall" else (precision, recall)
            reached = wanted.kind == "f1" or held >= wanted.target
            first = (
                2 * true / (fired + int(self.references[row])) if wanted.kind == "f1" else other if reached else held
            )
            own_rank = (reached, first, held if reached else other, -abs(threshold - own))
            if own_rank > rank:
                best, rank = Chosen(threshold, precision, recall, reached), own_rank
        return best
