"""The headline of the report page, and where a system fails, counted by hand."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from recipe_mtlvae.labels import Event
from recipe_mtlvae.report.comparison import failures, headline, tables
from recipe_mtlvae.report.comparison.compared import ComparedSystem, Result
from recipe_mtlvae.report.runs import bare_run
from recipe_mtlvae.scoring.confusions import confusions
from recipe_mtlvae.scoring.evaluation import prepare
from recipe_mtlvae.scoring.intervals import Interval
from recipe_mtlvae.scoring.reference import Reference
from recipe_mtlvae.scoring.scenarios import metric_keys
from recipe_mtlvae.scoring.scores import ClipScores, ScoreFolder

CLASSES = ("Cat", "Dog")


def system(name: str, per_class: dict, output=None, energy: dict | None = None, **macro: float) -> ComparedSystem:
    run = bare_run(Path(name), name)
    run.energy.update(energy or {})
    intervals = {key: Interval(value - 0.1, value + 0.1) for key, value in macro.items()}
    result = Result(macro=macro, per_class=per_class, scored=4, expected=5, intervals=intervals, output=output)
    return ComparedSystem(name, (run,), {"validation": result}, None)


def by_class(**figures: float | None) -> dict[str, dict[str, float | None]]:
    return {label: dict.fromkeys(metric_keys(), value) for label, value in figures.items()}


def output_of(truth: dict[str, list[Event]], detected: dict[str, list[int]]):
    """Return the output for clips of 4 s in steps of 1 s.

    `detected` has the column of the detected class in each second, or -1 for none.
    """
    scores = {
        clip: ClipScores(np.arange(5.0), np.array([[column == i for i in range(2)] for column in columns]) * 1.0)
        for clip, columns in detected.items()
    }
    reference = Reference(truth, dict.fromkeys(truth, 4.0), len(truth))
    return prepare(ScoreFolder(CLASSES, scores), reference, 0.5)


def test_confusions_count_seconds_in_which_one_class_alone_is_true() -> None:
    truth = {"a": [Event(0.0, 3.0, "Dog"), Event(2.0, 3.0, "Cat")]}  # second 2 has both: left out; second 3 none
    detected = {"a": [Event(0.0, 1.0, "Dog"), Event(1.0, 4.0, "Cat")]}
    found = confusions(truth, detected, {"a": 4.0, "b": 2.0}, CLASSES)
    assert found.seconds.tolist() == [0.0, 2.0, 3.0]  # Cat never alone, Dog in 2, nothing in second 3 and in clip b
    assert np.isnan(found.rates[0]).all()
    assert found.rates[1].tolist() == [0.5, 0.5] and found.rates[2].tolist() == pytest.approx([1 / 3, 0.0])


def test_worst_class_is_first_and_one_without_truth_is_last() -> None:
    per_class = by_class(Good=0.9, Absent=None, Bad=0.1) | {"Worse": {**by_class(x=0.9)["x"], "psds1": 0.05}}
    (group,) = tables.class_groups([system("x", per_class)], "validation")
    assert [row.name for row in group.rows] == ["Worse", "Bad", "Good", "Absent"]


def test_the_worst_clips_are_shown_with_their_true_and_detected_events() -> None:
    truth = {"right": [Event(0.0, 4.0, "Dog")], "wrong": [Event(1.0, 2.0, "Cat")], "silent": []}
    output = output_of(truth, {"right": [1, 1, 1, 1], "wrong": [1, 1, -1, 1], "silent": [-1] * 4})
    (found,) = failures.failures([system("x", by_class(Cat=0.0, Dog=0.5), output)], "validation")
    assert [(clip.name, clip.f1, clip.true, clip.detected) for clip in found.clips] == [
        ("wrong", 0.0, "Cat 1.0 to 2.0 s", "Dog 0.0 to 2.0 and 3.0 to 4.0 s")
    ]
    assert [row.label for row in found.confused] == ["Cat", "Dog", ""] and found.left_out == 0
    assert found.confused[0].shares == {"Cat": 0.0, "Dog": 1.0}


def test_headline_gives_figures_with_intervals_clips_energy_and_the_worst_class() -> None:
    energy = {"training": {"kwh": 0.25, "mode": "CPU measured"}}
    opening = dict(
        headline.headline(
            [system("x", by_class(Cat=0.5, Dog=0.25), energy=energy, psds1=0.4, event_f1=0.3)], "validation"
        )
    )
    assert opening["Measured on"] == ["4 of 5 clips of validation; 2 classes"]
    assert opening["How good"][1] == "event-based F1: 30.0\u00a0%, 95\u00a0% interval 20.0 to 40.0"
    assert opening["Energy"][0] == "training: 0.25 kWh (CPU measured)"
    assert opening["Where it fails"][0] == "Dog: PSDS1 0.250, EB-F1 25.0\u00a0%"
    assert opening["Compared with"] == [headline.ALONE]


def test_headline_names_no_class_without_truth_among_those_that_fail() -> None:
    one = system("x", by_class(Cat=0.5, Absent=None), psds1=0.4)
    one = replace(one, results={"validation": replace(one.results["validation"], absent_classes=("Absent",))})
    assert dict(headline.headline([one], "validation"))["Where it fails"] == ["Cat: PSDS1 0.500, EB-F1 50.0\u00a0%"]


def test_headline_names_systems_that_cannot_be_compared() -> None:
    ours, theirs = (system(name, by_class(Cat=0.5), psds1=0.4) for name in ("ours", "theirs"))
    opening = dict(headline.headline([ours, theirs], "validation"))
    assert opening["Compared with"] == ["theirs: not comparable in PSDS1, PSDS2, EB-F1, SB-F1, IB-F1"]
