"""The clips that a report shows: the best, the median and the worst by segment-based F1, and what is drawn of them."""

from __future__ import annotations

from pathlib import Path

import pytest

from recipe_mtlvae.corpus.splits import Corpus
from recipe_mtlvae.labels import Event
from recipe_mtlvae.report.comparison import clips
from recipe_mtlvae.report.comparison.measuring import systems_of_runs
from tests.reported import html_conf


def test_segment_f1_of_one_clip() -> None:
    # true: Dog in seconds 0, 1, 2; detected: Dog in 1, 2, 3 and Cat in 0: 2 hits of 3 true and 4 detected segments
    truth, detected = [Event(0.0, 2.5, "Dog")], [Event(1.2, 3.1, "Dog"), Event(0.0, 0.5, "Cat")]
    assert clips.segment_f1(truth, detected, 10.0) == pytest.approx(2 * 2 / (3 + 4))
    assert clips.segment_f1([], [], 10.0) is None


def test_best_median_and_worst_clips_are_chosen() -> None:
    f1 = {f"c{i:02d}": i / 100 for i in range(21)} | {"silent": None}
    chosen = clips.choose(f1, {name: () for name in f1}, 3)
    assert [name for name, rank in chosen if rank == "best"] == ["c20", "c19", "c18"]
    assert {name for name, rank in chosen if rank == "median"} == {"c09", "c10", "c11"}
    assert {name for name, rank in chosen if rank == "worst"} == {"c00", "c01", "c02"}


def test_of_many_clips_that_all_fail_those_with_the_most_events_are_the_worst() -> None:
    """Five of six clips fail, and the median clip is the second of these."""
    truth = {name: [Event(0.0, 1.0, "Dog")] * (6 - i) for i, name in enumerate("abcdef")}
    chosen = clips.choose(dict.fromkeys("bcdef", 0.0) | {"a": 0.9}, truth, 1)
    assert chosen == [("b", "worst"), ("c", "median"), ("a", "best")]


def test_without_features_clips_are_shown_by_their_events(html_run: Path, tmp_path: Path) -> None:
    gaps: list[str] = []
    systems = systems_of_runs({"run": html_run})
    views = clips.clip_views(systems, "validation", Corpus(html_conf(), tmp_path / "no corpus"), 4, gaps)
    assert [view.log_mel for view in views] == [None] * 4 and views[0].lanes[0][1]
    assert len(gaps) == 1 and gaps[0].startswith("The test clips are shown without spectrogram and sound")
    assert str(tmp_path) not in gaps[0]


def test_system_called_truth_is_drawn_beside_the_truth(html_run: Path) -> None:
    views = clips.clip_views(systems_of_runs({"truth": html_run}), "validation", None, 4, [])
    assert all([name for name, _ in view.lanes] == ["truth", "truth"] for view in views)
    assert any(view.lanes[0][1] != view.lanes[1][1] for view in views)
