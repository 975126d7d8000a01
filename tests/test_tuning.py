"""Thresholds and median filters tuned on scores for which the right answer is known."""

from __future__ import annotations

import numpy as np
import pytest

from recipe_mtlvae.conf_sections import PostprocessConf
from recipe_mtlvae.labels import Event, Grid
from recipe_mtlvae.scoring import tuning
from recipe_mtlvae.scoring.postprocess import Decoding, median_filter, to_events
from recipe_mtlvae.scoring.selection import intersection_f1
from recipe_mtlvae.scoring.tuning import StrongClips, WeakClips, tune

FIXED = PostprocessConf(median_filter=7, threshold=0.5, operating_points=50, method="median")
GRID = Grid(steps=156, step_seconds=0.064)
CLASSES = ("Cat", "Dog")


def clips(count: int, seed: int, scores_of) -> tuple[StrongClips, WeakClips]:
    """Return `count` strong and `count` weak clips with each class in two thirds of them.

    scores_of(active, rng) returns the scores of a clip (steps, classes).
    """
    rng = np.random.default_rng(seed)
    scores, truth = [], []
    for _ in range(2 * count):
        events = []
        for label in CLASSES:
            if rng.random() < 2 / 3:
                first, length = rng.integers(0, 90), rng.integers(25, 60)
                events.append(Event(first * GRID.step_seconds, (first + length) * GRID.step_seconds, label))
        truth.append(events)
        scores.append(scores_of(GRID.encode(events, CLASSES) > 0, rng))
    present = np.array([[any(e.label == label for e in events) for label in CLASSES] for events in truth[count:]])
    seconds = np.full(count, 10.0)
    return StrongClips(np.array(scores[:count]), truth[:count], seconds), WeakClips(np.array(scores[count:]), present)


def timid(active: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Cat's events score 0.3 and Dog's 0.9, the rest 0.05."""
    return np.where(active, [0.3, 0.9], 0.05) + rng.normal(0.0, 0.01, active.shape)


def flickering(active: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Cat's events break off for 4 steps after every 8, too long for a median of 7; Dog's do not."""
    holes = (np.arange(len(active)) % 12 >= 8)[:, None] & [True, False]
    return np.where(active & ~holes, 0.9, 0.1) + rng.normal(0.0, 0.01, active.shape)


def blurred(active: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Scores like those of a network: noisy logits around 0, on which the fixed setting is good."""
    noise = median_filter(rng.normal(0.0, 2.0, active.shape), 5)
    return 1.0 / (1.0 + np.exp(-np.where(active, 2.0, -2.0) - noise))


def test_a_timid_class_gets_a_lower_threshold_and_the_filters_stay_the_fixed_ones():
    found = tune(*clips(60, 0, timid), CLASSES, GRID.step_seconds, FIXED)
    assert 0.1 <= found.decoding.thresholds[0] <= 0.25
    assert found.decoding.median_filters == (7, 7)
    assert found.fixed_objective == pytest.approx(0.5, abs=0.05) and found.objective > 0.95


def test_a_class_whose_events_break_off_gets_a_longer_filter():
    found = tune(*clips(60, 0, flickering), CLASSES, GRID.step_seconds, FIXED)
    assert found.decoding.median_filters[0] >= 9
    assert found.better


@pytest.mark.parametrize("seed", range(4))
def test_what_was_tuned_on_few_clips_is_no_worse_on_others(seed):
    """40 clips to tune on, 400 to test on."""
    tuned = tune(*clips(40, seed, blurred), CLASSES, GRID.step_seconds, FIXED).decoding
    strong, _ = clips(400, 100 + seed, blurred)
    figures = [_f1(strong, decoding) for decoding in (tuned, Decoding.fixed(FIXED, len(CLASSES)))]
    assert figures[0] > figures[1] - 0.01


def test_if_all_settings_are_equally_good_the_fixed_one_is_kept():
    """All settings are equally good on constant scores."""
    found = tune(*clips(20, 0, lambda active, rng: np.full(active.shape, 0.05)), CLASSES, GRID.step_seconds, FIXED)
    assert found.decoding == Decoding.fixed(FIXED, 2)
    assert not found.better and found.objective == found.fixed_objective == 0.0


def test_a_class_without_events_takes_what_suits_the_others():
    strong, weak = clips(60, 0, timid)
    both = [strong.scores[..., [0, 0]], weak.scores[..., [0, 0]]]
    cats = [[event for event in events if event.label == "Cat"] for events in strong.events]
    weak_cats = np.stack([weak.present[:, 0], np.zeros(len(weak.present), bool)], axis=1)
    found = tune(StrongClips(both[0], cats, strong.durations), WeakClips(both[1], weak_cats), CLASSES, 0.064, FIXED)
    assert found.decoding.thresholds[1] <= 0.3


def test_weak_clips_raise_a_threshold_at_which_real_recordings_have_many_false_alarms():
    """Events score 0.9; all else scores 0.3 in the weak clips and 0.05 in the synthetic ones."""
    strong, weak = clips(60, 0, lambda active, rng: np.where(active, 0.9, 0.05))
    noisy = WeakClips(np.maximum(weak.scores, 0.3), weak.present)
    low = PostprocessConf(median_filter=7, threshold=0.2, operating_points=50, method="median")
    assert tune(strong, weak, CLASSES, GRID.step_seconds, low).decoding.thresholds == (0.2, 0.2)
    assert min(tune(strong, noisy, CLASSES, GRID.step_seconds, low).decoding.thresholds) >= 0.3


def test_tuning_by_sums_of_booleans_equals_median_filter_and_threshold():
    scores = np.random.default_rng(0).random((3, 50, 2))
    grid = tuning._Grid.around(FIXED)
    edges = GRID.edges(50)
    for row, column, active in tuning._active(scores, grid):
        table = tuning.events_of(active, GRID.step_seconds, np.full(6, 100.0))
        for clip in range(3):
            smoothed = median_filter(scores[clip], grid.median_filters[row])
            expected = to_events(smoothed, edges, CLASSES, grid.thresholds[column])
            own = (table.group == 2 * clip) | (table.group == 2 * clip + 1)
            assert sorted(table.onset[own]) == sorted(event.onset for event in expected)
            assert sorted(table.offset[own]) == sorted(event.offset for event in expected)


def test_no_event_is_counted_beyond_the_end_of_its_clip():
    active = np.ones((1, 2, 10), dtype=bool)
    table = tuning.events_of(active, 1.0, np.array([4.5, 20.0]))
    assert table.offset.tolist() == [4.5, 10.0]


def _f1(strong: StrongClips, decoding: Decoding) -> float:
    events = {
        str(i): to_events(decoding.smooth(scores), GRID.edges(), CLASSES, decoding.thresholds)
        for i, scores in enumerate(strong.scores)
    }
    return intersection_f1(events, {str(i): truth for i, truth in enumerate(strong.events)}, CLASSES)
