"""The energy of a phase: what is measured, written and added up, and the arguments that codecarbon gets."""

from __future__ import annotations

import sys
import types
from dataclasses import replace
from typing import ClassVar

import pytest

from recipe_mtlvae.scoring import energy
from recipe_mtlvae.scoring.energy import measured
from tests.fake_tracker import CONF, CPU, FIGURES, RAM, FakeTracker, read


def test_energy_by_component_mode_and_version_are_written(tracker, energy_file):
    with measured(energy_file, "validation", CONF):
        pass
    entry = read(energy_file)["validation"]
    assert (entry["kwh"], entry["cpu_kwh"], entry["gpu_kwh"], entry["ram_kwh"]) == (3.0, 1.0, 0.0, 2.0)
    assert entry["mode"] == "CPU estimated (cpu_load), RAM estimated"
    assert (entry["codecarbon"], entry["cpu_model"]) == ("9.9", "Abacus")
    assert 0 <= entry["seconds"] < 5


def test_a_cpu_with_an_energy_counter_is_reported_as_measured(tracker, energy_file, monkeypatch):
    monkeypatch.setattr(FakeTracker, "hardware", (CPU("intel_rapl"), RAM()))
    with measured(energy_file, "validation", CONF):
        pass
    assert read(energy_file)["validation"]["mode"] == "CPU measured (intel_rapl), RAM estimated"


class Cuda:
    """A stand-in for torch.cuda in a process that sees the driver's devices 3 and 1."""

    uuids = ("uuid-c", "uuid-a")

    def is_available(self) -> bool:
        return True

    def device_count(self) -> int:
        return 2

    def get_device_properties(self, index: int) -> types.SimpleNamespace:
        return types.SimpleNamespace(uuid=self.uuids[index])


def test_the_gpus_that_the_process_sees_are_measured_and_no_others(tracker, energy_file, monkeypatch):
    indices = {"GPU-uuid-c": 3, "GPU-uuid-a": 1}
    driver = types.SimpleNamespace(
        nvmlInit=lambda: None, nvmlDeviceGetHandleByUUID=lambda uuid: uuid, nvmlDeviceGetIndex=indices.get
    )
    monkeypatch.setitem(sys.modules, "pynvml", driver)
    monkeypatch.setitem(sys.modules, "torch", types.SimpleNamespace(cuda=Cuda()))
    with measured(energy_file, "training", CONF):
        pass
    assert FakeTracker.arguments["gpu_ids"] == [3, 1]


def test_a_gpu_that_codecarbon_does_not_find_is_reported_as_not_measured(tracker, energy_file, monkeypatch):
    monkeypatch.setitem(sys.modules, "pynvml", None)
    monkeypatch.setitem(sys.modules, "torch", types.SimpleNamespace(cuda=Cuda()))
    with measured(energy_file, "training", CONF):
        pass
    assert FakeTracker.arguments["gpu_ids"] is None
    assert read(energy_file)["training"]["mode"].startswith("CPU estimated (cpu_load), GPU not measured")


def test_the_country_of_the_configuration_reaches_the_offline_tracker(tracker, energy_file):
    with measured(energy_file, "training", replace(CONF, country_iso_code="JPN")):
        pass
    assert FakeTracker.arguments["country_iso_code"] == "JPN"
    assert FakeTracker.arguments["allow_multiple_runs"] is True
    assert FakeTracker.arguments["save_to_file"] is False


def test_phases_are_kept_apart_and_a_repeated_prediction_replaces_its_energy(tracker, energy_file):
    for phase in ("training", "validation", "public", "public"):
        with measured(energy_file, phase, CONF):
            pass
    assert {phase: entry["kwh"] for phase, entry in read(energy_file).items()} == {
        "training": 3.0,
        "validation": 3.0,
        "public": 3.0,
    }


def test_the_energies_of_a_resumed_training_are_added_up(tracker, energy_file):
    for _ in range(3):
        with measured(energy_file, "training", CONF):
            pass
    entry = read(energy_file)["training"]
    assert (entry["kwh"], entry["ram_kwh"]) == (9.0, 6.0)
    assert entry["codecarbon"] == "9.9"


def test_exceptions_of_the_block_pass_through_and_its_energy_is_kept(tracker, energy_file):
    problem = KeyError("of the block")
    with pytest.raises(KeyError) as caught, measured(energy_file, "training", CONF):
        raise problem
    assert caught.value is problem
    assert read(energy_file)["training"]["kwh"] == 3.0


def test_energy_so_far_is_saved_while_the_phase_runs(tracker, energy_file):
    with measured(energy_file, "training", CONF):
        (output,) = FakeTracker.arguments["output_handlers"]
        output.live_out(types.SimpleNamespace(**{**FIGURES, "energy_consumed": 1.0}), None)
        assert read(energy_file)["training"]["kwh"] == 1.0
    assert read(energy_file)["training"]["kwh"] == 3.0


class Recorded(FakeTracker):
    """A tracker that also gives its figures as a row of its CSV."""

    row: ClassVar[dict] = {"run_id": "one", "energy_consumed": 3.0, "latitude": float("nan")}

    def stop(self) -> None:
        self.final_emissions_data = types.SimpleNamespace(**FIGURES, values=self.row)


def test_a_resumed_training_keeps_a_record_per_part_and_a_repeated_prediction_only_one(tracker, energy_file):
    tracker(Recorded)
    for phase in ("training", "validation") * 2:
        with measured(energy_file, phase, CONF):
            pass
    row = {"run_id": "one", "energy_consumed": 3.0, "latitude": None}
    assert {phase: entry["records"] for phase, entry in read(energy_file).items()} == {
        "training": [row, row],
        "validation": [row],
    }


def test_the_figures_of_codecarbon_itself_are_read(energy_file, monkeypatch, capfd):
    pytest.importorskip("codecarbon")
    monkeypatch.setattr(energy, "node_begun", lambda: 0)
    with measured(energy_file, "training", CONF):
        sum(i * i for i in range(300_000))
    entry = read(energy_file)["training"]
    assert entry["kwh"] > 0
    assert entry["kwh"] == pytest.approx(entry["cpu_kwh"] + entry["gpu_kwh"] + entry["ram_kwh"])
    assert entry["mode"].startswith("CPU ")
    assert [record["energy_consumed"] for record in entry["records"]] == [entry["kwh"]]
    assert "codecarbon" not in capfd.readouterr().err
