"""Systems to be compared: opened from any kind of folder, held against one truth, measured and resampled.

A system is one run, or several runs of one name, such as seeds: these are shown as mean and standard deviation.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from recipe_mtlvae.corpus.splits import of_role
from recipe_mtlvae.report.comparison.opening import Member, open_members
from recipe_mtlvae.report.runs import Run, open_run
from recipe_mtlvae.scoring import scenarios
from recipe_mtlvae.scoring.evaluation import SystemOutput
from recipe_mtlvae.scoring.intervals import Interval, Resamples, draw, interval, resample
from recipe_mtlvae.scoring.metrics import Metrics, clip_statistics, figures
from recipe_mtlvae.scoring.reference import Reference, reference_path
from recipe_mtlvae.scoring.results import versions
from recipe_mtlvae.scoring.toolkit_count import ToolkitCount, count_with_events

# A selection score that still gains this share of itself in a quarter of the epochs goes on learning
QUARTER_GAIN = 0.02
FEWEST_EPOCHS = 20  # fewer may lie flat before they begin to rise


@dataclass(frozen=True)
class Result:
    """A system's figures on one split, 0 to 1: the mean of its runs."""

    macro: dict[str, float]  # as scenarios.METRICS
    deviation: dict[str, float]  # standard deviation over the runs; empty where there is one
    per_class: dict[str, dict[str, float | None]]  # None where the class has no truth
    intervals: dict[str, Interval]  # of `macro`; empty where the truth is not at hand
    class_intervals: dict[str, dict[str, Interval]]
    class_clips: dict[str, int]  # clips in whose truth the class is; empty where the truth is not at hand
    curves: dict[str, tuple[np.ndarray, np.ndarray]]  # psds1, psds2: efpr, etpr, of the first run
    scored: int
    expected: int  # clips
    clip_list_hash: str
    absent_classes: tuple[str, ...]
    versions: dict[str, str]  # of the packages that measured it
    resamples: Resamples | None
    output: SystemOutput | None  # of the first run
    toolkit: ToolkitCount | None = None  # PSDS as the toolkit of 2023 and 2024 counts; None where truth is not at hand

    @property
    def operating_points(self) -> int | None:
        """See SystemOutput; what is known from files alone was measured at every score."""
        return self.output.operating_points if self.output else None


@dataclass(frozen=True)
class ComparedSystem:
    """A row of the comparison."""

    name: str
    runs: tuple[Run, ...]
    results: dict[str, Result]  # by split
    converged: bool | None  # None: unknown

    @property
    def ranked(self) -> bool:
        """A half-trained system proves nothing."""
        return self.converged is not False


@dataclass(frozen=True)
class Difference:
    """a's figure less b's, with the paired interval."""

    value: float
    interval: Interval
    alike: bool  # whether both were measured in one way: PSDS at so many thresholds, or at every score


def compare(
    sources: Sequence[tuple[str, Path]], given: Reference | None, split: str | None, role: str | None = None
) -> list[ComparedSystem]:
    """Open and measure systems, (name, folder) each; sources of one name are the runs of one system.

    given: the truth to hold all of them against, on `split`; None: each run's own, on all its splits, or on those of
    one role, select or test.
    Raises RecipeError where a folder is at fault, or clips, truth or classes are not the same.
    """
    members = open_members(sources, given, split)
    if role is not None:
        members = [replace(member, outputs=_of_role(member, role)) for member in members]
    return [
        _system(name, [member for member in members if member.name == name])
        for name in dict.fromkeys(member.name for member in members)
    ]


def _of_role(member: Member, role: str) -> dict[str, SystemOutput]:
    splits = of_role(member.run.conf.data.splits, role) if member.run.conf else ()
    return {split: output for split, output in member.outputs.items() if split in splits}


def systems_of_runs(folders: Mapping[str, Path]) -> list[ComparedSystem]:
    """Run folders by name. Where they do not carry their truth, the figures are those of metrics.json alone.

    Raises RecipeError where a folder holds no score at all.
    """
    runs = {name: open_run(folder, name) for name, folder in folders.items()}
    carried = all(
        reference_path(folder, split).exists() and (folder / "scores" / split).is_dir()
        for name, folder in folders.items()
        for split in runs[name].metrics
    )
    if carried and all(run.conf for run in runs.values()):
        return compare(list(folders.items()), None, None)
    return [system_of_files(run) for run in runs.values()]


def difference(a: Result, b: Result, name: str) -> Difference | None:
    """None where there are no resamples of both."""
    if a.resamples is None or b.resamples is None:
        return None
    found = interval(a.resamples.macro[name] - b.resamples.macro[name])
    is_psds = any(metric.is_psds for metric in scenarios.METRICS if metric.key == name)
    alike = not is_psds or a.operating_points == b.operating_points
    return Difference(a.macro[name] - b.macro[name], found, alike)


def winner(systems: Sequence[ComparedSystem], split: str, name: str) -> ComparedSystem | None:
    """The best ranked system, where it is better than every other ranked one by an interval that excludes zero.

    None where they were not measured in one way.
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


def _converged(run: Run) -> bool | None:
    return levelled_off(run.history.get("val/selection", []), run.conf.train.patience if run.conf else None)


def system_of_files(run: Run) -> ComparedSystem:
    """A run as its metrics.json tells, without intervals."""
    results = {}
    for split, metrics in run.metrics.items():
        curves = run.curves.get(split, {})
        results[split] = Result(
            macro={name: metrics[name] for name in scenarios.metric_keys() if name in metrics},
            deviation={},
            per_class=metrics.get("per_class", {}),
            intervals={},
            class_intervals={},
            class_clips={},
            curves={name: (np.array(curve["efpr"]), np.array(curve["etpr"])) for name, curve in curves.items()},
            scored=metrics["coverage"]["scored"],
            expected=metrics["coverage"]["expected"],
            clip_list_hash=metrics.get("clip_list_hash", ""),
            absent_classes=tuple(metrics.get("absent_classes", ())),
            versions=metrics.get("versions", {}),
            resamples=None,
            output=None,
        )
    return ComparedSystem(run.name, (run,), results, _converged(run))


def _system(name: str, members: list[Member]) -> ComparedSystem:
    results = {
        split: _result([member.outputs[split] for member in members if split in member.outputs])
        for split in members[0].outputs
    }
    known = [_converged(member.run) for member in members]
    converged = False if False in known else True if True in known else None
    return ComparedSystem(name, tuple(member.run for member in members), results, converged)


def _result(outputs: list[SystemOutput]) -> Result:
    measured = [_measure(output) for output in outputs]
    metrics, resamples = [item[0] for item in measured], _mean_resamples([item[1] for item in measured])
    counts = [item[2] for item in measured]
    first, reference = metrics[0], outputs[0].reference
    names = scenarios.metric_keys()
    macro = {name: float(np.mean([item.macro[name] for item in metrics])) for name in names}
    several = len(metrics) > 1
    return Result(
        macro=macro,
        deviation={name: float(np.std([m.macro[name] for m in metrics], ddof=1)) for name in names} if several else {},
        per_class={label: _mean_class([item.per_class[label] for item in metrics]) for label in first.per_class},
        intervals={name: interval(resamples.macro[name]) for name in names},
        class_intervals={
            label: {name: interval(resamples.per_class[name][:, i]) for name in names}
            for i, label in enumerate(resamples.classes)
        },
        class_clips=Counter(
            label for events in reference.truth.values() for label in {event.label for event in events}
        ),
        curves={name: (curve.efpr, curve.etpr) for name, curve in first.psd_roc.items()},
        scored=min(output.scored for output in outputs),
        expected=reference.expected,
        clip_list_hash=reference.clip_list_hash,
        absent_classes=first.absent_classes,
        versions=versions(),
        resamples=resamples,
        output=outputs[0],
        toolkit=replace(
            counts[0], psds={key: float(np.mean([one.psds[key] for one in counts])) for key in counts[0].psds}
        ),
    )


def _measure(output: SystemOutput) -> tuple[Metrics, Resamples, ToolkitCount]:
    reference = output.reference
    statistics = clip_statistics(output.scores, output.detected, reference.truth, reference.durations)
    return figures(statistics), resample(statistics, draw(len(statistics.clips))), count_with_events(statistics)


def _mean_resamples(runs: list[Resamples]) -> Resamples:
    """The resamples of the runs' mean: each draw of clips is the same in all runs."""
    return replace(
        runs[0],
        macro={name: np.mean([run.macro[name] for run in runs], axis=0) for name in runs[0].macro},
        per_class={name: np.mean([run.per_class[name] for run in runs], axis=0) for name in runs[0].per_class},
    )


def _mean_class(rows: list[Mapping[str, float | None]]) -> dict[str, float | None]:
    return {name: None if rows[0][name] is None else float(np.mean([row[name] for row in rows])) for name in rows[0]}
