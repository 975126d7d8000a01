"""Operating points: counted on the select split, stored in the checkpoint, chosen at detection."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from recipe_mtlvae import __main__ as command_line
from recipe_mtlvae.errors import RecipeError
from recipe_mtlvae.inference.detector import Detector
from recipe_mtlvae.labels import Event
from recipe_mtlvae.nets.checkpoint import load_checkpoint, write_decoding
from recipe_mtlvae.report.comparison.compared import ComparedSystem
from recipe_mtlvae.report.comparison.threshold_choice import threshold_choices
from recipe_mtlvae.report.runs import bare_run
from recipe_mtlvae.scoring import tuning
from recipe_mtlvae.scoring.postprocess import Decoding
from recipe_mtlvae.scoring.precision_recall import OperatingPoint, PrecisionRecall
from tests.tiny import save_tiny_checkpoint

# Ten events. As the threshold rises, precision is 0.5, 0.8 and 1, and recall is 1, 0.8 and 0.4
COUNTS = PrecisionRecall((0.1, 0.5, 0.9), np.array([[10, 8, 4]]), np.array([[10, 2, 0]]), np.array([10]))


def threshold(text: str) -> float:
    return COUNTS.choose(0, OperatingPoint.parse(text), 0.5).threshold


@pytest.mark.parametrize(
    ("text", "chosen"),
    [("precision=0.8", 0.5), ("precision=0.9", 0.9), ("recall=0.9", 0.1), ("recall=.5", 0.5), ("f1", 0.5)],
)
def test_the_target_is_met_with_the_best_other_figure(text, chosen):
    assert threshold(text) == chosen


def test_if_a_target_is_not_reached_the_nearest_is_taken_and_marked():
    counts = PrecisionRecall((0.1, 0.5), np.array([[9, 6]]), np.array([[9, 2]]), np.array([10]))
    found = counts.choose(0, OperatingPoint.parse("precision=0.9"), 0.5)
    assert (found.threshold, found.precision, found.recall, found.reached) == (0.5, 0.75, 0.6, False)


def test_a_class_that_is_never_detected_has_no_operating_point():
    silent = PrecisionRecall((0.5,), np.array([[0]]), np.array([[0]]), np.array([3]))
    assert silent.choose(0, OperatingPoint.parse("f1"), 0.5) is None


@pytest.mark.parametrize("text", ["precision", "recall=1.5", "precision=0", "F1", "recall=nan"])
def test_other_operating_points_are_refused(text):
    with pytest.raises(ValueError, match="expected precision=X or recall=X, X above 0 and up to 1, or f1"):
        OperatingPoint.parse(text)


def test_counts_are_those_of_intersection():
    """Two clips of 4 s: one event is found, one is missed from 0.5 on, and a score of 0.3 is a false alarm."""
    scores = np.array([[[0.9], [0.9], [0.0], [0.0]], [[0.0], [0.3], [0.0], [0.4]]])
    events = [[Event(0.0, 2.0, "Dog")], [Event(3.0, 4.0, "Dog")]]
    clips = tuning.StrongClips(scores, events, np.array([4.0, 4.0]))
    counts = tuning.count_precision_recall(clips, ["Dog"], 1.0, Decoding((0.5,), (1,)))
    at = {round(value, 2): i for i, value in enumerate(counts.thresholds)}
    found = {value: (counts.true[0, at[value]], counts.false[0, at[value]]) for value in (0.2, 0.35, 0.5)}
    assert found == {0.2: (2, 1), 0.35: (2, 0), 0.5: (1, 0)} and counts.references.tolist() == [2]


def with_counts(path: Path) -> Path:
    save_tiny_checkpoint(path)
    counts = PrecisionRecall((0.2, 0.6), np.array([[4, 2], [3, 1]]), np.array([[6, 0], [3, 1]]), np.array([4, 4]))
    fields = {"thresholds": [0.5, 0.5], "median_filters": [3, 1], "precision_recall": counts.as_dict()}
    write_decoding(path, {"net": fields})
    return path


def test_a_detector_takes_its_thresholds_from_the_checkpoint(tmp_path):
    detector = Detector.load(with_counts(tmp_path / "x.ckpt"), operating_point="precision=0.9")
    assert detector.decoding == Decoding((0.6, 0.2), (3, 1))  # Hum's precision is 0.5 at both: 0.2 has more recall
    assert detector.notes == (
        "operating point precision=0.9: precision 0.75, recall 0.62 on selection data, mean of classes",
        "precision=0.9 is not reached on selection data, the nearest is taken: Hum (0.50)",
    )


def test_notes_on_an_operating_point_are_about_the_classes_that_are_reported(tmp_path):
    detector = Detector.load(with_counts(tmp_path / "x.ckpt"), operating_point="precision=0.9", classes=["Beep"])
    assert detector.notes == (
        "operating point precision=0.9: precision 1.00, recall 0.50 on selection data, mean of classes",
    )


def test_an_operating_point_excludes_thresholds(tmp_path):
    with pytest.raises(RecipeError, match="expected no threshold and no median_filter with it"):
        Detector.load(with_counts(tmp_path / "x.ckpt"), operating_point="f1", threshold=0.4)


def test_a_checkpoint_without_counts_is_refused_in_one_line(tmp_path, monkeypatch, capsys):
    (tmp_path / "a.wav").write_bytes(b"")
    argv = ["x", "detect", "--checkpoint", save_tiny_checkpoint(tmp_path / "x.ckpt"), "--out", tmp_path / "out"]
    monkeypatch.setattr(sys, "argv", [*map(str, argv), "--operating_point", "f1", str(tmp_path / "a.wav")])
    assert command_line.main() == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert "this checkpoint holds no precision and recall of its classes" in line and "--stage 1" in line


def test_damaged_counts_are_refused(tmp_path):
    path = with_counts(tmp_path / "x.ckpt")
    content = torch.load(path, weights_only=True)
    content["recipe"]["decoding"]["net"]["precision_recall"]["true"] = [[1, 2]]
    torch.save(content, path)
    with pytest.raises(RecipeError, match="expected counts of 2 classes"):
        load_checkpoint(path)


def test_counts_survive_a_round_trip_through_json():
    again = PrecisionRecall.from_dict(json.loads(json.dumps(COUNTS.as_dict())))
    assert again.as_dict() == COUNTS.as_dict()


def test_the_page_shows_curves_and_thresholds_of_what_tuning_counted(tmp_path):
    model = {"classes": ["Dog"], "decoding": {"thresholds": {"Dog": 0.5}}, "precision_recall": COUNTS.as_dict()}
    run = bare_run(tmp_path, "x")
    run.model.update(model)
    (found,) = threshold_choices([ComparedSystem("x", (run,), {}, None)])
    (row,) = found.rows
    assert (row.label, row.events, [one.threshold for one in row.chosen]) == ("Dog", 10, [0.9, 0.1, 0.5])
    assert len(found.charts) == 1 and "Dog" in found.charts[0].svg


def test_of_equal_thresholds_the_page_shows_the_one_that_detection_takes(tmp_path):
    """That is the one nearest to the threshold of the class, or of its boxes if it has boxes."""
    alike = PrecisionRecall((0.1, 0.5, 0.9), np.full((1, 3), 8), np.full((1, 3), 2), np.array([10]))
    run = bare_run(tmp_path, "x")
    run.model.update(classes=["Dog"], decoding={"thresholds": {"Dog": 0.5}}, precision_recall=alike.as_dict())
    for boxes, own in ((None, 0.5), ({"thresholds": {"Dog": 0.85}}, 0.9)):
        run.model["bounding_boxes"] = boxes
        ((row,),) = (found.rows for found in threshold_choices([ComparedSystem("x", (run,), {}, None)]))
        assert {one.threshold for one in row.chosen} == {own}


@pytest.mark.parametrize(
    "model",
    [
        {},
        {"classes": ["Dog"], "precision_recall": {"true": 1}},
        {"precision_recall": None},
        {"classes": ["Dog"], "precision_recall": COUNTS.as_dict() | {"references": [2**63]}},
        {"classes": ["Dog"], "precision_recall": COUNTS.as_dict() | {"references": [[10]]}},
    ],
)
def test_a_run_without_counts_has_no_such_section(tmp_path, model):
    run = bare_run(tmp_path, "x")
    run.model.update({"decoding": {"thresholds": {"Dog": 0.5}}}, **model)
    assert threshold_choices([ComparedSystem("x", (run,), {}, None)]) == []
