"""Energy that cannot be measured, stored or read gives a warning and never a figure, and the run goes on."""

from __future__ import annotations

import re
import sys

import pytest

from recipe_mtlvae.scoring.energy import measured
from tests.fake_tracker import CONF, FakeTracker, read


def test_training_resumed_without_a_tracker_has_unknown_energy(tracker, energy_file, monkeypatch, capsys):
    with measured(energy_file, "training", CONF):
        pass
    monkeypatch.setitem(sys.modules, "codecarbon", None)
    with measured(energy_file, "training", CONF):
        pass
    entry = read(energy_file)["training"]
    assert entry["kwh"] is None
    assert entry["reason"] == "codecarbon is not installed"


def test_missing_codecarbon_is_one_warning_and_null(tracker, energy_file, monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "codecarbon", None)
    with measured(energy_file, "public", CONF):
        pass
    entry = read(energy_file)["public"]
    assert (entry["kwh"], entry["reason"]) == (None, "codecarbon is not installed")
    assert capsys.readouterr().err == "warning: the energy of public is not measured: codecarbon is not installed\n"


class NoConstructor(FakeTracker):
    def __init__(self, **arguments) -> None:
        raise PermissionError("no access to counters")


class HalfAnObject(FakeTracker):
    def start(self) -> None: ...  # as if it had swallowed an exception


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
def test_a_broken_tracker_warns_and_the_run_goes_on(tracker, energy_file, capsys, broken, reason):
    tracker(broken)
    done = False
    with measured(energy_file, "public", CONF):
        done = True
    warning = capsys.readouterr().err
    assert done
    assert warning.count("\n") == 1
    assert pytest.approx(0, abs=5) == read(energy_file)["public"]["seconds"]
    assert read(energy_file)["public"]["kwh"] is None
    assert re.search(reason, read(energy_file)["public"]["reason"])
    assert re.search(reason, warning)


def test_exceptions_of_the_block_pass_through_a_broken_tracker(tracker, energy_file):
    tracker(NoStop)
    with pytest.raises(KeyboardInterrupt), measured(energy_file, "training", CONF):
        raise KeyboardInterrupt


def test_an_unwritable_file_does_not_end_the_run(tracker, tmp_path, capsys):
    (tmp_path / "file").write_text("")
    with measured(tmp_path / "file" / "energy.json", "training", CONF):
        pass
    assert "the energy of training is not measured: FileExistsError" in capsys.readouterr().err


@pytest.mark.parametrize(
    "content",
    [
        "{",
        '{"training": {"kwh": "3"}}',
        '{"training": {"seconds": [1]}}',
        '{"training": {"records": 5}}',
        '{"training": {"nodes": []}}',
        '{"training": {"nodes": {"0": 3}}}',
    ],
)
def test_after_a_damaged_energy_file_the_energy_of_a_resumed_training_is_unknown(tracker, energy_file, capsys, content):
    energy_file.parent.mkdir()
    energy_file.write_text(content)
    for phase in ("training", "validation"):
        with measured(energy_file, phase, CONF):
            pass
    assert read(energy_file)["validation"]["kwh"] == 3.0
    assert read(energy_file)["training"]["kwh"] is None
    assert read(energy_file)["training"]["reason"] == "an earlier part: energy.json was damaged"
    assert energy_file.with_name("energy.json.damaged").read_text() == content
    assert capsys.readouterr().err == f"warning: {energy_file}: damaged; the energy so far is not known\n"
