"""comparison.json: the figures of the page for other programs."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations
from typing import Any

from recipe_mtlvae.report.comparison.compared import ComparedSystem, Difference, difference, winner
from recipe_mtlvae.report.comparison.compared_splits import is_selection, splits_of
from recipe_mtlvae.scoring.scenarios import metric_keys


def comparison(systems: Sequence[ComparedSystem]) -> dict[str, Any]:
    """Return, by split, the scores with intervals, the paired differences and the winners."""
    content: dict[str, Any] = {}
    for split in splits_of(systems):
        measured = [system for system in systems if split in system.results]
        names = metric_keys()
        winners = {name: winner(measured, split, name) for name in names}
        content[split] = {
            "role": "select" if is_selection(systems, split) else "test",
            "clip_list_hash": measured[0].results[split].clip_list_hash,
            "versions": measured[0].results[split].versions,
            "systems": {system.name: _system_entry(system, split) for system in measured},
            "differences": [
                {"a": a.name, "b": b.name}
                | {name: _difference_entry(difference(a.results[split], b.results[split], name)) for name in names}
                for a, b in combinations(measured, 2)
            ],
            "better_than_all_others": {name: best and best.name for name, best in winners.items()},
        }
    return content


def _system_entry(system: ComparedSystem, split: str) -> dict[str, Any]:
    result = system.results[split]
    return {
        **result.macro,
        "intervals": {name: [found.low, found.high] for name, found in result.intervals.items()},
        "standard_deviation": result.deviation,
        "runs": result.runs,
        "converged": system.converged,
        "coverage": {"scored": result.scored, "expected": result.expected},
        "per_class": result.per_class,
    }


def _difference_entry(found: Difference | None) -> dict[str, Any] | None:
    return found and {"value": found.value, "interval": [found.interval.low, found.interval.high]}
