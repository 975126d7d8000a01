"""Hits of detections: hand-counted clips, and counts compared with sed_scores_eval."""

from __future__ import annotations

import numpy as np
import pytest

from recipe_mtlvae.labels import Event
from recipe_mtlvae.scoring.matching import EventTable, collar_hits, intersection_hits
from recipe_mtlvae.scoring.scenarios import EVENT, INTERSECTION
from tests.simulated import CLASSES, simulate, statistics_of


def hits(detected: list[list[Event]], truth: list[list[Event]]) -> tuple[list[int], list[int]]:
    tables = [EventTable.of(clips, ("Cat", "Dog")) for clips in (detected, truth)]
    found = collar_hits(*tables, EVENT, 2 * len(truth))
    return found.true.tolist(), found.false.tolist()


def test_an_event_is_found_if_onset_and_offset_are_within_their_collars():
    """The offset of a long event may be off by 20 % of its length: 1 s of 5 s."""
    truth = [[Event(1.0, 6.0, "Cat")]]
    assert hits([[Event(1.2, 7.0, "Cat")]], truth) == ([1, 0], [0, 0])
    assert hits([[Event(1.21, 6.0, "Cat")]], truth) == ([0, 0], [1, 0])
    assert hits([[Event(1.0, 7.01, "Cat")]], truth) == ([0, 0], [1, 0])


def test_two_detections_of_one_event_are_one_hit_and_one_false_alarm():
    truth = [[Event(1.0, 1.2, "Dog")]]
    assert hits([[Event(0.9, 1.05, "Dog"), Event(1.1, 1.2, "Dog")]], truth) == ([0, 1], [0, 1])


def test_a_detection_in_another_clip_or_class_finds_nothing():
    truth = [[Event(1.0, 2.0, "Cat")], []]
    assert hits([[Event(1.0, 2.0, "Dog")], [Event(1.0, 2.0, "Cat")]], truth) == ([0, 0, 0, 0], [0, 1, 1, 0])


@pytest.mark.parametrize("seed", range(3))
def test_counts_agree_with_sed_scores_eval_on_simulated_clips(seed):
    from recipe_mtlvae.scoring.postprocess import to_events

    folder, truth = simulate(60, seed)
    statistics = statistics_of(folder, truth)
    found = [to_events(folder.clips[clip].scores, folder.clips[clip].edges, CLASSES, 0.5) for clip in statistics.clips]
    tables = [EventTable.of(clips, CLASSES) for clips in (found, [truth[clip] for clip in statistics.clips])]
    groups = len(statistics.clips) * len(CLASSES)
    for name, own in (
        ("event_f1", collar_hits(*tables, EVENT, groups)),
        ("intersection_f1", intersection_hits(*tables, INTERSECTION, groups)),
    ):
        np.testing.assert_array_equal(own.true.reshape(-1, len(CLASSES)), statistics.f1[name].tps)
        np.testing.assert_array_equal(own.false.reshape(-1, len(CLASSES)), statistics.f1[name].fps)
