"""Coverage, training and cost of the systems: one row per quantity, one cell per system."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

from recipe_mtlvae.conf_sections import EVALUATION, TRAINING
from recipe_mtlvae.corpus.splits import of_role
from recipe_mtlvae.report.comparison import energy_use
from recipe_mtlvae.report.comparison.compared import ComparedSystem
from recipe_mtlvae.report.comparison.compared_splits import dev_test_of, split_name, split_title, splits_of
from recipe_mtlvae.report.comparison.tables import NONE
from recipe_mtlvae.scoring import scenarios
from recipe_mtlvae.text_table import text_table

NOT_MEASURED, NOT_KNOWN = "not measured", "not known"
CONVERGED = {True: "yes", False: "no: not converged", None: NOT_KNOWN}
Readings = dict[str, Callable[[ComparedSystem], str]]  # name of a quantity: function that writes a system's cell


@dataclass(frozen=True)
class CostRow:
    """One quantity of all systems."""

    name: str
    cells: tuple[str, ...]  # one per system


def cost_rows(systems: Sequence[ComparedSystem]) -> list[CostRow]:
    """Return the quantities that are known of any system, and always the energy. Cells hold the mean over runs."""
    dev_test = dev_test_of(systems)
    readings: Readings = {
        "Data": lambda system: system.runs[0].conf.data.name if system.runs[0].conf else NONE,
        "Classes": lambda system: str(len(next(iter(system.results.values())).per_class)),
        **{f"Clips scored, {split_title(systems, one).lower()}": partial(_coverage, one) for one in splits_of(systems)},
        "Epochs trained": _training("epochs"),
        "Epoch that is scored": _training("best_epoch"),
        "Validation score levelled off": lambda system: CONVERGED[system.converged],
        "Training steps": _training("steps"),
        "Clips seen in training": _training("clips_seen"),
        "Training time": _training("seconds", text=duration, missing=NOT_MEASURED),
        "Training speed": _training_speed,
        "Peak main memory in training": _training("peak_memory_bytes", text=gigabytes, missing=NOT_MEASURED),
        **{_energy_name(phase, dev_test): partial(phase_energy, phase) for phase in _phases(systems)},
        **_ew_psds(systems, dev_test),
        **_energy_to_reach(systems),
        f"Detection speed, {dev_test}": partial(_detection_speed, dev_test),
        "Parameters": _figure("parameters"),
        "Multiply-accumulates for 10\u00a0s": _figure("macs_10s", text=lambda macs: f"{macs / 1e9:.3g} G"),
    }
    rows = [CostRow(name, tuple(map(read, systems))) for name, read in readings.items()]
    empty = {NONE, NOT_MEASURED, NOT_KNOWN}
    return [row for row in rows if set(row.cells) - empty or row.name.startswith("Energy")]


def costs_text(rows: Sequence[CostRow], systems: Sequence[ComparedSystem]) -> str:
    """Return the rows as text for the terminal."""
    head = [["", *(system.name for system in systems)]] if len(systems) > 1 else []
    return text_table([*head, *([row.name, *row.cells] for row in rows)], "<")


def duration(seconds: float) -> str:
    """Format a duration: `1 h 5 min`, `2 min 3 s`, `4.2 s`."""
    if seconds < 60:
        return f"{seconds:.1f} s"
    if seconds < 3600:
        return f"{int(seconds // 60)} min {int(seconds % 60)} s"
    hours, minutes = divmod(round(seconds / 60), 60)
    return f"{hours} h {minutes} min"


def count(number: float) -> str:
    return f"{round(number):,}"


def gigabytes(number: float) -> str:
    return f"{number / 1e9:.2f} GB"


def kwh_text(kwh: float) -> str:
    """Format with three significant digits, without an exponent."""
    return np.format_float_positional(kwh, precision=3, fractional=False, trim="-")


def energy(entry: Mapping[str, Any]) -> str:
    """Format the kWh and how they were measured, or "not measured" and the reason; never 0 for an unknown energy."""
    kwh, how = entry.get("kwh"), entry.get("mode")
    if kwh is None:
        text, how = NOT_MEASURED, entry.get("reason")
    else:
        text = f"{kwh_text(kwh)} kWh"
    return text + (f" ({how})" if how else "")


def phase_energy(phase: str, system: ComparedSystem) -> str:
    """Format the energy of a phase: training, or detection on a split."""
    return energy({**(system.runs[0].energy.get(phase) or {}), "kwh": energy_use.mean_kwh(system, phase)})


def _phases(systems: Sequence[ComparedSystem]) -> list[str]:
    """Return the phases of energy.json: training, all test splits, and the evaluation set if it was measured."""
    runs = [run for system in systems for run in system.runs]
    tests = [split for run in runs if run.conf for split in of_role(run.conf.data.splits, "test")]
    return list(dict.fromkeys([TRAINING, *tests, *[EVALUATION] * any(EVALUATION in run.energy for run in runs)]))


def _energy_name(phase: str, dev_test: str) -> str:
    name = split_name(phase).lower()
    return f"Energy, dev-test ({name})" if phase == dev_test else f"Energy, {name}"


def _ew_psds(systems: Sequence[ComparedSystem], dev_test: str) -> Readings:
    baseline = energy_use.baseline_of(systems)
    if baseline is None or len(systems) < 2:
        return {}

    def text(phase: str, metric: str, system: ComparedSystem) -> str:
        value = energy_use.energy_weighted(system, baseline, phase, metric)
        return "not measured in the same way" if value is None else energy_use.with_network(system, f"{value:.3f}")

    def weight(phase: str) -> str:
        kwh = energy_use.mean_kwh(baseline, phase)
        return f", relative to {kwh_text(kwh)} kWh of {energy_use.with_network(baseline, baseline.name)}" if kwh else ""

    return {
        f"EW-{metric.short}, {title}{weight(phase)}": partial(text, phase, metric.key)
        for phase, title in ((TRAINING, TRAINING), (dev_test, "dev-test"))
        for metric in scenarios.METRICS
        if metric.is_psds
    }


def _energy_to_reach(systems: Sequence[ComparedSystem]) -> Readings:
    """Rows for the training energy until a selection score is reached: the best of the baseline, and the best of each
    system that stays below the baseline.

    Systems that have not converged are not compared: their scores may still rise.
    """
    baseline = energy_use.baseline_of(systems)
    score = energy_use.best_selection(baseline) if baseline else None
    if baseline is None or score is None or len(systems) < 2:
        return {}

    def text(goal: float, system: ComparedSystem) -> str:
        if not (system.ranked and baseline.ranked):
            return "not converged"
        alike = energy_use.measured_alike(system, baseline, TRAINING) and energy_use.selected_alike(system, baseline)
        if not alike:
            return "not measured in the same way"
        kwh, reference = energy_use.kwh_to_reach(system, goal), energy_use.kwh_to_reach(baseline, goal)
        if kwh is None or not reference:
            return "not reached"
        share = "" if system is baseline else f", {kwh / reference:.3g} of the baseline's"
        return f"{kwh_text(kwh)} kWh{share}"

    best = {one.name: energy_use.best_selection(one) or 0.0 for one in systems if one.ranked}
    goals = {"the baseline": score} | {name: own for name, own in best.items() if 0 < own < score}
    return {
        f"Energy to reach the selection score of {name}, {goal:.3f}": partial(text, goal)
        for name, goal in goals.items()
    }


def _figure(*keys: str, text: Callable[[float], str] = count, missing: str = NONE) -> Callable[[ComparedSystem], str]:
    """Return a function that formats a figure of model.json (Run.figure): the mean over a system's runs."""

    def read(system: ComparedSystem) -> str:
        values = [run.figure(*keys) for run in system.runs]
        return missing if None in values else text(float(np.mean(values)))

    return read


_training = partial(_figure, TRAINING)


def _coverage(split: str, system: ComparedSystem) -> str:
    result = system.results.get(split)
    if result is None or not result.expected:
        return NONE
    share = 100 * result.scored / result.expected
    return f"{result.scored:,} of {result.expected:,} ({share:.{0 if share == 100 else 1}f} %)"


def _training_speed(system: ComparedSystem) -> str:
    figures = [(run.figure(TRAINING, "clips_seen"), run.figure(TRAINING, "seconds")) for run in system.runs]
    speeds = [clips / seconds for clips, seconds in figures if clips and seconds]
    return f"{_rounded(speeds)} clips a second" if speeds else NOT_MEASURED


def _detection_speed(split: str, system: ComparedSystem) -> str:
    speeds = [speed for run in system.runs if (speed := run.figure("prediction", split, "times_real_time"))]
    return f"{_rounded(speeds)} times real time" if speeds else NOT_MEASURED


def _rounded(speeds: Sequence[float]) -> str:
    """Format the mean with three significant digits: `1,170`."""
    return f"{float(f'{np.mean(speeds):.3g}'):,g}"
