"""F1 of counts."""

from __future__ import annotations

import numpy as np


def f1(tps: np.ndarray, fps: np.ndarray, references: np.ndarray) -> np.ndarray:
    """2 TP / (2 TP + FP + FN), each of what it is given; nan where there was nothing to find."""
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.where(references > 0, 2 * tps / (tps + fps + references), np.nan)


def macro(values: np.ndarray) -> np.ndarray:
    """Mean over the last axis, the classes, without nan; nan where all are."""
    known = np.isfinite(values)
    with np.errstate(invalid="ignore"):
        return np.where(known, values, 0.0).sum(axis=-1) / known.sum(axis=-1)


def macro_of_counts(tps: np.ndarray, fps: np.ndarray, references: np.ndarray) -> float:
    """Mean over the classes that there were to find, 0 where there are none; all (classes,)."""
    values = f1(tps, fps, references)
    return float(values[references > 0].mean()) if (references > 0).any() else 0.0
