"""The output grid: its steps, how times are rounded to them, and targets."""

import numpy as np
import pytest

from recipe_mtlvae.conf import load_conf
from recipe_mtlvae.labels import Event, Grid, encode_weak

GRID = Grid(steps=5, step_seconds=0.064)


def active(*times: float) -> list[int]:
    targets = GRID.encode([Event(*times, "a")], ["a"])
    return np.flatnonzero(targets[:, 0]).tolist()


def test_ten_seconds_are_156_steps_of_64_ms():
    assert Grid.of(load_conf().features, 10.0) == Grid(steps=156, step_seconds=0.064)


def test_a_tenth_of_a_second_still_has_a_step():
    """1600 samples: 1 + 1600 // 256 = 7 frames, one whole step of 4."""
    assert Grid.of(load_conf().features, 0.1).steps == 1


@pytest.mark.parametrize(
    ("onset", "offset", "steps"),
    [
        (0.0, 0.064, [0]),
        (0.0, 0.065, [0, 1]),  # the offset is rounded up
        (0.063, 0.128, [0, 1]),  # the onset is rounded down
        (0.064, 0.128, [1]),
        (0.3, 99.0, [4]),  # beyond the clip's end: cut
        (0.1, 0.101, [1]),  # shorter than a step: one step is active
    ],
)
def test_onsets_are_rounded_down_and_offsets_up(onset, offset, steps):
    assert active(onset, offset) == steps


def test_overlapping_events_of_two_classes_keep_their_columns():
    targets = GRID.encode([Event(0.0, 0.1, "a"), Event(0.0, 0.3, "b")], ["b", "a"])
    assert targets.sum(axis=0).tolist() == [5.0, 2.0]


def test_edges_are_one_more_than_steps():
    np.testing.assert_allclose(GRID.edges(), [0, 0.064, 0.128, 0.192, 0.256, 0.32])


def test_weak_targets_are_multi_hot():
    assert encode_weak({"c", "a"}, ["a", "b", "c"]).tolist() == [1.0, 0.0, 1.0]
