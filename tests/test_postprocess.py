"""Post-processing: median filters, thresholds, and merging of events."""

from __future__ import annotations

import numpy as np
import pytest

from recipe_mtlvae.conf import load_conf
from recipe_mtlvae.errors import RecipeError
from recipe_mtlvae.labels import Event, merge_events
from recipe_mtlvae.scoring.postprocess import Decoding, median_filter, odd_steps, step_seconds, to_events
from recipe_mtlvae.scoring.scores import ClipScores, ScoreFolder

EDGES = np.array([0.0, 1.0, 2.0, 3.0, 4.0])


def test_median_filter_removes_a_single_peak_and_fills_a_single_gap():
    scores = np.array([[0.0, 1.0], [0.0, 1.0], [1.0, 0.0], [0.0, 1.0], [0.0, 1.0]])
    assert median_filter(scores, 3).tolist() == [[0.0, 1.0]] * 5


def test_median_filter_does_not_mix_classes():
    scores = np.array([[1.0, 0.0, 1.0]] * 5)
    assert median_filter(scores, 3).tolist() == scores.tolist()


def test_median_filter_mirrors_the_borders():
    # the mirrored clip is 1 1 0 0: medians of (1, 1, 0), (1, 0, 0), ...
    assert median_filter(np.array([[1.0], [0.0], [0.0]]), 3).tolist() == [[1.0], [0.0], [0.0]]


@pytest.mark.parametrize("steps", [1, 2, 3, 6])
@pytest.mark.parametrize("size", [3, 19, 39, 101])
def test_median_filter_may_be_many_times_longer_than_the_clip(steps, size):
    """The clip is mirrored again and again; scipy alone reads beyond the array from four times its length on."""
    scores = np.random.default_rng(0).random((steps, 1))
    both = np.concatenate([scores, scores[::-1]])
    expected = [np.median([both[i % len(both)] for i in range(t - size // 2, t + size // 2 + 1)]) for t in range(steps)]
    assert median_filter(scores, size)[:, 0].tolist() == expected


def test_median_filter_of_one_step_changes_nothing():
    scores = np.random.default_rng(0).random((7, 2))
    assert median_filter(scores, 1) is scores


@pytest.mark.parametrize("size", [0, -1, 4])
def test_median_filter_needs_a_positive_odd_length(size):
    with pytest.raises(RecipeError, match=f"{size} steps: expected an odd number"):
        median_filter(np.zeros((5, 1)), size)


def test_events_are_the_stretches_above_the_threshold():
    scores = np.array([[0.9, 0.1], [0.8, 0.6], [0.5, 0.7], [0.6, 0.2]])
    expected = [Event(0.0, 2.0, "Cat"), Event(1.0, 3.0, "Dog"), Event(3.0, 4.0, "Cat")]
    assert to_events(scores, EDGES, ("Cat", "Dog"), 0.5) == expected


def test_a_score_equal_to_the_threshold_is_no_event():
    assert to_events(np.full((4, 1), 0.5), EDGES, ("Cat",), 0.5) == []


def test_an_event_may_fill_the_clip():
    assert to_events(np.ones((4, 1)), EDGES, ("Cat",), 0.5) == [Event(0.0, 4.0, "Cat")]


def test_scores_of_another_shape_are_refused():
    with pytest.raises(ValueError, match=r"expected scores \(4, 2\), got \(4, 1\)"):
        to_events(np.ones((4, 1)), EDGES, ("Cat", "Dog"), 0.5)


def test_overlapping_and_touching_events_of_one_class_merge():
    events = [Event(2.0, 3.0, "Cat"), Event(0.0, 2.0, "Cat"), Event(0.5, 1.0, "Cat"), Event(4.0, 5.0, "Cat")]
    assert merge_events(events) == [Event(0.0, 3.0, "Cat"), Event(4.0, 5.0, "Cat")]


def test_events_of_two_classes_do_not_merge():
    events = [Event(0.0, 2.0, "Cat"), Event(1.0, 3.0, "Dog")]
    assert merge_events(events) == events


def folder(*edges: list[float]) -> ScoreFolder:
    clips = {str(i): ClipScores(np.array(times), np.zeros((len(times) - 1, 1))) for i, times in enumerate(edges)}
    return ScoreFolder(("Cat",), clips)


def test_a_clip_may_end_in_a_shorter_window():
    assert step_seconds(folder([0.0, 0.5, 1.0, 1.2], [0.0, 0.5, 1.0])) == 0.5
    assert step_seconds(folder([0.0, 0.5, 1.0, 1.2], [0.0, 0.3])) == 0.5
    assert step_seconds(folder([0.0, 0.5], [0.0, 0.5])) == 0.5


def test_windows_of_unequal_length_cannot_be_filtered():
    with pytest.raises(RecipeError, match=r"windows from 0.5 to 1.5 s long"):
        step_seconds(folder([0.0, 0.5, 1.0, 2.5, 3.0]))


@pytest.mark.parametrize(("seconds", "steps"), [(0.448, 7), (0.4, 7), (0.064, 1), (0.01, 1), (0.16, 3)])
def test_seconds_become_the_nearest_odd_number_of_steps(seconds, steps):
    assert odd_steps(seconds, 0.064) == steps


def test_each_class_is_decoded_with_its_own_filter_and_threshold():
    """A single peak of 0.6 is an event of Cat; Dog's filter of 3 steps removes it, and Hen's threshold is above it."""
    scores = np.array([[0.0] * 3, [0.6] * 3, [0.0] * 3, [0.0] * 3])
    decoding = Decoding(thresholds=(0.5, 0.5, 0.7), median_filters=(1, 3, 1))
    events = to_events(decoding.smooth(scores), EDGES, ("Cat", "Dog", "Hen"), decoding.thresholds)
    assert events == [Event(1.0, 2.0, "Cat")]


def test_the_fixed_decoding_has_the_values_of_the_configuration_for_every_class():
    fixed = Decoding.fixed(load_conf().postprocess, 2)
    assert fixed == Decoding((0.5, 0.5), (7, 7))


def test_a_decoding_of_unequal_lengths_is_refused():
    with pytest.raises(ValueError, match="2 thresholds, 1 median"):
        Decoding((0.5, 0.5), (7,))


def test_a_folder_is_filtered_class_by_class():
    scores = np.array([[0.0, 0.0], [1.0, 1.0], [0.0, 0.0], [0.0, 0.0]])
    folder = ScoreFolder(("Cat", "Dog"), {"a": ClipScores(EDGES, scores)})
    filtered = Decoding((0.5, 0.5), (1, 3)).filtered(folder).clips["a"].scores
    assert filtered.tolist() == [[0.0, 0.0], [1.0, 0.0], [0.0, 0.0], [0.0, 0.0]]
