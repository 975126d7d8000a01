"""The F1 figures by which epochs are selected: counted by hand, and compared with sed_scores_eval."""

from __future__ import annotations

import numpy as np
import pytest

from recipe_mtlvae.labels import Event, Grid
from recipe_mtlvae.scoring.postprocess import to_events
from recipe_mtlvae.scoring.selection import intersection_f1, macro_f1

CLASSES = ("Cat", "Dog")


def test_detection_covering_half_of_an_event_finds_it():
    truth = {"a": [Event(0.0, 2.0, "Cat")]}
    assert intersection_f1({"a": [Event(0.0, 1.0, "Cat")]}, truth, CLASSES) == 1.0


def test_detection_covering_less_than_half_of_an_event_is_relevant_but_finds_nothing():
    # no true positive, no false positive
    truth = {"a": [Event(0.0, 2.0, "Cat"), Event(5.0, 6.0, "Cat")]}
    detected = {"a": [Event(0.0, 0.9, "Cat"), Event(5.0, 6.0, "Cat")]}
    assert intersection_f1(detected, truth, CLASSES) == pytest.approx(2 * 1 / (1 + 0 + 2))


def test_detection_outside_the_truth_is_a_false_positive():
    truth = {"a": [Event(0.0, 2.0, "Cat")], "b": []}
    detected = {"a": [Event(0.0, 2.0, "Cat")], "b": [Event(0.0, 2.0, "Cat")]}
    assert intersection_f1(detected, truth, CLASSES) == pytest.approx(2 / 3)


def test_mean_is_over_the_classes_with_truth():
    # Dog is found, Cat has no truth: its false positive does not count
    truth = {"a": [Event(0.0, 2.0, "Dog")]}
    detected = {"a": [Event(0.0, 2.0, "Dog"), Event(0.0, 2.0, "Cat")]}
    assert intersection_f1(detected, truth, CLASSES) == 1.0


def test_several_detections_of_one_event_add_up():
    truth = {"a": [Event(0.0, 4.0, "Cat")]}
    assert intersection_f1({"a": [Event(0.0, 1.0, "Cat"), Event(2.0, 3.0, "Cat")]}, truth, CLASSES) == 1.0


def test_overlapping_truth_events_count_once():
    truth = {"a": [Event(0.0, 2.0, "Cat"), Event(1.0, 3.0, "Cat")]}
    assert intersection_f1({"a": [Event(0.0, 3.0, "Cat")]}, truth, CLASSES) == 1.0


def test_nothing_detected_and_nothing_to_detect_give_zero():
    assert intersection_f1({}, {"a": [Event(0.0, 1.0, "Cat")]}, CLASSES) == 0.0
    assert intersection_f1({"a": [Event(0.0, 1.0, "Cat")]}, {"a": []}, CLASSES) == 0.0


def test_detections_in_an_unknown_clip_are_refused():
    with pytest.raises(ValueError, match="the truth does not have: \\['b'\\]"):
        intersection_f1({"b": []}, {"a": []}, CLASSES)


@pytest.mark.parametrize(("dtc", "gtc"), [(0.5, 0.5), (0.7, 0.7), (0.1, 0.1)])
def test_agrees_with_sed_scores_eval_on_random_clips(dtc, gtc):
    from sed_scores_eval import intersection_based
    from sed_scores_eval.base_modules.scores import create_score_dataframe

    random = np.random.default_rng(0)
    classes = ("Cat", "Dog", "Speech")
    truth = {f"clip{i}": _random_truth(random, classes) for i in range(60)}
    grid = Grid(steps=50, step_seconds=0.2)
    scores = {
        clip: grid.encode(events, classes) * 0.4 + random.normal(0.3, 0.12, (50, 3)) for clip, events in truth.items()
    }
    reference = intersection_based.fscore(
        {clip: create_score_dataframe(score, grid.edges(), list(classes)) for clip, score in scores.items()},
        {clip: [(event.onset, event.offset, event.label) for event in events] for clip, events in truth.items()},
        0.5,
        dtc_threshold=dtc,
        gtc_threshold=gtc,
    )[0]["macro_average"]

    detected = {clip: to_events(score, grid.edges(), classes, 0.5) for clip, score in scores.items()}
    assert 0.2 < reference < 0.95
    assert intersection_f1(detected, truth, classes, dtc, gtc) == pytest.approx(reference, abs=1e-12)


def _random_truth(random: np.random.Generator, classes: tuple[str, ...]) -> list[Event]:
    events = []
    for label in classes:
        borders = np.sort(random.choice(100, 2 * random.integers(0, 4), replace=False)) / 10
        events += [Event(*pair, label) for pair in borders.reshape(-1, 2).tolist()]
    return events


def test_macro_f1_of_clip_labels_by_hand():
    target = np.array([[1, 0, 0], [1, 1, 0], [0, 1, 0]])
    predicted = np.array([[1, 0, 1], [0, 1, 0], [1, 1, 0]])
    # first class: tp 1, fp 1, fn 1 -> 0.5; second: 1; third has no target and is left out
    assert macro_f1(predicted, target) == pytest.approx(0.75)


def test_macro_f1_refuses_arrays_of_different_shapes():
    with pytest.raises(ValueError, match=r"got \(2, 3\) and \(2, 2\)"):
        macro_f1(np.zeros((2, 3)), np.zeros((2, 2)))
