"""Time several ways of doing the same work in turns; medians, ratios, and lines of the table."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch

from tests.benchmarks.energy import Energy, energy_of


@dataclass(frozen=True)
class Way:
    """One way of doing a piece of work."""

    run: Callable[[], object]
    amount: float = 1.0  # work done by one run, in the line's unit: clips, seconds of audio


@dataclass(frozen=True)
class Goal:
    """A goal of a line."""

    kind: str  # ratio: times the baseline's way | share: of the bound | value: in the line's unit
    limit: float


@dataclass(frozen=True)
class Line:
    """A line of the table: the figures of all rounds, in `unit`. Round i of every way was timed side by side."""

    name: str
    unit: str
    ours: tuple[float, ...]
    baseline: tuple[float, ...] = ()
    bound: tuple[float, ...] = ()
    bound_name: str = ""
    goals: tuple[Goal, ...] = ()
    less_is_better: bool = False
    note: str = ""
    energy: Energy | None = None  # of ours
    baseline_energy: Energy | None = None

    @property
    def ratio(self) -> float | None:
        """How many times better ours is than the baseline's way."""
        return self._better_than(self.baseline)

    @property
    def share(self) -> float | None:
        """The share of the machine's bound that ours reaches."""
        return self._better_than(self.bound)

    def reached(self, goal: Goal) -> bool | None:
        """Return whether the goal was reached; None if there is nothing to compare with."""
        if goal.kind == "value":
            value = statistics.median(self.ours)
            return value <= goal.limit if self.less_is_better else value >= goal.limit
        value = {"ratio": self.ratio, "share": self.share}[goal.kind]
        return None if value is None else value >= goal.limit

    def _better_than(self, others: Sequence[float]) -> float | None:
        if not others:
            return None
        return median_ratio(others, self.ours) if self.less_is_better else median_ratio(self.ours, others)


def median_ratio(above: Sequence[float], below: Sequence[float]) -> float:
    """Return the median of the ratios per round: whatever slows a round down slows both ways alike."""
    return statistics.median(a / b for a, b in zip(above, below, strict=True))


def interleaved(runs: Mapping[str, Callable[[], object]], rounds: int) -> dict[str, tuple[float, ...]]:
    """Return the seconds of each run in each round. The runs take turns; a first round is not counted."""
    seconds: dict[str, list[float]] = {name: [] for name in runs}
    for number in range(rounds + 1):
        for name, run in runs.items():
            started = time.perf_counter()
            run()
            if torch.get_default_device().type == "cuda":
                torch.cuda.synchronize()  # otherwise only the launch of the kernels would be timed
            if number:
                seconds[name].append(time.perf_counter() - started)
    return {name: tuple(values) for name, values in seconds.items()}


def race(
    name: str,
    unit: str,
    ours: Way,
    baseline: Way | None = None,
    bound: Way | None = None,
    *,
    rounds: int,
    energy: bool = True,
    **line: Any,
) -> Line:
    """Time ways of doing the same work in turns, and return their speed as amount per second.

    Ours and the baseline's way then run once more to measure their energy. `line` holds other fields of the Line. With
    less_is_better, the figures are seconds per unit of the amount instead.
    """
    ways = {key: way for key, way in {"ours": ours, "baseline": baseline, "bound": bound}.items() if way is not None}
    inverse = line.get("less_is_better", False)
    figures = {
        key: tuple(taken / ways[key].amount if inverse else ways[key].amount / taken for taken in seconds)
        for key, seconds in interleaved({key: way.run for key, way in ways.items()}, rounds).items()
    }
    kwh = {key: energy_of(way.run, way.amount) for key, way in ways.items() if energy and key != "bound"}
    return Line(name, unit, **figures, energy=kwh.get("ours"), baseline_energy=kwh.get("baseline"), **line)
