"""Precision and recall of each class at each threshold: a lower one misses fewer events and gives more false alarms.

Events are counted by intersection: a detection is correct if at least half of it lies in truth of its class. This is
what a user of `detect` expects of an event. The 200-ms collars of event-based F1 are stricter, so that few classes
would ever reach a precision of 0.9; with segments, one long event would outweigh many short ones.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

# 0.1 to 0.9 as in tuning; further values at both ends for classes whose scores are mostly very high or very low
CURVE_THRESHOLDS = (0.01, 0.02, 0.05, *(round(0.05 * i, 2) for i in range(2, 20)), 0.98, 0.99)


@dataclass(frozen=True)
class OperatingPoint:
    """The requested operating point: precision or recall of at least `target`, or the best F1."""

    kind: str  # precision | recall | f1
    target: float = 0.0

    @classmethod
    def parse(cls, text: str) -> OperatingPoint:
        """Parse `precision=0.9`, `recall=0.9` or `f1`. Raises ValueError for any other text."""
        if text == "f1":
            return cls("f1")
        match = re.fullmatch(r"(precision|recall)=(\d*\.?\d+)", text)
        if not match or not 0 < float(match[2]) <= 1:
            raise ValueError(f"expected precision=X or recall=X, X above 0 and up to 1, or f1; got {text!r}")
        return cls(match[1], float(match[2]))


@dataclass(frozen=True)
class Chosen:
    """A threshold, with its precision and recall on the clips of the curve."""

    threshold: float
    precision: float
    recall: float
    reached: bool  # whether precision or recall reaches the target


@dataclass(frozen=True)
class PrecisionRecall:
    """Counts over a set of clips at each threshold, after each class's median filter or boxes."""

    thresholds: tuple[float, ...]
    true: np.ndarray  # (classes, thresholds) truth events that are found
    false: np.ndarray  # (classes, thresholds) detections that are not correct
    references: np.ndarray  # (classes,) truth events

    def __post_init__(self) -> None:
        shape = (*self.references.shape, len(self.thresholds))
        if self.true.shape != shape or self.false.shape != shape:
            raise ValueError(f"expected counts {shape}, got {self.true.shape} and {self.false.shape}")

    def as_dict(self) -> dict[str, Any]:
        """Return the fields as lists of numbers."""
        counts = {name: getattr(self, name).tolist() for name in ("true", "false", "references")}
        return {"thresholds": list(self.thresholds), **counts}

    @classmethod
    def from_dict(cls, content: Mapping[str, Any]) -> PrecisionRecall:
        """The inverse of as_dict. Raises KeyError, TypeError or ValueError if `content` is malformed."""
        try:
            counts = [np.array(content[name], dtype=np.int64) for name in ("true", "false", "references")]
            return cls(tuple(map(float, content["thresholds"])), *counts)
        except OverflowError as error:
            raise ValueError(str(error)) from None

    @property
    def precision(self) -> np.ndarray:
        """(classes, thresholds); nan where nothing is detected."""
        with np.errstate(invalid="ignore"):
            return self.true / (self.true + self.false)

    @property
    def recall(self) -> np.ndarray:
        """(classes, thresholds); nan where a class has no event."""
        with np.errstate(invalid="ignore"):
            return self.true / self.references[:, None]

    def choose(self, row: int, wanted: OperatingPoint, own: float) -> Chosen | None:
        """Return the threshold for the class in `row`; None if it is never detected or has no event.

        For a target of precision, the threshold with the best recall is chosen among those that reach the target; if
        none reaches it, the one with the best precision. For a target of recall, it is the other way round. Of equally
        good thresholds, the one nearest to `own`, the threshold of the class so far, is chosen.
        """
        best, best_rank = None, (-math.inf,)
        references = int(self.references[row])
        for i, threshold in enumerate(self.thresholds):
            true, detections = int(self.true[row, i]), int(self.true[row, i] + self.false[row, i])
            if not detections or not references:
                continue
            precision, recall = true / detections, true / references
            targeted, other = (recall, precision) if wanted.kind == "recall" else (precision, recall)
            reached = wanted.kind == "f1" or targeted >= wanted.target
            if wanted.kind == "f1":
                figures = 2 * true / (detections + references), precision
            else:
                figures = (other, targeted) if reached else (targeted, other)
            rank = (reached, *figures, -abs(threshold - own))
            if rank > best_rank:
                best, best_rank = Chosen(threshold, precision, recall, reached), rank
        return best
