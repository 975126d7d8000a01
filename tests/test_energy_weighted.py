"""Energy-weighted PSDS: computed by hand, and given only for systems whose energy was measured alike."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from recipe_mtlvae.report.comparison import costs
from recipe_mtlvae.report.comparison.energy_use import energy_weighted
from recipe_mtlvae.scoring.energy import ew_psds
from tests.simulated import opened, simulated_run
from tests.tiny import tiny_conf

pytestmark = pytest.mark.usefixtures("few_resamples")


def test_ew_psds_by_hand():
    # half the baseline's energy doubles the score
    assert ew_psds(0.3, kwh_baseline=2.0, kwh_submission=1.0) == pytest.approx(0.6)


def test_ew_psds_of_no_energy_is_refused():
    with pytest.raises(ValueError, match=r"above 0 kWh, got 1\.0 and 0\.0"):
        ew_psds(0.3, kwh_baseline=1.0, kwh_submission=0.0)


def measured_run(
    folder: Path, kwh: float | None, machine: str = "m", version: str = "3.3", mode: str = "CPU measured"
) -> Path:
    simulated_run(folder)
    entry = {"kwh": kwh, "machine": machine, "codecarbon": version, "mode": mode}
    (folder / "energy.json").write_text(json.dumps({"training": entry}))
    return folder


def test_energy_weighted_psds_by_hand(tmp_path: Path) -> None:
    ours, baseline = opened(("ours", measured_run(tmp_path / "a", 0.5)), ("base", measured_run(tmp_path / "b", 2.0)))
    expected = ours.results["validation"].macro["psds1"] * 2.0 / 0.5
    assert energy_weighted(ours, baseline, "training", "psds1") == pytest.approx(expected)


def test_energy_weighted_psds_names_the_baseline_its_energy_and_the_networks(tmp_path: Path) -> None:
    baseline = measured_run(tmp_path / "b", 2.0)
    shutil.copytree(baseline, baseline / "teacher")
    folders = (
        ("ours", measured_run(tmp_path / "a", 0.5)),
        ("base", baseline),
        ("base, teacher", baseline / "teacher"),
    )
    ours, student, teacher = (
        replace(one, runs=tuple(replace(run, conf=conf) for run in one.runs))
        for one, conf in zip(opened(*folders), (tiny_conf(), *[tiny_conf("system=mean_teacher")] * 2), strict=True)
    )
    row = next(row for row in costs.cost_rows([ours, student, teacher]) if row.name.startswith("EW-PSDS1, training"))
    assert row.name == "EW-PSDS1, training, relative to 2 kWh of base (student)"
    assert [cell.partition(" ")[2] for cell in row.cells] == ["", "(student)", "(teacher)"]


@pytest.mark.parametrize(
    "other",
    [
        {"kwh": 2.0, "machine": "another"},
        {"kwh": 2.0, "version": "3.2"},
        {"kwh": None},
        {"kwh": 2.0, "mode": "CPU measured, GPU not measured"},
    ],
    ids=str,
)
def test_psds_is_weighted_only_if_the_energies_were_measured_alike(tmp_path: Path, other: dict) -> None:
    ours, baseline = opened(("ours", measured_run(tmp_path / "a", 0.5)), ("b", measured_run(tmp_path / "b", **other)))
    assert energy_weighted(ours, baseline, "training", "psds1") is None


def test_psds_is_not_weighted_by_the_energy_of_a_training_on_two_machines(tmp_path: Path) -> None:
    a, b = (measured_run(tmp_path / name, 1.0, machine="m + n") for name in "ab")
    ours, baseline = opened(("ours", a), ("baseline", b))
    assert energy_weighted(ours, baseline, "training", "psds1") is None
