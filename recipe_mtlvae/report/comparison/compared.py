"""The results of the compared systems, and the differences between two of them.

A system is one run, or several runs with the same name, such as seeds, shown as mean and standard deviation.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from recipe_mtlvae.report.runs import Run
from recipe_mtlvae.scoring import scenarios
from recipe_mtlvae.scoring.evaluation import SystemOutput
from recipe_mtlvae.scoring.intervals import Interval, Resamples, interval
from recipe_mtlvae.scoring.scenarios import Metric
from recipe_mtlvae.scoring.toolkit_count import ToolkitCount

FEW_CLIPS, NEAR_ZERO = 10, 0.1  # for fewer clips of a class, or a lower PSDS, an interval is likely too narrow


@dataclass(frozen=True, kw_only=True)
class Result:
    """The figures of a system on one split, 0 to 1: the mean over its runs that were measured on this split."""

    macro: dict[str, float]  # by metric key
    per_class: dict[str, dict[str, float | None]]  # by class, then metric key; None if the class has no truth
    scored: int  # clips
    expected: int  # clips
    runs: int = 1
    clip_list_hash: str = ""
    absent_classes: tuple[str, ...] = ()
    versions: dict[str, str] = field(default_factory=dict)  # of the packages that computed the figures
    curves: dict[str, tuple[np.ndarray, np.ndarray]] = field(default_factory=dict)  # PSDS: efpr, etpr, of the first run
    deviation: dict[str, float] = field(default_factory=dict)  # standard deviation over several runs
    # The fields below are set only if the truth is available, intervals and resamples for at least two clips
    intervals: dict[str, Interval] = field(default_factory=dict)  # of `macro`
    class_intervals: dict[str, dict[str, Interval]] = field(default_factory=dict)
    class_clips: dict[str, int] = field(default_factory=dict)  # number of clips with true events of the class
    undetected: frozenset[str] = frozenset()  # classes with truth that no run detects in any clip
    resamples: Resamples | None = None
    output: SystemOutput | None = None  # of the first run
    toolkit: ToolkitCount | None = None  # PSDS as the DCASE toolkit of 2023 and 2024 counts it

    @property
    def operating_points(self) -> int | None:
        """Number of thresholds of the PSDS; None: every score, as in all metrics.json files. See SystemOutput."""
        return self.output.operating_points if self.output else None

    @property
    def worst_classes(self) -> list[str]:
        """The classes by the first metric, worst first; ties by the next metric. Those without truth come last."""

        def figures(label: str) -> list[float]:
            values = (self.per_class[label].get(key) for key in scenarios.metric_keys())
            return [math.inf if value is None else value for value in values]

        return sorted(self.per_class, key=figures)

    def is_narrow(self, metric: Metric, label: str | None = None) -> bool:
        """Whether an interval, of class `label` or over all classes, is likely too narrow. See intervals.py."""
        clips = self.class_clips.values() if label is None else [self.class_clips.get(label, FEW_CLIPS)]
        few = min(clips, default=FEW_CLIPS) < FEW_CLIPS
        if not metric.is_psds:  # in simulations, intervals of macro F1 held with rare classes too
            return few and label is not None
        value = (self.macro if label is None else self.per_class[label]).get(metric.key)
        return few or (value is not None and value < NEAR_ZERO)


@dataclass(frozen=True)
class ComparedSystem:
    """A row of the comparison."""

    name: str
    runs: tuple[Run, ...]
    results: dict[str, Result]  # by split
    converged: bool | None  # None: unknown

    @property
    def ranked(self) -> bool:
        """Whether the system takes part in the ranking: not if its training has not converged."""
        return self.converged is not False


@dataclass(frozen=True)
class Difference:
    """The figure of a minus the figure of b, with the paired interval."""

    value: float
    interval: Interval
    alike: bool  # whether both PSDS were measured at the same number of thresholds, or at every score


def difference(a: Result, b: Result, name: str) -> Difference | None:
    """Return the difference of a metric; None unless both results have resamples."""
    if a.resamples is None or b.resamples is None:
        return None
    found = interval(a.resamples.macro[name] - b.resamples.macro[name])
    is_psds = any(metric.is_psds for metric in scenarios.METRICS if metric.key == name)
    alike = not is_psds or a.operating_points == b.operating_points
    return Difference(a.macro[name] - b.macro[name], found, alike)


def winner(systems: Sequence[ComparedSystem], split: str, name: str) -> ComparedSystem | None:
    """Return the best ranked system if it is better than every other ranked system by an interval that excludes zero.

    None if there is no such system, or if the systems were not measured alike (Difference.alike).
    """
    ranked = [system for system in systems if system.ranked and split in system.results]
    if len(ranked) < 2:
        return None
    best = max(ranked, key=lambda system: system.results[split].macro.get(name, 0.0))
    for other in ranked:
        found = other is best or difference(best.results[split], other.results[split], name)
        if found is not True and not (found and found.alike and found.interval.low > 0):
            return None
    return best
