"""Which system is marked as better, and which has been trained long enough to be ranked."""

from __future__ import annotations

import numpy as np
import pytest

from recipe_mtlvae.report.comparison import compared, tables
from recipe_mtlvae.report.comparison.compared import ComparedSystem, Result
from recipe_mtlvae.report.comparison.convergence import levelled_off
from recipe_mtlvae.scoring.intervals import Resamples
from recipe_mtlvae.scoring.scenarios import metric_keys


def _system(name: str, values: np.ndarray, converged: bool | None = True) -> ComparedSystem:
    resamples = Resamples((), (), dict.fromkeys(metric_keys(), values), {})
    macro = dict.fromkeys(metric_keys(), float(values.mean()))
    result = Result(macro=macro, per_class={}, scored=1, expected=1, resamples=resamples)
    return ComparedSystem(name, (), {"validation": result}, converged)


def test_winner_needs_a_paired_interval_that_excludes_zero() -> None:
    draws = np.random.default_rng(0).normal(0.5, 0.05, size=500)  # common to both: a paired interval removes it
    better, worse = _system("better", draws + 0.02), _system("worse", draws)
    assert compared.winner([worse, better], "validation", "psds1") is better
    noisy = _system("noisy", draws + np.random.default_rng(1).normal(0.0, 0.05, size=500))
    assert compared.winner([noisy, better], "validation", "psds1") is None


def test_system_that_has_not_converged_is_never_ranked() -> None:
    draws = np.full(100, 0.5)
    best, second, third = (
        _system("best", draws + 0.2, converged=False),
        _system("second", draws + 0.1),
        _system("x", draws),
    )
    assert compared.winner([best, second, third], "validation", "psds1") is second
    assert compared.winner([best, second], "validation", "psds1") is None  # no converged system is left to compare with


def test_difference_to_a_system_that_has_not_converged_has_no_star() -> None:
    draws = np.full(100, 0.5)
    best, young, other = _system("a", draws + 0.2), _system("b", draws + 0.1, converged=False), _system("c", draws)
    (group,) = tables.difference_groups([best, young, other])
    assert [(row.note, row.cells[0].best) for row in group.rows] == [
        ("not converged: b", False),
        ("", True),
        ("not converged: b", False),
    ]


def test_systems_of_equal_figures_have_a_difference_of_zero() -> None:
    one, other = _system("a", np.full(100, 0.5)), _system("b", np.full(100, 0.5))
    (group,) = tables.difference_groups([one, other])
    assert [cell.text for cell in group.rows[0].cells] == ["+0.000"] * 2 + ["+0.0"] * 3


@pytest.mark.parametrize(
    ("selection", "expected"),
    [
        ([], None),
        ([0.1, 0.5], False),  # too few epochs to tell
        ([0.0] * 40, False),  # it has not begun to learn
        ([0.1, 0.2] + [0.0] * 38, False),
        ([0.114, 0.189, 0.146, 0.15, 0.15, 0.15, 0.15, 0.15], False),
        (list(np.linspace(0.1, 1.0, 40)), False),
        (list(1.0 - np.exp(-np.arange(60) / 8)), True),
        ([0.8, 0.82, 0.79, 0.81] * 5, True),
    ],
)
def test_a_selection_curve_that_has_levelled_off_is_recognised(selection: list[float], expected: bool | None) -> None:
    assert levelled_off(selection) is expected


def test_training_that_ended_by_its_patience_has_levelled_off() -> None:
    selection = [*np.linspace(0.1, 1.0, 40), *[0.95] * 20]
    assert levelled_off(selection) is False  # by the means of its last two quarters
    assert levelled_off(selection, patience=20) is True
    assert levelled_off(selection[:-1], patience=20) is False
