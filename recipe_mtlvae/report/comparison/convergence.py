"""Whether a training has converged, judged by its selection scores."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from recipe_mtlvae.report.runs import Run

# If the selection score still rises by more than this share in a quarter of the epochs, the training is not finished
QUARTER_GAIN = 0.02
FEWEST_EPOCHS = 20  # in fewer, the score may still be flat before it begins to rise


def levelled_off(selection: Sequence[float], patience: int | None = None) -> bool | None:
    """Whether the selection score, one value per epoch, has stopped rising; None if there is no value.

    The score has stopped rising if none of the last `patience` epochs is better than those before, which is when early
    stopping ends a training, or if the mean of the last quarter of the epochs is at most QUARTER_GAIN above the mean of
    the quarter before: means are robust to noise. False for fewer than FEWEST_EPOCHS, and for a score that is 0.
    """
    known = [value for value in selection if math.isfinite(value)]
    if not known:
        return None
    if len(known) < FEWEST_EPOCHS or max(known) <= 0:
        return False
    if patience is not None and len(known) - 1 - int(np.argmax(known)) >= patience:
        return True
    quarter = len(known) // 4
    before, last = np.mean(known[-2 * quarter : -quarter]), np.mean(known[-quarter:])
    return bool(last > 0 and last - before <= QUARTER_GAIN * last)


def has_converged(run: Run) -> bool | None:
    return levelled_off(run.history.get("val/selection", []), run.conf.train.patience if run.conf else None)
