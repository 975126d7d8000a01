"""What systems cost and cover, and how they were trained: a row a quantity, a cell a system."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

from recipe_mtlvae.conf_sections import EVALUATION, TRAINING
from recipe_mtlvae.corpus.splits import of_role
from recipe_mtlvae.report.comparison.compared import ComparedSystem
from recipe_mtlvae.report.comparison.tables import NONE, is_selection, shown_splits, split_name, split_title, splits_of
from recipe_mtlvae.scoring import scenarios
from recipe_mtlvae.scoring.energy import ew_psds
from recipe_mtlvae.systems import SYSTEMS, baselines

NOT_MEASURED, NOT_KNOWN = "not measured", "not known"
Reading = tuple[str, Callable[[ComparedSystem], str]]  # a quantity's name, and what a system's cell says


@dataclass(frozen=True)
class CostRow:
    """One quantity."""

    name: str
    cells: tuple[str, ...]  # a system each


def cost_rows(systems: Sequence[ComparedSystem]) -> list[CostRow]:
    """All quantities that any system has, and the energy in any case, one cell a system; of several runs the mean."""
    rows: list[Reading] = [
        ("Data", lambda system: system.runs[0].conf.data.name if system.runs[0].conf else NONE),
        ("Classes", lambda system: str(len(next(iter(system.results.values())).per_class))),
    ]
    rows += [
        (f"Clips scored, {split_title(systems, split).lower()}", partial(_coverage, split))
        for split in splits_of(systems)
    ]
    rows += [
        ("Epochs trained", partial(_training, "epochs", count)),
        ("Epoch that is scored", partial(_training, "best_epoch", count)),
        ("Validation score levelled off", _converged),
        ("Training steps", partial(_training, "steps", count)),
        ("Clips seen in training", partial(_training, "clips_seen", count)),
        ("Training time", partial(_training, "seconds", duration, missing=NOT_MEASURED)),
        ("Training speed", _speed),
        ("Peak main memory in training", partial(_training, "peak_memory_bytes", _gigabytes, missing=NOT_MEASURED)),
    ]
    dev_test = dev_test_of(systems)
    rows += [(_energy_name(phase, dev_test), partial(phase_energy, phase)) for phase in _phases(systems)]
    rows += _ew_psds_rows(systems)
    rows += _energy_to_reach_rows(systems)
    rows += [
        (f"Detection speed, {dev_test}", partial(_detection_speed, dev_test)),
        ("Parameters", partial(_mean, "parameters", count)),
        ("Multiply-accumulates for 10\u00a0s", partial(_mean, "macs_10s", lambda macs: f"{macs / 1e9:.3g} G")),
    ]
    found = [CostRow(name, tuple(read(system) for system in systems)) for name, read in rows]
    return [
        fact for fact in found if set(fact.cells) - {NONE, NOT_MEASURED, NOT_KNOWN} or fact.name.startswith("Energy")
    ]


def duration(seconds: float) -> str:
    """1 h 5 min, 2 min 3 s, 4.2 s"""
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes = round(seconds / 60)
    return (
        f"{int(seconds // 60)} min {int(seconds % 60)} s" if seconds < 3600 else f"{minutes // 60} h {minutes % 60} min"
    )


def count(number: float) -> str:
    return f"{round(number):,}"


def energy(entry: Mapping[str, Any]) -> str:
    """kWh and how it was measured; "not measured" and why where it was not, never 0."""
    kwh = entry.get("kwh")
    if kwh is None:
        return NOT_MEASURED + (f" ({entry['reason']})" if entry.get("reason") else "")
    return kwh_text(kwh) + " kWh" + (f" ({entry['mode']})" if entry.get("mode") else "")


def kwh_text(kwh: float) -> str:
    """Three significant digits, without an exponent."""
    return np.format_float_positional(kwh, precision=3, fractional=False, trim="-")


def mean_kwh(system: ComparedSystem, phase: str) -> float | None:
    """None where any of the runs was not measured."""
    values = [(run.energy.get(phase) or {}).get("kwh") for run in system.runs]
    return None if None in values else float(np.mean(values))


def baseline_of(systems: Sequence[ComparedSystem]) -> ComparedSystem | None:
    """The system against which energy is weighed: the baseline recipe's, where one was trained."""
    return next((one for one in systems if one.runs[0].conf and one.runs[0].conf.system in baselines()), None)


def network_of(system: ComparedSystem) -> str:
    """Which network the scores are of, where a system trains several: student or teacher; else empty."""
    run = system.runs[0]
    others = SYSTEMS[run.conf.system].networks[1:] if run.conf else ()
    return "" if not others else run.folder.name if run.folder.name in others else "student"


def network_note(system: ComparedSystem) -> str:
    """The same in brackets, to stand behind a name."""
    return f" ({network})" if (network := network_of(system)) else ""


def energy_weighted(system: ComparedSystem, baseline: ComparedSystem, phase: str, name: str) -> float | None:
    """EW-PSDS of the score's split; None unless both were measured alike."""
    ours, theirs = mean_kwh(system, phase), mean_kwh(baseline, phase)
    result = system.results.get(shown_splits([system])[0])
    if not _measured_alike(system, baseline, phase) or not ours or not theirs or result is None:
        return None
    return ew_psds(result.macro[name], theirs, ours)


def _ew_psds_rows(systems: Sequence[ComparedSystem]) -> list[Reading]:
    baseline = baseline_of(systems)
    if baseline is None or len(systems) < 2:
        return []

    def text(phase: str, name: str, system: ComparedSystem) -> str:
        value = energy_weighted(system, baseline, phase, name)
        return f"{value:.3f}{network_note(system)}" if value is not None else "not measured alike"

    def weighed(phase: str) -> str:
        kwh = mean_kwh(baseline, phase)
        return f", times {kwh_text(kwh)} kWh of {baseline.name}{network_note(baseline)}" if kwh else ""

    return [
        (f"EW-{metric.short}, {title}{weighed(phase)}", partial(text, phase, metric.key))
        for phase, title in ((TRAINING, TRAINING), (dev_test_of(systems), "dev-test"))
        for metric in scenarios.METRICS
        if metric.is_psds
    ]


def share_of(system: ComparedSystem, other: ComparedSystem, phase: str) -> float | None:
    """Its energy over the other's; None unless both were measured alike."""
    ours, theirs = mean_kwh(system, phase), mean_kwh(other, phase)
    return ours / theirs if ours and theirs and _measured_alike(system, other, phase) else None


def kwh_to_reach(system: ComparedSystem, score: float) -> float | None:
    """Energy of training up to the first epoch whose selection score is `score` or more: the mean of the runs.

    An epoch's share of the energy is its share of the time. None where a run does not get there or was not measured.
    """
    parts = []
    for run in system.runs:
        kwh = (run.energy.get("training") or {}).get("kwh")
        seconds, selection = np.array(run.history.get("seconds", [])), np.array(run.history.get("val/selection", []))
        reached = np.flatnonzero(selection >= score)
        if kwh is None or not len(reached) or not seconds.sum() > 0:
            return None
        parts.append(kwh * seconds[: reached[0] + 1].sum() / seconds.sum())
    return float(np.mean(parts))


def best_selection(system: ComparedSystem) -> float | None:
    """The best selection score of a system's training; of several runs the lowest, which all of them reach."""
    best = [np.nanmax(run.history["val/selection"]) for run in system.runs if run.history.get("val/selection")]
    return float(min(best)) if len(best) == len(system.runs) else None


def _energy_to_reach_rows(systems: Sequence[ComparedSystem]) -> list[Reading]:
    """What the baseline's score takes, and the best one of a system that stays below it, which the baseline passes.

    Nothing is said of systems that have not converged: half-trained, either may be anywhere.
    """
    baseline = baseline_of(systems)
    score = best_selection(baseline) if baseline else None
    if baseline is None or score is None or len(systems) < 2:
        return []

    def text(goal: float, system: ComparedSystem) -> str:
        if not (system.ranked and baseline.ranked):
            return "not converged"
        if not (_measured_alike(system, baseline, "training") and _same_selection(system, baseline)):
            return "not measured alike"
        kwh, reference = kwh_to_reach(system, goal), kwh_to_reach(baseline, goal)
        if kwh is None or not reference:
            return "not reached"
        share = "" if system is baseline else f", {kwh / reference:.3g} of the baseline's"
        return f"{kwh_text(kwh)} kWh{share}"

    goals = [(one.name, own) for one in systems if one.ranked and 0 < (own := best_selection(one) or 0) < score]
    return [
        (f"Energy to reach the selection score of {label}, {goal:.3f}", partial(text, goal))
        for label, goal in [("the baseline", score), *goals]
    ]


def _measured_alike(system: ComparedSystem, baseline: ComparedSystem, phase: str) -> bool:
    """Each whole on one machine, the same one, by one version of codecarbon, with the GPU if there was one."""
    entries = [run.energy.get(phase) or {} for run in (*system.runs, *baseline.runs)]
    places = {(entry.get("machine"), entry.get("codecarbon")) for entry in entries}
    one_place = len(places) == 1 and not any(part is None or " + " in part for part in next(iter(places)))
    return one_place and all(entry.get("kwh") and "not measured" not in (entry.get("mode") or "") for entry in entries)


def _same_selection(system: ComparedSystem, baseline: ComparedSystem) -> bool:
    """Whether epochs are selected on clips of the same sets, as far as the configurations tell."""
    confs = [run.conf for run in (*system.runs, *baseline.runs)]
    if None in confs:
        return False
    return len({(conf.data.name, conf.data.seed, conf.data.weak_held_out) for conf in confs}) == 1


def _mean(
    key: str, text: Callable[[float], str], system: ComparedSystem, section: str | None = None, missing: str = NONE
) -> str:
    """Of a figure of model.json over the system's runs."""
    values = [((run.model.get(section) or {}) if section else run.model).get(key) for run in system.runs]
    return missing if None in values else text(float(np.mean(values)))


_training = partial(_mean, section="training")


def _coverage(split: str, system: ComparedSystem) -> str:
    result = system.results.get(split)
    if result is None or not result.expected:
        return NONE
    share = 100 * result.scored / result.expected
    return f"{result.scored:,} of {result.expected:,} ({share:.{0 if share == 100 else 1}f} %)"


def _converged(system: ComparedSystem) -> str:
    return {True: "yes", False: "no: not converged", None: NOT_KNOWN}[system.converged]


def _speed(system: ComparedSystem) -> str:
    training = [run.model.get("training") or {} for run in system.runs]
    speeds = [t["clips_seen"] / t["seconds"] for t in training if t.get("clips_seen") and t.get("seconds")]
    return f"{np.mean(speeds):.3g} clips a second" if speeds else NOT_MEASURED


def _detection_speed(split: str, system: ComparedSystem) -> str:
    predictions = [(run.model.get("prediction") or {}).get(split) or {} for run in system.runs]
    speeds = [prediction["times_real_time"] for prediction in predictions if prediction.get("times_real_time")]
    return f"{np.mean(speeds):.3g} times real time" if speeds else NOT_MEASURED


def dev_test_of(systems: Sequence[ComparedSystem]) -> str:
    """The split that stands for the challenge's dev-test: the first one on which the systems were tested."""
    return next((split for split in splits_of(systems) if not is_selection(systems, split)), "")


def _phases(systems: Sequence[ComparedSystem]) -> list[str]:
    """Of energy.json: training, the systems' test splits, the evaluation set where it was measured."""
    runs = [run for system in systems for run in system.runs]
    tests = [split for run in runs if run.conf for split in of_role(run.conf.data.splits, "test")]
    return list(dict.fromkeys([TRAINING, *tests, *[EVALUATION] * any(EVALUATION in run.energy for run in runs)]))


def _energy_name(phase: str, dev_test: str) -> str:
    name = split_name(phase).lower()
    return f"Energy, dev-test ({name})" if phase == dev_test else f"Energy, {name}"


def phase_energy(phase: str, system: ComparedSystem) -> str:
    """Of training or of detection on a split."""
    return energy({**(system.runs[0].energy.get(phase) or {}), "kwh": mean_kwh(system, phase)})


def _gigabytes(number: float) -> str:
    return f"{number / 1e9:.2f} GB"
