"""The energy of systems, absolute and relative to the baseline if both were measured alike."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from recipe_mtlvae.conf_sections import TRAINING
from recipe_mtlvae.report.comparison.compared import ComparedSystem
from recipe_mtlvae.report.comparison.compared_splits import shown_splits
from recipe_mtlvae.scoring.energy import ew_psds
from recipe_mtlvae.systems import SYSTEMS, baselines


def mean_kwh(system: ComparedSystem, phase: str) -> float | None:
    """Return the mean energy of a phase over the runs, in kWh; None if any of the runs was not measured."""
    values = [(run.energy.get(phase) or {}).get("kwh") for run in system.runs]
    return None if None in values else float(np.mean(values))


def baseline_of(systems: Sequence[ComparedSystem]) -> ComparedSystem | None:
    """Return the system relative to which energy is weighted: the first that is a baseline; None if there is none."""
    return next((one for one in systems if one.runs[0].conf and one.runs[0].conf.system in baselines()), None)


def with_network(system: ComparedSystem, text: str) -> str:
    """Add to `text`, in brackets, the network that was scored, student or teacher, if the system trains both."""
    run = system.runs[0]
    others = SYSTEMS[run.conf.system].networks[1:] if run.conf else ()
    return f"{text} ({run.folder.name if run.folder.name in others else 'student'})" if others else text


def share_of(system: ComparedSystem, other: ComparedSystem, phase: str) -> float | None:
    """Return the energy of `system` divided by that of `other`; None unless both were measured alike."""
    ours, theirs = mean_kwh(system, phase), mean_kwh(other, phase)
    return ours / theirs if ours and theirs and measured_alike(system, other, phase) else None


def energy_weighted(system: ComparedSystem, baseline: ComparedSystem, phase: str, metric: str) -> float | None:
    """Return the EW-PSDS on the first split of the system; None unless both were measured alike."""
    result = system.results.get(shown_splits([system])[0])
    if result is None or share_of(system, baseline, phase) is None:
        return None
    return ew_psds(result.macro[metric], mean_kwh(baseline, phase), mean_kwh(system, phase))


def kwh_to_reach(system: ComparedSystem, score: float) -> float | None:
    """Return the training energy up to the first epoch whose selection score is at least `score`: the mean of the runs.

    The share of an epoch in the energy is taken to be its share in the time. None if a run does not reach the score or
    was not measured.
    """
    parts = []
    for run in system.runs:
        kwh = (run.energy.get(TRAINING) or {}).get("kwh")
        seconds, selection = np.array(run.history.get("seconds", [])), np.array(run.history.get("val/selection", []))
        reached = np.flatnonzero(selection >= score)
        if kwh is None or not len(reached) or not seconds.sum() > 0:
            return None
        parts.append(kwh * seconds[: reached[0] + 1].sum() / seconds.sum())
    return float(np.mean(parts))


def best_selection(system: ComparedSystem) -> float | None:
    """Return the best selection score of a training; of several runs the lowest best score, which all of them reach."""
    best = [np.nanmax([-np.inf, *run.history.get("val/selection", [])]) for run in system.runs]
    return float(min(best)) if np.isfinite(best).all() else None


def measured_alike(system: ComparedSystem, other: ComparedSystem, phase: str) -> bool:
    """Whether all runs were measured completely, any GPU included, on one machine with one version of codecarbon."""
    entries = [run.energy.get(phase) or {} for run in (*system.runs, *other.runs)]
    places = {(entry.get("machine"), entry.get("codecarbon")) for entry in entries}
    one_place = len(places) == 1 and not any(part is None or " + " in part for part in next(iter(places)))
    return one_place and all(entry.get("kwh") and "not measured" not in (entry.get("mode") or "") for entry in entries)


def selected_alike(system: ComparedSystem, other: ComparedSystem) -> bool:
    """Whether both select their epochs on the same clips, as far as the configurations tell."""
    confs = [run.conf for run in (*system.runs, *other.runs)]
    return None not in confs and len({(c.data.name, c.data.seed, c.data.weak_held_out) for c in confs}) == 1
