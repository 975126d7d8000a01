"""Operating points: one TSV of events per threshold, and the scores that they stand for."""

from __future__ import annotations

import numpy as np
import pytest

from recipe_mtlvae.errors import RecipeError
from recipe_mtlvae.labels import Event
from recipe_mtlvae.scoring.operating_points import OperatingPoints, read_operating_points, step_scores


def write(folder, threshold: str, *rows: str, header: str = "filename\tonset\toffset\tevent_label") -> None:
    (folder / f"predictions_th_{threshold}.tsv").write_text("\n".join([header, *rows]) + "\n")


def test_columns_are_read_by_name_and_clips_by_stem(tmp_path):
    write(tmp_path, "0.49", "1\tCat\t0.5\tb.c.wav\t2.5", header="index\tevent_label\tonset\tfilename\toffset")
    points = read_operating_points(tmp_path)
    assert points.events == {0.49: {"b.c": (Event(0.5, 2.5, "Cat"),)}}


def test_thresholds_are_sorted_as_numbers(tmp_path):
    for threshold in ("0.9", "0.10", "0.5"):
        write(tmp_path, threshold)
    assert list(read_operating_points(tmp_path).events) == [0.1, 0.5, 0.9]


def test_a_threshold_may_have_an_exponent(tmp_path):
    for threshold in ("5e-05", "0.5", "9E-1"):
        write(tmp_path, threshold)
    assert list(read_operating_points(tmp_path).events) == [5e-05, 0.5, 0.9]


def test_the_score_is_the_highest_threshold_with_a_detection():
    points = OperatingPoints(
        {0.3: {"a": (Event(0.0, 4.0, "Cat"),)}, 0.7: {"a": (Event(1.0, 2.0, "Cat"), Event(5.0, 6.0, "Dog"))}}
    )
    scores = step_scores(points, ("Cat", "Dog"), {"a": 10.0})
    edges, values = scores.clips["a"]
    assert edges.tolist() == [0.0, 1.0, 2.0, 4.0, 5.0, 6.0, 10.0]
    assert values[:, 0].tolist() == [0.3, 0.7, 0.3, -np.inf, -np.inf, -np.inf]
    assert values[:, 1].tolist() == [-np.inf] * 4 + [0.7, -np.inf]


def test_a_clip_that_no_file_names_is_never_detected():
    scores = step_scores(OperatingPoints({0.5: {}}), ("Cat",), {"a": 10.0})
    assert scores.clips["a"].edges.tolist() == [0.0, 10.0]
    assert scores.clips["a"].scores.tolist() == [[-np.inf]]


def test_clips_without_a_duration_are_left_out():
    points = OperatingPoints({0.5: {"a": (), "b": (Event(0.0, 1.0, "Cat"),)}})
    assert list(step_scores(points, ("Cat",), {"a": 10.0}).clips) == ["a"]


@pytest.mark.parametrize(
    ("thresholds", "nearest"),
    [((0.01, 0.49, 0.51, 0.99), 0.51), ((0.1, 0.5, 0.51), 0.5), ((0.2, 0.4), 0.4), ((0.3,), 0.3)],
)
def test_of_two_equally_near_thresholds_the_higher_is_taken(thresholds, nearest):
    # the higher one holds exactly the events with scores above the middle
    assert OperatingPoints({threshold: {} for threshold in thresholds}).nearest(0.5) == nearest


def test_faults_of_all_files_are_named(tmp_path):
    write(tmp_path, "0.1", "a.wav\t2\t1\tCat")
    write(tmp_path, "0.3", "a.wav\tsoon\t1\tCat")
    (tmp_path / "predictions.tsv").write_text("")
    with pytest.raises(RecipeError) as caught:
        read_operating_points(tmp_path)
    names = [fault.path.name for fault in caught.value.faults]
    assert names == ["predictions.tsv", "predictions_th_0.1.tsv", "predictions_th_0.3.tsv"]


def test_two_files_of_one_threshold_are_refused(tmp_path):
    write(tmp_path, "0.5")
    write(tmp_path, "0.50")
    with pytest.raises(RecipeError, match=r"th_0.50.tsv: expected a name that ends in a threshold of its own"):
        read_operating_points(tmp_path)


def test_empty_and_missing_folders_are_refused(tmp_path):
    with pytest.raises(RecipeError, match="no operating points in this folder"):
        read_operating_points(tmp_path)
    with pytest.raises(RecipeError, match="no such folder of operating points"):
        read_operating_points(tmp_path / "none")
