"""The page's tables, as rows that the HTML template and the terminal both print."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from recipe_mtlvae.products.runs import SPLITS, Published, Run

SPLIT_NAMES = {"validation": "Validation", "public": "Public evaluation", "evaluation": "Challenge evaluation"}
NOT_MEASURED = "not measured"
NONE = "-"


@dataclass(frozen=True)
class ScoreKind:
    """One figure of metrics.json and how it is printed."""

    key: str
    short: str
    name: str
    scale: float  # from metrics.json's 0 to 1 to what is printed
    decimals: int

    def text(self, value: float | None) -> str:
        return NONE if value is None else f"{self.scale * value:.{self.decimals}f}"


SCORE_KINDS = (
    ScoreKind("psds1", "PSDS1", "PSDS, scenario 1", 1.0, 3),
    ScoreKind("psds2", "PSDS2", "PSDS, scenario 2", 1.0, 3),
    ScoreKind("event_f1", "EB-F1 %", "event-based F1", 100.0, 1),
    ScoreKind("segment_f1", "SB-F1 %", "segment-based F1", 100.0, 1),
    ScoreKind("intersection_f1", "IB-F1 %", "intersection-based F1", 100.0, 1),
)


@dataclass(frozen=True)
class Cell:
    text: str
    value: float | None = None  # the exact figure, unrounded


@dataclass(frozen=True)
class ScoreRow:
    """One system on one split."""

    system: str
    note: str  # where the figures were measured
    own: bool  # measured here, not published elsewhere
    cells: tuple[Cell, ...]  # as SCORE_KINDS


@dataclass(frozen=True)
class ScoreGroup:
    title: str
    rows: tuple[ScoreRow, ...]


@dataclass(frozen=True)
class Fact:
    """One quantity, a cell a run."""

    name: str
    cells: tuple[str, ...]


def score_groups(runs: Sequence[Run], published: Sequence[Published]) -> list[ScoreGroup]:
    """The runs' scores and then the published ones, split by split."""
    groups = []
    for split in SPLITS:
        rows = [_own_row(run, split) for run in runs if split in run.metrics]
        rows += [_published_row(system, split, runs) for system in published if system.scores(split)]
        if rows:
            groups.append(ScoreGroup(SPLIT_NAMES[split], tuple(rows)))
    return groups


def published_groups(published: Sequence[Published]) -> list[ScoreGroup]:
    """All published figures with their sources, split by split."""
    return [
        ScoreGroup(SPLIT_NAMES[split], tuple(rows))
        for split in SPLITS
        if (
            rows := [
                _row(system.name, system.source, system.scores(split)) for system in published if system.scores(split)
            ]
        )
    ]


def class_rows(metrics: Mapping[str, Any]) -> tuple[ScoreRow, ...]:
    """One row a class, from a metrics.json; a class without truth has no figures."""
    return tuple(_row(name, "", scores) for name, scores in metrics.get("per_class", {}).items())


def facts(runs: Sequence[Run]) -> list[Fact]:
    """What the runs cost and cover: a row a quantity."""
    rows: list[tuple[str, Callable[[Run], str]]] = [
        ("Data", lambda run: run.conf.data.name if run.conf else NONE),
        ("Classes", lambda run: _count(len(run.model["classes"])) if "classes" in run.model else NONE),
    ]
    rows += [(f"Clips scored, {SPLIT_NAMES[split].lower()}", _coverage_of(split)) for split in SPLITS]
    rows += [
        ("Epochs trained", lambda run: _epochs(_training(run))),
        ("Training steps", lambda run: _count(_training(run).get("steps"))),
        ("Clips seen in training", lambda run: _count(_training(run).get("clips_seen"))),
        ("Training time", lambda run: duration(_training(run).get("seconds"))),
        ("Training speed", lambda run: _speed(_training(run))),
    ]
    phases = [
        "training",
        *(split for split in SPLIT_NAMES if any(split in run.energy for run in runs) or split in SPLITS),
    ]
    rows += [(f"Energy, {SPLIT_NAMES.get(phase, phase).lower()}", _energy_of(phase)) for phase in phases]
    rows += [
        ("Detection speed, validation", _real_time),
        ("Parameters", lambda run: _count(run.model.get("parameters"))),
        ("Multiply-accumulates for 10 s", lambda run: _macs(run.model.get("macs_10s"))),
    ]
    return [Fact(name, tuple(read(run) for run in runs)) for name, read in rows]


def published_note(published: Sequence[Published]) -> str:
    """Where the report stands beside the official baseline, since both are printed."""
    report = next((row for row in published if row.group == "report" and row.headline), None)
    baseline = next((row for row in published if row.group == "baseline" and row.headline), None)
    if not report or not baseline or not {"event_f1"} <= report.validation.keys() & baseline.validation.keys():
        return ""
    ours, theirs = report.validation["event_f1"], baseline.validation["event_f1"]
    order = "below" if ours < theirs else "not below"
    return (
        f"By the published figures, the report's system ({100 * ours:.1f} % event-based F1 on DESED validation) "
        f"is {order} the official 2022 baseline ({100 * theirs:.1f} %)."
    )


def as_text(groups: Sequence[ScoreGroup], fact_rows: Sequence[Fact], runs: Sequence[Run]) -> str:
    """The tables for a terminal."""
    width = max(len(row.system) for group in groups for row in group.rows) + 2
    lines = []
    for group in groups:
        lines.append(f"{group.title:<{width}}" + "".join(f"{kind.short:>9}" for kind in SCORE_KINDS))
        for row in group.rows:
            cells = "".join(f"{cell.text:>9}" for cell in row.cells)
            lines.append(f"{row.system:<{width}}{cells}" + (f"   {row.note}" if row.note else ""))
        lines.append("")
    width = max(len(fact.name) for fact in fact_rows) + 2
    if len(runs) > 1:
        lines.append(" " * width + "".join(f"{run.name:<26}" for run in runs))
    lines += [f"{fact.name:<{width}}" + "".join(f"{cell:<26}" for cell in fact.cells).rstrip() for fact in fact_rows]
    return "\n".join(lines)


def duration(seconds: float | None) -> str:
    """1 h 5 min, 2 min 3 s, 4.2 s"""
    if seconds is None:
        return NOT_MEASURED
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes = round(seconds / 60)
    return (
        f"{int(seconds // 60)} min {int(seconds % 60)} s" if seconds < 3600 else f"{minutes // 60} h {minutes % 60} min"
    )


def energy(entry: Mapping[str, Any]) -> str:
    """kWh and how it was measured; "not measured" and why where it was not, never 0."""
    kwh = entry.get("kwh")
    if kwh is None:
        return NOT_MEASURED + (f" ({entry['reason']})" if entry.get("reason") else "")
    return kwh_text(kwh) + " kWh" + (f" ({entry['mode']})" if entry.get("mode") else "")


def kwh_text(kwh: float) -> str:
    """Three significant digits, without an exponent."""
    return np.format_float_positional(kwh, precision=3, fractional=False, trim="-")


def _row(system: str, note: str, scores: Mapping[str, Any], own: bool = False) -> ScoreRow:
    cells = tuple(Cell(kind.text(scores.get(kind.key)), scores.get(kind.key)) for kind in SCORE_KINDS)
    return ScoreRow(system, note, own, cells)


def _own_row(run: Run, split: str) -> ScoreRow:
    note = f"measured here, on {run.conf.data.name}" if run.conf else "measured here"
    return _row(run.name, note, run.metrics[split], own=True)


def _published_row(system: Published, split: str, runs: Sequence[Run]) -> ScoreRow:
    same = all(run.conf and run.conf.data.name == system.data.lower() for run in runs)
    note = f"published, on its authors' copy of {system.data}" if same else f"published, on other data: {system.data}"
    return _row(system.name, note, system.scores(split))


def _training(run: Run) -> Mapping[str, Any]:
    return run.model.get("training") or {}


def _coverage_of(split: str) -> Callable[[Run], str]:
    def text(run: Run) -> str:
        coverage = run.metrics.get(split, {}).get("coverage")
        if not coverage:
            return NONE
        share = 100 * coverage["scored"] / coverage["expected"] if coverage["expected"] else 0.0
        return f"{coverage['scored']:,} of {coverage['expected']:,} ({share:.{0 if share == 100 else 1}f} %)"

    return text


def _energy_of(phase: str) -> Callable[[Run], str]:
    return lambda run: energy(run.energy.get(phase) or {})


def _epochs(training: Mapping[str, Any]) -> str:
    if training.get("epochs") is None:
        return NONE
    best = training.get("best_epoch")
    return _count(training["epochs"]) + (f" (the scores are epoch {best}'s)" if best is not None else "")


def _speed(training: Mapping[str, Any]) -> str:
    clips, seconds = training.get("clips_seen"), training.get("seconds")
    return f"{clips / seconds:.3g} clips a second" if clips and seconds else NOT_MEASURED


def _real_time(run: Run) -> str:
    factor = (run.model.get("prediction") or {}).get("validation", {}).get("times_real_time")
    return NOT_MEASURED if factor is None else f"{factor:.3g} times real time"


def _count(number: float | None) -> str:
    return NONE if number is None else f"{int(number):,}"


def _macs(number: float | None) -> str:
    return NONE if number is None else f"{number / 1e9:.3g} G"
