"""PSDS as the DCASE toolkit of 2023 and 2024 counts it: over clips with events only. This recipe counts all clips."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from recipe_mtlvae.scoring.intervals import resample
from recipe_mtlvae.scoring.metrics import ClipStatistics, clip_statistics
from recipe_mtlvae.scoring.postprocess import Decoding
from recipe_mtlvae.scoring.reference import Reference
from recipe_mtlvae.scoring.scenarios import METRICS
from recipe_mtlvae.scoring.scores import ScoreFolder


@dataclass(frozen=True)
class ToolkitCount:
    """PSDS over the clips with events."""

    clips: int  # with events
    dropped: int  # clips without events
    psds: dict[str, float]  # by metric key


def psds_with_events(scores: ScoreFolder, reference: Reference, median_filter: int) -> ToolkitCount:
    """Compute PSDS from unprocessed `scores` of exactly the reference's clips; median_filter: output steps."""
    classes = len(scores.classes)
    filtered = Decoding((0.5,) * classes, (median_filter,) * classes).filtered(scores)
    return count_with_events(clip_statistics(filtered, {}, reference.truth, reference.durations))


def count_with_events(statistics: ClipStatistics) -> ToolkitCount:
    """Compute PSDS from statistics that are already counted clip by clip."""
    counted = np.array([bool(statistics.truth[clip]) for clip in statistics.clips])
    macro = resample(statistics, counted[None]).macro
    kept = int(counted.sum())
    psds = {metric.key: float(macro[metric.key][0]) for metric in METRICS if metric.is_psds}
    return ToolkitCount(kept, len(counted) - kept, psds)
