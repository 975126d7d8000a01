"""Whether a training has converged, as far as its selection scores tell."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from recipe_mtlvae.report.runs import Run

# A selection score that still gains this share of itself in a quarter of the epochs goes on learning
QUARTER_GAIN = 0.02
FEWEST_EPOCHS = 20  # fewer may lie flat before they begin to rise


def levelled_off(selection: Sequence[float], patience: int | None = None) -> bool | None:
    """Whether a selection score, a value an epoch, has stopped to rise; None where there is none.

    It has where no epoch of the last `patience` was better than those before, which ends a training of that patience,
    or where the mean of the last quarter of the epochs is little above that of the quarter before: a mean is blind to
    noise. A score that is still 0, or fell back to it, proves nothing.
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
