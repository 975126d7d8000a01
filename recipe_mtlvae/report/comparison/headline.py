"""The first lines of the page: how good the first system is, compared with which others, and at what energy."""

from __future__ import annotations

from collections.abc import Sequence

from recipe_mtlvae.conf_sections import TRAINING
from recipe_mtlvae.report.comparison.compared import ComparedSystem, Result, difference
from recipe_mtlvae.report.comparison.compared_splits import dev_test_of, split_name, split_title
from recipe_mtlvae.report.comparison.costs import phase_energy
from recipe_mtlvae.report.comparison.energy_use import share_of
from recipe_mtlvae.report.comparison.tables import NARROW, NEVER_DETECTED
from recipe_mtlvae.scoring import scenarios

WORST = 3  # classes that are named
SHOWN = [next(metric for metric in scenarios.METRICS if metric.percent is percent) for percent in (False, True)]
ALONE = "no other system was measured on these clips; published figures are in the table below, with the data of each"


def headline(systems: Sequence[ComparedSystem], split: str) -> list[tuple[str, list[str]]]:
    """Return (topic, lines) about the first system that was measured on `split`."""
    measured = [system for system in systems if split in system.results]
    first, result = measured[0], measured[0].results[split]
    where = f"{result.scored:,} of {result.expected:,} clips of {split_title(systems, split).lower()}"
    data = f", {first.runs[0].conf.data.name}" if first.runs[0].conf else ""
    parts = [
        ("Measured on", [f"{where}{data}; {len(result.per_class)} classes"]),
        ("How good" if len(systems) == 1 else f"How good is {first.name}", _figures(result)),
        ("Compared with", [_verdict(first, other, split) for other in measured[1:]] or [ALONE]),
        ("Energy", _energy(first, measured)),
        ("Where it fails", _failing(result)),
    ]
    return [(name, lines) for name, lines in parts if lines]


def _figures(result: Result) -> list[str]:
    lines = []
    for metric in SHOWN:
        if metric.key in result.macro:
            unit = "\u00a0%" if metric.percent else ""
            found = result.intervals.get(metric.key)
            spread = f", 95\u00a0% interval {metric.text(found.low)} to {metric.text(found.high)}" if found else ""
            mark = NARROW * bool(found and result.is_narrow(metric))
            lines.append(f"{metric.title}: {metric.text(result.macro[metric.key])}{unit}{spread}{mark}")
    return lines


def _verdict(first: ComparedSystem, other: ComparedSystem, split: str) -> str:
    """Say in which metrics the first system is better or worse than the other, by paired intervals."""
    better, worse, even, unlike = [], [], [], []
    for metric in scenarios.METRICS:
        found = difference(first.results[split], other.results[split], metric.key)
        if found is None or not found.alike:
            unlike.append(metric.short)
        elif not found.interval.excludes_zero:
            even.append(metric.short)
        else:
            (better if found.value > 0 else worse).append(metric.short)
    parts = [
        f"{word} in {', '.join(names)}"
        for word, names in (
            ("better", better),
            ("worse", worse),
            ("no clear difference", even),
            ("not comparable", unlike),
        )
        if names
    ]
    unconverged = [system.name for system in (first, other) if not system.ranked]
    return f"{other.name}: {'; '.join(parts)}" + f" (not converged: {' and '.join(unconverged)})" * bool(unconverged)


def _energy(first: ComparedSystem, measured: Sequence[ComparedSystem]) -> list[str]:
    trainings, shares = [first.runs[0].energy.get(TRAINING)], []
    for other in measured[1:]:
        share, training = share_of(first, other, TRAINING), other.runs[0].energy.get(TRAINING)
        if share is not None and training not in trainings:  # else this is another network of the same training
            trainings.append(training)
            shares.append(f", {share:.3g} times that of {other.name}")
    lines = [f"training: {phase_energy(TRAINING, first)}" + "".join(shares)]
    dev_test = dev_test_of(measured)
    if dev_test:
        lines.append(f"detection, {split_name(dev_test).lower()}: {phase_energy(dev_test, first)}")
    return lines


def _failing(result: Result) -> list[str]:
    lines = []
    for label in [label for label in result.worst_classes if label not in result.absent_classes][:WORST]:
        own = result.per_class[label]
        figures = ", ".join(f"{one.short} {one.text(own.get(one.key))}" + "\u00a0%" * one.percent for one in SHOWN)
        lines.append(f"{label}: {figures}" + NEVER_DETECTED * (label in result.undetected))
    return lines
