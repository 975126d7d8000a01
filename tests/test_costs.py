"""What a system costs: the energy to reach the baseline, computed by hand, and how energy and time are written."""

import math
from pathlib import Path

import pytest

from recipe_mtlvae.report.comparison import costs
from recipe_mtlvae.report.comparison.compared import ComparedSystem, Result
from recipe_mtlvae.report.comparison.costs import cost_rows
from recipe_mtlvae.report.comparison.energy_use import best_selection, kwh_to_reach
from recipe_mtlvae.report.runs import Run
from recipe_mtlvae.scoring.scenarios import metric_keys
from tests.tiny import tiny_conf

MEASURED = {"machine": "m", "codecarbon": "3.3"}


def system(name: str, kwh: float | None, selection: list[float], seconds: list[float], **other) -> ComparedSystem:
    settings = ["system=mean_teacher"] if name == "baseline" else []
    conf = tiny_conf(*settings, *other.get("settings", []))
    energy = {"training": {"kwh": kwh, **MEASURED, **other.get("energy", {})}}
    run = Run(name, Path(name), conf, {}, {}, {"val/selection": selection, "seconds": seconds}, energy, {}, ())
    result = Result(macro=dict.fromkeys(metric_keys(), 0.5), per_class={"Beep": {}}, scored=1, expected=1)
    return ComparedSystem(name, (run,), {"other": result}, other.get("converged", True))


BASELINE = system("baseline", 2.0, [0.5, 1.0, 0.9, 0.8], [10.0] * 4)  # its best after half of 2 kWh
OURS = system("ours", 0.4, [0.9, 1.1, 1.0], [20.0, 10.0, 10.0])  # past 1.0 after 30 of 40 s


def row(*systems: ComparedSystem) -> tuple[str, ...] | None:
    found = [fact for fact in cost_rows(systems) if fact.name.startswith("Energy to reach")]
    return found[0].cells if found else None


def test_energy_up_to_the_first_epoch_that_is_as_good_as_the_baselines_best():
    assert best_selection(BASELINE) == 1.0
    assert kwh_to_reach(BASELINE, 1.0) == pytest.approx(1.0)
    assert kwh_to_reach(OURS, 1.0) == pytest.approx(0.3)
    assert row(OURS, BASELINE) == ("0.3 kWh, 0.3 of the baseline's", "1 kWh")


def test_a_training_that_logged_no_selection_score_has_no_best():
    assert best_selection(system("baseline", 2.0, [math.nan, math.nan], [1.0, 1.0])) is None
    assert best_selection(system("baseline", 2.0, [math.nan, 0.5], [1.0, 1.0])) == 0.5


def test_a_system_that_never_reaches_the_baseline_has_no_such_energy():
    worse = system("ours", 0.4, [0.2, 0.9], [1.0, 1.0])
    assert kwh_to_reach(worse, 1.0) is None
    assert row(worse, BASELINE) == ("not reached", "1 kWh")


def test_the_baselines_energy_to_reach_a_worse_system_is_given_too():
    """The baseline reaches 0.5 in the first of four epochs, 2 kWh in all; ours in the second of two, 0.4 kWh in all."""
    worse = system("ours", 0.4, [0.2, 0.5], [1.0, 1.0])
    cells = {fact.name: fact.cells for fact in cost_rows([worse, BASELINE]) if fact.name.startswith("Energy to reach")}
    assert cells == {
        "Energy to reach the selection score of the baseline, 1.000": ("not reached", "1 kWh"),
        "Energy to reach the selection score of ours, 0.500": ("0.4 kWh, 0.8 of the baseline's", "0.5 kWh"),
    }


def test_systems_that_have_not_converged_are_marked_and_have_no_energy():
    young = system("ours", 0.4, [1.1], [1.0], converged=False)
    assert row(young, BASELINE) == ("not converged", "1 kWh")
    half = system("baseline", 2.0, [0.1], [10.0], converged=False)
    assert row(OURS, half) == ("not converged", "not converged")


@pytest.mark.parametrize(
    "other",
    [{"energy": {"machine": "another"}}, {"energy": {"kwh": None}}, {"settings": ["data.name=others"]}],
    ids=["machine", "unmeasured", "data"],
)
def test_energies_are_compared_only_if_they_were_measured_alike(other):
    assert row(system("ours", 0.4, [1.1], [1.0], **other), BASELINE)[0] == "not measured in the same way"


def test_without_a_baseline_there_is_no_energy_to_reach_it():
    assert row(OURS, OURS) is None


@pytest.mark.parametrize(("speeds", "shown"), [([1168.2], "1,170"), ([204.0, 206.0], "205"), ([4.267], "4.27")])
def test_a_speed_is_the_mean_over_the_runs_with_three_significant_digits(speeds, shown):
    assert costs._rounded(speeds) == shown


def test_unmeasured_energy_is_shown_as_such_and_never_as_zero():
    assert costs.energy({"kwh": None, "reason": "codecarbon is not installed"}).startswith("not measured (codecarbon")
    assert costs.energy({}) == "not measured"
    assert costs.energy({"kwh": 0.00001234, "mode": "CPU measured"}) == "0.0000123 kWh (CPU measured)"


@pytest.mark.parametrize(("seconds", "text"), [(4.21, "4.2 s"), (125.9, "2 min 5 s"), (3900, "1 h 5 min")])
def test_duration_is_readable(seconds, text):
    assert costs.duration(seconds) == text
