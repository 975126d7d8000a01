from __future__ import annotations

import json
import re
import sys
import types
from dataclasses import replace
from typing import ClassVar

import pytest

from recipe_mtlvae.conf_sections import EnergyConf
from recipe_mtlvae.scoring import energy
from recipe_mtlvae.scoring.energy import ew_psds, joined, measured

CONF = EnergyConf(country_iso_code="FRA", baseline_devtest_kwh=None, baseline_eval_kwh=None, baseline_training_kwh=None)
FIGURES = {
    "energy_consumed": 3.0,
    "cpu_energy": 1.0,
    "gpu_energy": 0.0,
    "ram_energy": 2.0,
    "codecarbon_version": "9.9",
    "cpu_model": "Abacus",
    "cpu_count": 2,
    "gpu_model": "",
}


class CPU:
    def __init__(self, mode: str) -> None:
        self._mode = mode


class RAM: ...


class FakeTracker:
    """codecarbon's interface as far as it is used; 3 kWh in every phase."""

    hardware = (CPU("cpu_load"), RAM())
    arguments: ClassVar[dict] = {}

    def __init__(self, **arguments) -> None:
        FakeTracker.arguments = arguments
        self._hardware = list(self.hardware)

    def start(self) -> None:
        self._start_time = 1.0

    def stop(self) -> None:
        self.final_emissions_data = types.SimpleNamespace(**FIGURES)


@pytest.fixture
def tracker(monkeypatch):
    for name in ("RANK", "LOCAL_RANK", "NODE_RANK", "GROUP_RANK", "SLURM_PROCID", "SLURM_LOCALID", "SLURM_NODEID"):
        monkeypatch.delenv(name, raising=False)

    def install(cls: type = FakeTracker) -> None:
        monkeypatch.setitem(sys.modules, "codecarbon", types.SimpleNamespace(OfflineEmissionsTracker=cls))

    install()
    return install


@pytest.fixture
def file(tmp_path):
    return tmp_path / "run" / "energy.json"


def read(file) -> dict:
    return json.loads(file.read_text())


def test_figures_split_mode_and_version_are_written(tracker, file):
    with measured(file, "validation", CONF):
        pass
    entry = read(file)["validation"]
    assert (entry["kwh"], entry["cpu_kwh"], entry["gpu_kwh"], entry["ram_kwh"]) == (3.0, 1.0, 0.0, 2.0)
    assert entry["mode"] == "CPU estimated (cpu_load), RAM estimated"
    assert (entry["codecarbon"], entry["cpu_model"]) == ("9.9", "Abacus")
    assert 0 <= entry["seconds"] < 5


def test_a_cpu_with_a_counter_is_called_measured(tracker, file, monkeypatch):
    monkeypatch.setattr(FakeTracker, "hardware", (CPU("intel_rapl"), RAM()))
    with measured(file, "validation", CONF):
        pass
    assert read(file)["validation"]["mode"] == "CPU measured (intel_rapl), RAM estimated"


class Cuda:
    """torch.cuda of a process that sees the driver's devices 3 and 1."""

    uuids = ("uuid-c", "uuid-a")

    def is_available(self) -> bool:
        return True

    def device_count(self) -> int:
        return 2

    def get_device_properties(self, index: int) -> types.SimpleNamespace:
        return types.SimpleNamespace(uuid=self.uuids[index])


def test_the_gpus_that_the_process_sees_are_measured_and_no_others(tracker, file, monkeypatch):
    indices = {"GPU-uuid-c": 3, "GPU-uuid-a": 1}
    driver = types.SimpleNamespace(
        nvmlInit=lambda: None, nvmlDeviceGetHandleByUUID=lambda uuid: uuid, nvmlDeviceGetIndex=indices.get
    )
    monkeypatch.setitem(sys.modules, "pynvml", driver)
    monkeypatch.setitem(sys.modules, "torch", types.SimpleNamespace(cuda=Cuda()))
    with measured(file, "training", CONF):
        pass
    assert FakeTracker.arguments["gpu_ids"] == [3, 1]


def test_a_gpu_that_codecarbon_does_not_find_is_said_not_to_be_measured(tracker, file, monkeypatch):
    monkeypatch.setitem(sys.modules, "pynvml", None)
    monkeypatch.setitem(sys.modules, "torch", types.SimpleNamespace(cuda=Cuda()))
    with measured(file, "training", CONF):
        pass
    assert FakeTracker.arguments["gpu_ids"] is None
    assert read(file)["training"]["mode"].startswith("CPU estimated (cpu_load), GPU not measured")


def test_the_country_of_the_configuration_reaches_the_offline_tracker(tracker, file):
    with measured(file, "training", replace(CONF, country_iso_code="JPN")):
        pass
    assert FakeTracker.arguments["country_iso_code"] == "JPN"
    assert FakeTracker.arguments["allow_multiple_runs"] is True
    assert FakeTracker.arguments["save_to_file"] is False


def test_phases_stand_side_by_side_and_a_repeated_prediction_replaces(tracker, file):
    for phase in ("training", "validation", "public", "public"):
        with measured(file, phase, CONF):
            pass
    assert {phase: entry["kwh"] for phase, entry in read(file).items()} == {
        "training": 3.0,
        "validation": 3.0,
        "public": 3.0,
    }


def test_resumed_training_adds_up(tracker, file):
    for _ in range(3):
        with measured(file, "training", CONF):
            pass
    entry = read(file)["training"]
    assert (entry["kwh"], entry["ram_kwh"]) == (9.0, 6.0)
    assert entry["codecarbon"] == "9.9"


def test_training_resumed_without_a_tracker_is_of_unknown_energy(tracker, file, monkeypatch, capsys):
    with measured(file, "training", CONF):
        pass
    monkeypatch.setitem(sys.modules, "codecarbon", None)
    with measured(file, "training", CONF):
        pass
    entry = read(file)["training"]
    assert entry["kwh"] is None
    assert entry["reason"] == "codecarbon is not installed"


def test_missing_codecarbon_is_one_warning_and_null(tracker, file, monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "codecarbon", None)
    with measured(file, "public", CONF):
        pass
    entry = read(file)["public"]
    assert (entry["kwh"], entry["reason"]) == (None, "codecarbon is not installed")
    assert capsys.readouterr().err == "warning: the energy of public is not measured: codecarbon is not installed\n"


class NoConstructor(FakeTracker):
    def __init__(self, **arguments) -> None:
        raise PermissionError("no access to counters")


class HalfAnObject(FakeTracker):
    def start(self) -> None: ...  # swallowed its exception


class NoStop(FakeTracker):
    def stop(self) -> None:
        raise OSError("the counters went away")


class NoResult(FakeTracker):
    def stop(self) -> None: ...


@pytest.mark.parametrize(
    ("broken", "reason"),
    [
        (NoConstructor, "PermissionError: no access to counters"),
        (HalfAnObject, "codecarbon's tracker did not start"),
        (NoStop, "OSError: the counters went away"),
        (NoResult, r"codecarbon gave no figures \(energy.country_iso_code: FRA\)"),
    ],
)
def test_a_broken_tracker_warns_and_the_run_goes_on(tracker, file, capsys, broken, reason):
    tracker(broken)
    done = False
    with measured(file, "public", CONF):
        done = True
    warning = capsys.readouterr().err
    assert done
    assert warning.count("\n") == 1
    assert pytest.approx(0, abs=5) == read(file)["public"]["seconds"]
    assert read(file)["public"]["kwh"] is None
    assert re.search(reason, read(file)["public"]["reason"])
    assert re.search(reason, warning)


def test_exceptions_of_the_block_pass_through_and_its_energy_is_kept(tracker, file):
    problem = KeyError("of the block")
    with pytest.raises(KeyError) as caught, measured(file, "training", CONF):
        raise problem
    assert caught.value is problem
    assert read(file)["training"]["kwh"] == 3.0


def test_exceptions_of_the_block_pass_through_a_broken_tracker(tracker, file):
    tracker(NoStop)
    with pytest.raises(KeyboardInterrupt), measured(file, "training", CONF):
        raise KeyboardInterrupt


def test_energy_so_far_is_saved_while_the_phase_runs(tracker, file):
    with measured(file, "training", CONF):
        (output,) = FakeTracker.arguments["output_handlers"]
        output.live_out(types.SimpleNamespace(**{**FIGURES, "energy_consumed": 1.0}), None)
        assert read(file)["training"]["kwh"] == 1.0
    assert read(file)["training"]["kwh"] == 3.0


def test_an_unwritable_file_does_not_end_the_run(tracker, tmp_path, capsys):
    (tmp_path / "file").write_text("")
    with measured(tmp_path / "file" / "energy.json", "training", CONF):
        pass
    assert "the energy of training is not measured: FileExistsError" in capsys.readouterr().err


def test_of_an_unreadable_energy_file_a_training_that_goes_on_is_unknown(tracker, file, capsys):
    file.parent.mkdir()
    file.write_text("{")
    for phase in ("training", "validation"):
        with measured(file, phase, CONF):
            pass
    assert read(file)["validation"]["kwh"] == 3.0
    assert read(file)["training"]["kwh"] is None
    assert read(file)["training"]["reason"] == "an earlier part: energy.json was damaged"
    assert file.with_name("energy.json.damaged").read_text() == "{"
    assert capsys.readouterr().err == f"warning: {file}: damaged; the energy so far is not known\n"


@pytest.mark.parametrize(
    "variables",
    [
        {"RANK": "1"},
        {"LOCAL_RANK": "1"},
        {"SLURM_PROCID": "1"},
        {"LOCAL_RANK": "1", "NODE_RANK": "1"},
        {"RANK": "3", "LOCAL_RANK": "1", "GROUP_RANK": "1"},
        {"SLURM_PROCID": "3", "SLURM_LOCALID": "1", "SLURM_NODEID": "1"},
        {"SLURM_PROCID": "1", "SLURM_LOCALID": "1", "SLURM_NODEID": "0"},
    ],
)
def test_other_processes_of_a_node_do_not_measure(tracker, file, monkeypatch, variables):
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    with measured(file, "training", CONF):
        pass
    assert not file.exists()


def test_rank_zero_measures(tracker, file, monkeypatch):
    monkeypatch.setenv("RANK", "0")
    with measured(file, "training", CONF):
        pass
    assert read(file)["training"]["kwh"] == 3.0


NODES = [
    {"LOCAL_RANK": "0", "NODE_RANK": "1"},  # Lightning's own launcher
    {"NODE_RANK": "1"},  # its process that starts the others
    {"RANK": "2", "LOCAL_RANK": "0", "GROUP_RANK": "1"},  # torchrun
    {"SLURM_PROCID": "2", "SLURM_LOCALID": "0", "SLURM_NODEID": "1"},
]


@pytest.mark.parametrize("second", NODES)
@pytest.mark.parametrize("first_ends", ["first", "last"])
def test_the_first_process_of_each_node_measures_and_nodes_are_added_up(tracker, file, monkeypatch, second, first_ends):
    """Training goes on once: two parts of 3 kWh on each of two nodes."""
    for _ in range(2):
        for variables in ({}, second) if first_ends == "first" else (second, {}):
            with monkeypatch.context() as node:
                for name, value in variables.items():
                    node.setenv(name, value)
                with measured(file, "training", CONF):
                    pass
    entry = read(file)["training"]
    assert (entry["kwh"], entry["cpu_kwh"], entry["ram_kwh"]) == (12.0, 4.0, 8.0)
    assert {name: part["kwh"] for name, part in entry["nodes"].items()} == {"0": 6.0, "1": 6.0}
    assert entry["seconds"] == max(part["seconds"] for part in entry["nodes"].values())


def test_a_node_that_could_not_be_measured_leaves_the_whole_unknown(tracker, file, monkeypatch):
    with measured(file, "training", CONF):
        pass
    monkeypatch.setenv("NODE_RANK", "1")
    monkeypatch.setitem(sys.modules, "codecarbon", None)
    with measured(file, "training", CONF):
        pass
    entry = read(file)["training"]
    assert entry["kwh"] is None and entry["reason"] == "codecarbon is not installed"


class Recorded(FakeTracker):
    """Its figures stand in a row of its CSV too."""

    row: ClassVar[dict] = {"run_id": "one", "energy_consumed": 3.0, "latitude": float("nan")}

    def stop(self) -> None:
        self.final_emissions_data = types.SimpleNamespace(**FIGURES, values=self.row)


def test_a_resumed_training_keeps_a_record_a_part_and_a_repeated_prediction_only_its_own(tracker, file):
    tracker(Recorded)
    for phase in ("training", "validation") * 2:
        with measured(file, phase, CONF):
            pass
    row = {"run_id": "one", "energy_consumed": 3.0, "latitude": None}
    assert {phase: entry["records"] for phase, entry in read(file).items()} == {
        "training": [row, row],
        "validation": [row],
    }


def test_codecarbon_itself_is_understood(file, monkeypatch, capfd):
    pytest.importorskip("codecarbon")
    monkeypatch.setattr(energy, "node_begun", lambda: 0)
    with measured(file, "training", CONF):
        sum(i * i for i in range(300_000))
    entry = read(file)["training"]
    assert entry["kwh"] > 0
    assert entry["kwh"] == pytest.approx(entry["cpu_kwh"] + entry["gpu_kwh"] + entry["ram_kwh"])
    assert entry["mode"].startswith("CPU ")
    assert [record["energy_consumed"] for record in entry["records"]] == [entry["kwh"]]
    assert "codecarbon" not in capfd.readouterr().err


def test_ew_psds_by_hand():
    # half the baseline's energy doubles the score
    assert ew_psds(0.3, kwh_baseline=2.0, kwh_submission=1.0) == pytest.approx(0.6)


def test_ew_psds_of_no_energy_is_refused():
    with pytest.raises(ValueError, match=r"above 0 kWh, got 1\.0 and 0\.0"):
        ew_psds(0.3, kwh_baseline=1.0, kwh_submission=0.0)


def test_with_every_process_other_ranks_measure_too(tracker, file, monkeypatch):
    monkeypatch.setenv("RANK", "1")
    with measured(file, "validation", CONF, every_process=True):
        pass
    assert read(file)["validation"]["kwh"] == 3.0


def record(start: float, seconds: float, kwh: float | None, machine: str = "a") -> tuple[float, dict]:
    figures = {"seconds": seconds, "kwh": kwh, "cpu_kwh": kwh, "gpu_kwh": 0.0, "ram_kwh": 0.0, "machine": machine}
    return start, figures | ({"reason": "no counter"} if kwh is None else {})


@pytest.mark.parametrize(
    ("records", "kwh"),
    [
        ([record(0, 10, 4.0)], 4.0),
        ([record(0, 10, 4.0), record(20, 10, 4.0)], 8.0),  # one after the other
        ([record(0, 10, 4.0), record(0, 10, 4.0)], 4.0),  # side by side: each measured the same
        ([record(0, 10, 4.0), record(5, 10, 4.0)], 6.0),  # 15 s at 0.4 kWh/s
        ([record(0, 10, 4.0), record(0, 10, 4.0, "b")], 8.0),  # on two machines
        ([record(0, 10, 4.0), record(2, 2, 0.8), record(4, 2, 0.8)], 4.0),  # two short ones within a long one
        ([record(0, 10, 4.0), record(0, 10, None)], None),
    ],
)
def test_what_processes_of_one_machine_measured_at_the_same_time_counts_once(records, kwh):
    total = joined(records)
    assert total["kwh"] == (None if kwh is None else pytest.approx(kwh))
    assert total["seconds"] == sum(figures["seconds"] for _, figures in records)
