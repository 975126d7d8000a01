"""Measure and resample systems from folders of any kind, against the same truth."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from recipe_mtlvae.corpus.splits import of_role
from recipe_mtlvae.errors import fail
from recipe_mtlvae.report.comparison.compared import ComparedSystem, Result
from recipe_mtlvae.report.comparison.convergence import has_converged
from recipe_mtlvae.report.comparison.opening import Member, open_members
from recipe_mtlvae.report.runs import Run, open_run
from recipe_mtlvae.scoring import scenarios
from recipe_mtlvae.scoring.evaluation import SystemOutput
from recipe_mtlvae.scoring.intervals import Resamples, draw, interval, resample
from recipe_mtlvae.scoring.metrics import Metrics, clip_statistics, figures
from recipe_mtlvae.scoring.reference import Reference, reference_path
from recipe_mtlvae.scoring.results import versions
from recipe_mtlvae.scoring.toolkit_count import ToolkitCount, count_with_events


def compare(
    sources: Sequence[tuple[str, Path]], given: Reference | None, split: str | None, role: str | None = None
) -> list[ComparedSystem]:
    """Open and measure systems.

    sources: (name, folder); folders with the same name are the runs of one system.
    given: the truth of `split`, for all systems; None: the truth that each run carries, of all its splits or only of
    those with `role` (select or test).
    Raises RecipeError if a folder is at fault, or if clips, truth or classes differ between systems.
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
    """Measure run folders, given by name. If any run does not carry its truth, the figures are those of metrics.json.

    Raises RecipeError if a folder holds no scores, or if its metrics are not those of stage 3.
    """
    runs = {name: open_run(folder, name) for name, folder in folders.items()}
    carried = all(
        reference_path(folder, split).exists() and (folder / "scores" / split).is_dir()
        for name, folder in folders.items()
        for split in runs[name].metrics
    )
    if carried and all(run.conf for run in runs.values()):
        return compare(list(folders.items()), None, None)
    return [_system_of_files(run) for run in runs.values()]


def _system_of_files(run: Run) -> ComparedSystem:
    """Return a system with the figures of its metrics.json files, without intervals."""
    results = {}
    for split, metrics in run.metrics.items():
        coverage = metrics.get("coverage")
        if not isinstance(coverage, dict) or not {"scored", "expected"} <= coverage.keys():
            raise fail(f"the metrics of {split} hold no coverage", "run stage 3, which writes them again", run.folder)
        curves = run.curves.get(split, {})
        results[split] = Result(
            macro={name: metrics[name] for name in scenarios.metric_keys() if name in metrics},
            per_class=metrics.get("per_class", {}),
            curves={name: (np.array(curve["efpr"]), np.array(curve["etpr"])) for name, curve in curves.items()},
            scored=coverage["scored"],
            expected=coverage["expected"],
            clip_list_hash=metrics.get("clip_list_hash", ""),
            absent_classes=tuple(metrics.get("absent_classes", ())),
            versions=metrics.get("versions", {}),
        )
    return ComparedSystem(run.name, (run,), results, has_converged(run))


def _system(name: str, members: list[Member]) -> ComparedSystem:
    results = {
        split: _result([member.outputs[split] for member in members if split in member.outputs])
        for split in dict.fromkeys(split for member in members for split in member.outputs)
    }
    known = [has_converged(member.run) for member in members]
    converged = False if False in known else True if True in known else None
    return ComparedSystem(name, tuple(member.run for member in members), results, converged)


def _result(outputs: list[SystemOutput]) -> Result:
    metrics, resampled, counts = zip(*map(_measure, outputs), strict=True)
    first, reference, names = metrics[0], outputs[0].reference, scenarios.metric_keys()
    several = len(outputs) > 1
    # All resamples of a single clip are equal: an interval of no width would make any difference look certain
    resamples = _mean_resamples(resampled) if len(reference.durations) > 1 else None
    return Result(
        macro=_mean([item.macro for item in metrics]),
        deviation={name: float(np.std([m.macro[name] for m in metrics], ddof=1)) for name in names} if several else {},
        per_class={label: _mean([item.per_class[label] for item in metrics]) for label in first.per_class},
        intervals={name: interval(resamples.macro[name]) for name in names} if resamples else {},
        class_intervals={
            label: {name: interval(resamples.per_class[name][:, i]) for name in names}
            for i, label in enumerate(resamples.classes if resamples else ())
        },
        class_clips=Counter(
            label for events in reference.truth.values() for label in {event.label for event in events}
        ),
        curves={name: (curve.efpr, curve.etpr) for name, curve in first.psd_roc.items()},
        scored=min(output.scored for output in outputs),
        expected=reference.expected,
        runs=len(outputs),
        clip_list_hash=reference.clip_list_hash,
        absent_classes=first.absent_classes,
        versions=versions(),
        undetected=frozenset.intersection(*(frozenset(output.undetected) for output in outputs)),
        resamples=resamples,
        output=outputs[0],
        toolkit=replace(counts[0], psds=_mean([one.psds for one in counts])),
    )


def _measure(output: SystemOutput) -> tuple[Metrics, Resamples, ToolkitCount]:
    reference = output.reference
    statistics = clip_statistics(output.scores, output.detected, reference.truth, reference.durations)
    return figures(statistics), resample(statistics, draw(len(statistics.clips))), count_with_events(statistics)


def _mean_resamples(runs: Sequence[Resamples]) -> Resamples:
    """Return the mean of the resamples over the runs, which all use the same draws of clips."""
    return replace(
        runs[0],
        macro={name: np.mean([run.macro[name] for run in runs], axis=0) for name in runs[0].macro},
        per_class={name: np.mean([run.per_class[name] for run in runs], axis=0) for name in runs[0].per_class},
    )


def _mean(rows: Sequence[Mapping[str, float | None]]) -> dict[str, float | None]:
    return {name: None if rows[0][name] is None else float(np.mean([row[name] for row in rows])) for name in rows[0]}
