"""F1 from counts."""

from __future__ import annotations

import numpy as np


def f1(tps: np.ndarray, fps: np.ndarray, references: np.ndarray) -> np.ndarray:
    """Return 2 TP / (2 TP + FP + FN) element by element, where TP + FN = `references`; nan where `references` is 0."""
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.where(references > 0, 2 * tps / (tps + fps + references), np.nan)


def macro(values: np.ndarray) -> np.ndarray:
    """Return the mean over the last axis (classes) without nan; nan where all values are nan."""
    known = np.isfinite(values)
    with np.errstate(invalid="ignore"):
        return np.where(known, values, 0.0).sum(axis=-1) / known.sum(axis=-1)


def macro_of_counts(tps: np.ndarray, fps: np.ndarray, references: np.ndarray) -> float:
    """Return the mean F1 over the classes with references, or 0 if there are none; all counts are (classes,)."""
    values = f1(tps, fps, references)
    return float(values[references > 0].mean()) if (references > 0).any() else 0.0
