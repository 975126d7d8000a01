"""Energy of several processes and nodes: which processes measure, and that nothing is counted twice."""

from __future__ import annotations

import sys

import pytest

from recipe_mtlvae.scoring.energy import joined, measured
from tests.fake_tracker import CONF, read


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
def test_processes_after_the_first_of_a_node_do_not_measure(tracker, energy_file, monkeypatch, variables):
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    with measured(energy_file, "training", CONF):
        pass
    assert not energy_file.exists()


def test_rank_zero_measures(tracker, energy_file, monkeypatch):
    monkeypatch.setenv("RANK", "0")
    with measured(energy_file, "training", CONF):
        pass
    assert read(energy_file)["training"]["kwh"] == 3.0


NODES = [
    {"LOCAL_RANK": "0", "NODE_RANK": "1"},  # Lightning's own launcher
    {"NODE_RANK": "1"},  # the launcher's process, which starts the others
    {"RANK": "2", "LOCAL_RANK": "0", "GROUP_RANK": "1"},  # torchrun
    {"SLURM_PROCID": "2", "SLURM_LOCALID": "0", "SLURM_NODEID": "1"},
]


@pytest.mark.parametrize("second", NODES)
@pytest.mark.parametrize("first_ends", ["first", "last"])
def test_the_first_process_of_each_node_measures_and_nodes_are_added_up(
    tracker, energy_file, monkeypatch, second, first_ends
):
    """The training is resumed once: there are two parts of 3 kWh on each of two nodes."""
    for _ in range(2):
        for variables in ({}, second) if first_ends == "first" else (second, {}):
            with monkeypatch.context() as node:
                for name, value in variables.items():
                    node.setenv(name, value)
                with measured(energy_file, "training", CONF):
                    pass
    entry = read(energy_file)["training"]
    assert (entry["kwh"], entry["cpu_kwh"], entry["ram_kwh"]) == (12.0, 4.0, 8.0)
    assert {name: part["kwh"] for name, part in entry["nodes"].items()} == {"0": 6.0, "1": 6.0}
    assert entry["seconds"] == max(part["seconds"] for part in entry["nodes"].values())


def test_a_node_that_could_not_be_measured_leaves_the_whole_unknown(tracker, energy_file, monkeypatch):
    with measured(energy_file, "training", CONF):
        pass
    monkeypatch.setenv("NODE_RANK", "1")
    monkeypatch.setitem(sys.modules, "codecarbon", None)
    with measured(energy_file, "training", CONF):
        pass
    entry = read(energy_file)["training"]
    assert entry["kwh"] is None and entry["reason"] == "codecarbon is not installed"


def test_with_every_process_other_ranks_measure_too(tracker, energy_file, monkeypatch):
    monkeypatch.setenv("RANK", "1")
    with measured(energy_file, "validation", CONF, every_process=True):
        pass
    assert read(energy_file)["validation"]["kwh"] == 3.0


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
def test_what_several_processes_of_a_machine_measured_at_the_same_time_counts_once(records, kwh):
    total = joined(records)
    assert total["kwh"] == (None if kwh is None else pytest.approx(kwh))
    assert total["seconds"] == sum(figures["seconds"] for _, figures in records)
