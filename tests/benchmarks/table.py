"""Format lines as a Markdown table and as JSON."""

from __future__ import annotations

import dataclasses
import statistics
from collections.abc import Sequence
from typing import Any

from tests.benchmarks.energy import Energy
from tests.benchmarks.timing import Goal, Line

COLUMNS = ("", "ours", "baseline's way", "ratio", "bound", "of it", "goal", "kWh, ours", "kWh, baseline's way")


def header() -> str:
    return _row(COLUMNS) + "\n" + _row(("---",) + ("---:",) * (len(COLUMNS) - 1))


def row(line: Line) -> str:
    """Return a row of medians; the lowest and the highest round of ours stand in brackets."""
    return _row(_cells(line))


def notes(lines: Sequence[Line]) -> str:
    """Return the notes that stand below the table."""
    said = [f"- {line.name}: {line.note}" for line in lines if line.note]
    ways = dict.fromkeys(e.how for line in lines for e in (line.energy, line.baseline_energy) if e)
    return "\n".join([*said, *(f"- kWh of one unit, by codecarbon: {way}" for way in ways)])


def as_dict(line: Line) -> dict[str, Any]:
    """Return the figures of all rounds, their medians and ratios, and which goals were reached."""
    goals = [{**dataclasses.asdict(goal), "reached": line.reached(goal)} for goal in line.goals]
    medians = {name: _median(getattr(line, name)) for name in ("ours", "baseline", "bound")}
    return {**dataclasses.asdict(line), "median": medians, "ratio": line.ratio, "share": line.share, "goals": goals}


def number(value: float) -> str:
    """Format with three significant digits; from 100 to a million, as a whole number."""
    if abs(value) >= 1e6 or 0 < abs(value) < 1e-3:
        return f"{value:.2e}"
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"


def _row(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cells) + " |"


def _cells(line: Line) -> tuple[str, ...]:
    ours = f"{number(statistics.median(line.ours))} [{number(min(line.ours))}, {number(max(line.ours))}]"
    bound = f"{number(statistics.median(line.bound))} ({line.bound_name})" if line.bound else ""
    return (
        f"{line.name}, {line.unit}",
        ours,
        number(statistics.median(line.baseline)) if line.baseline else "",
        "" if line.ratio is None else f"{number(line.ratio)} x",
        bound,
        "" if line.share is None else f"{100 * line.share:.0f} %",
        "; ".join(_goal(line, goal) for goal in line.goals),
        _kwh(line.energy),
        _kwh(line.baseline_energy),
    )


def _goal(line: Line, goal: Goal) -> str:
    sign = "<=" if goal.kind == "value" and line.less_is_better else ">="
    limit = {"ratio": f"{goal.limit:g} x", "share": f"{100 * goal.limit:.0f} %", "value": number(goal.limit)}[goal.kind]
    return f"{sign} {limit}: " + {True: "yes", False: "**no**", None: "not measured"}[line.reached(goal)]


def _kwh(energy: Energy | None) -> str:
    if energy is None:
        return ""
    return "not measured" if energy.kwh is None else f"{energy.kwh:.2e}"


def _median(values: Sequence[float]) -> float | None:
    return statistics.median(values) if values else None
