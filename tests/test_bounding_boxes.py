"""Change-detection bounding boxes, computed by hand. Steps last 64 ms, and the filter has 6 steps unless stated."""

from __future__ import annotations

import numpy as np
import pytest

from recipe_mtlvae.scoring.bounding_boxes import BoxParameters, box_scores, boxes

STEP = 0.064
ABSOLUTE = BoxParameters(0.384, 0.15, relative=False)


def found(scores, parameters=ABSOLUTE) -> list[tuple[int, int, float]]:
    return [(box.onset, box.offset, pytest.approx(box.confidence)) for box in boxes(np.array(scores), STEP, parameters)]


def steps(*runs: tuple[float, int]) -> list[float]:
    return [value for value, count in runs for _ in range(count)]


def test_a_rectangle_of_scores_gives_a_box_at_its_edges():
    assert found(steps((0, 10), (1, 10), (0, 10))) == [(10, 20, 1.0)]


def test_halved_scores_have_the_same_edges_and_half_the_confidence():
    assert found(steps((0, 10), (0.5, 10), (0, 10))) == [(10, 20, 0.5)]


@pytest.mark.parametrize(
    ("first", "gap", "second", "merged"), [(1, 0.9, 1, True), (1, 0.75, 1, False), (1, 0.2, 0.3, False)]
)
def test_neighbours_are_merged_if_the_gap_is_shallow_compared_with_both_peaks(first, gap, second, merged):
    scores = steps((0, 10), (first, 8), (gap, 8), (second, 8), (0, 10))
    assert len(found(scores)) == (1 if merged else 2)


@pytest.mark.parametrize(("gap", "merged"), [(0.7, True), (0.6, False), (0.0, False)])
def test_a_relative_threshold_is_a_ratio_of_peak_and_gap(gap, merged):
    scores = steps((0, 10), (1, 8), (gap, 8), (1, 8), (0, 10))
    assert len(found(scores, BoxParameters(0.384, 1.5, relative=True))) == (1 if merged else 2)


def test_the_confidence_of_a_merged_box_includes_its_gap():
    scores = steps((0, 10), (1, 8), (0.9, 8), (1, 8), (0, 10))
    assert found(scores) == [(10, 34, (16 + 7.2) / 24)]


def test_silence_has_no_box():
    assert found([0.0] * 40) == []


@pytest.mark.parametrize("level", [1.0, 0.7])
def test_a_class_that_sounds_throughout_has_one_box(level):
    assert found([level] * 40) == [(0, 40, level)]


@pytest.mark.parametrize("length", [0.384, 0.512, 0.64])  # 3 to 5 steps on either side
@pytest.mark.parametrize("steps_on", [1, 2, 3, 20])
def test_short_and_long_events_keep_their_edges(length, steps_on):
    scores = steps((0, 30), (1, steps_on), (0, 30))
    assert found(scores, BoxParameters(length, 0.15, relative=False)) == [(30, 30 + steps_on, 1.0)]


@pytest.mark.parametrize("length", [0.384, 0.512, 0.64])
def test_a_gap_of_two_steps_keeps_its_edges(length):
    scores = steps((0, 30), (1, 20), (0, 2), (1, 20), (0, 30))
    assert found(scores, BoxParameters(length, 0.15, relative=False)) == [(30, 50, 1.0), (52, 72, 1.0)]


@pytest.mark.parametrize(
    "scores",
    [
        steps((0, 10), (0.05, 10), (1, 10), (0, 10)),  # a slight rise long before the event
        steps((0, 20), (1, 10), (0.05, 10)),  # a slight rest long after the event
        steps((0, 10), (0.3, 10), (0.9, 10), (0.2, 10), (0, 10)),
    ],
)
def test_of_several_rises_or_falls_in_a_row_the_steepest_counts(scores):
    assert [box[:2] for box in found(scores)] == [(20, 30)]


@pytest.mark.parametrize("threshold", [0.2, 0.3, 0.4])
def test_a_threshold_keeps_or_drops_whole_boxes(threshold):
    scores = np.random.default_rng(0).random((200, 1)) ** 2
    above = box_scores(scores, STEP, [ABSOLUTE])[:, 0] > threshold
    borders = np.flatnonzero(np.diff(above.astype(int), prepend=0, append=0)).tolist()
    kept = [box for box in boxes(scores[:, 0], STEP, ABSOLUTE) if box.confidence > threshold]
    assert kept and borders == [border for box in kept for border in (box.onset, box.offset)]


def test_each_class_has_its_own_boxes():
    scores = np.array([steps((0, 10), (1, 10), (0, 10)), steps((0.5, 30))]).T
    found_scores = box_scores(scores, STEP, [ABSOLUTE, ABSOLUTE])
    assert found_scores[:, 0].tolist() == steps((0, 10), (1, 10), (0, 10))
    assert found_scores[:, 1].tolist() == pytest.approx(steps((0.5, 30)))
