"""Stage 5: what it takes from the baseline that was trained beside the run."""

import json
from pathlib import Path

import pytest

from local.stage import Stage
from local.submit import with_baseline_energy
from tests.tiny import make_tiny_corpus, tiny_conf


@pytest.fixture
def stage(tmp_path) -> Stage:
    conf = tiny_conf()
    return Stage(5, conf, make_tiny_corpus(tmp_path / "corpus", conf, stores=False), tmp_path / "exp" / "run")


def write_energy(folder: Path, **phases: dict) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "energy.json").write_text(json.dumps(phases))


def entry(kwh: float, machine: str = "here") -> dict:
    return {"kwh": kwh, "machine": machine, "codecarbon": "3.3.2"}


def test_the_baselines_energy_is_filled_in_where_it_was_measured_alike(stage):
    write_energy(stage.run_dir, validation=entry(1.0), evaluation=entry(2.0))
    write_energy(stage.run_dir.with_name("run-baseline"), validation=entry(30.0), evaluation=entry(40.0, "elsewhere"))
    energy = with_baseline_energy(stage).energy
    assert (energy.baseline_devtest_kwh, energy.baseline_eval_kwh) == (30.0, None)


def test_a_configured_figure_stays(stage, tmp_path):
    write_energy(stage.run_dir, validation=entry(1.0))
    write_energy(stage.run_dir.with_name("run-baseline"), validation=entry(30.0))
    given = Stage(5, tiny_conf("energy.baseline_devtest_kwh=7.0"), stage.root, stage.run_dir)
    assert with_baseline_energy(given).energy.baseline_devtest_kwh == 7.0


def test_without_a_baseline_nothing_is_filled_in(stage):
    write_energy(stage.run_dir, validation=entry(1.0))
    assert with_baseline_energy(stage).energy.baseline_devtest_kwh is None
