"""Bounding boxes: tuned on the select split, stored in the checkpoint, used by `detect`, scored beside the medians."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from local.training.data import Data
from local.training.tune import tune_checkpoint
from recipe_mtlvae.corpus.splits import Corpus
from recipe_mtlvae.errors import RecipeError
from recipe_mtlvae.inference.detector import Detector
from recipe_mtlvae.inference.live import LiveDetector
from recipe_mtlvae.labels import Event
from recipe_mtlvae.nets.checkpoint import load_checkpoint, write_decoding
from recipe_mtlvae.scoring.bounding_boxes import BoxParameters
from recipe_mtlvae.scoring.box_tuning import TunedSettings, decoding_by_aim, grid, tune_boxes, tune_medians
from recipe_mtlvae.scoring.evaluation import measure_by_aim
from recipe_mtlvae.scoring.postprocess import Decoding
from recipe_mtlvae.scoring.reference import Reference
from recipe_mtlvae.scoring.scenarios import METRICS
from recipe_mtlvae.scoring.scores import ClipScores, ScoreFolder
from recipe_mtlvae.scoring.tuning import StrongClips
from tests.tiny import make_tiny_corpus, save_tiny_checkpoint, tiny_conf

STEP = 0.064
CLASSES = ("Cat", "Dog")


def clips(count: int = 12) -> StrongClips:
    """Return clips whose Cat events score 1, but 0.72 in 20 of 50 steps, which only the largest thresholds bridge."""
    rng = np.random.default_rng(0)
    scores, events = np.zeros((count, 156, 2)), []
    for clip in range(count):
        first = int(rng.integers(5, 90))
        scores[clip, first : first + 50, 0] = 1.0
        scores[clip, first + 15 : first + 35, 0] = 0.72
        events.append([Event(first * STEP, (first + 50) * STEP, "Cat")])
    return StrongClips(scores, events, np.full(count, 156 * STEP))


def test_the_grid_has_the_18_settings_of_the_paper_in_steps() -> None:
    tried = grid(STEP)
    assert tried[0] == BoxParameters(8, 0.2, relative=False) and len(tried) == 18
    assert {one.length for one in tried} == {6, 8, 10}  # 0.384, 0.512, 0.64 s


def test_events_with_a_shallow_gap_are_merged_for_both_aims() -> None:
    tuned = tune_boxes(clips(), CLASSES, STEP)
    for cat, dog in (tuned.psds, tuned.events):
        assert (cat.merge, cat.relative) in {(0.3, False), (1.5, True), (2.0, True), (3.0, True)}
        assert dog == cat  # Dog has no events and gets what suits the others


def choppy_clips(count: int = 6) -> StrongClips:
    """Return clips whose long Cat events have gaps of 4 steps and whose short ones last 5; peaks of 4 are no events."""
    scores, events = np.zeros((count, 156, 2)), []
    for clip in range(count):
        scores[clip, 10 + clip : 50 + clip, 0] = 1.0
        scores[clip, [*range(20, 24), *range(30, 34)], 0] = 0.0
        scores[clip, 80 + clip : 85 + clip, 0] = 1.0
        scores[clip, 110 + 2 * clip : 114 + 2 * clip, 0] = 1.0
        truth = ((10 + clip, 50 + clip), (80 + clip, 85 + clip))
        events.append([Event(first * STEP, last * STEP, "Cat") for first, last in truth])
    return StrongClips(scores, events, np.full(count, 156 * STEP))


def test_only_a_median_of_9_steps_fills_gaps_drops_false_peaks_and_keeps_short_events() -> None:
    """It fills gaps of 4 steps and keeps events of 5; a median of 7 keeps false peaks, and one of 13 loses events."""
    tuned = tune_medians(choppy_clips(), CLASSES, STEP, fixed=7)
    assert tuned.psds == tuned.events == (9, 9)  # Dog has no events and gets what suits Cat
    assert figures(choppy_clips(), tuned) == pytest.approx([1.0] * 5)
    assert figures(choppy_clips(), replace(tuned, psds=(13, 13)))[0] < 0.9


def test_of_equally_good_thresholds_the_one_nearest_to_the_middle_is_chosen() -> None:
    """A box has a confidence of 0.888 (30 steps of 1, 20 of 0.72), so Cat is found at 0.1 to 0.85."""
    assert tune_boxes(clips(), CLASSES, STEP).thresholds == (0.5, 0.5)
    silent = replace(clips(2), scores=np.zeros((2, 156, 2)))
    assert tune_medians(silent, CLASSES, STEP, fixed=7).thresholds == (0.5, 0.5)


def test_if_all_median_filters_are_equally_good_the_fixed_one_is_kept() -> None:
    silent = replace(choppy_clips(), scores=np.zeros((6, 156, 2)))
    assert tune_medians(silent, CLASSES, STEP, fixed=7).psds == (7, 7)


def stored(tuned) -> dict:
    return json.loads(json.dumps(tuned.as_dict()))


def with_boxes(path: Path, tuned: TunedSettings) -> Path:
    """Save a checkpoint with these boxes."""
    save_tiny_checkpoint(path)
    fields = {"thresholds": [0.5, 0.5], "median_filters": [3, 1], "bounding_boxes": stored(tuned)}
    write_decoding(path, {"net": fields})
    return path


def test_detect_uses_the_boxes_of_the_checkpoint_with_any_threshold(tmp_path: Path) -> None:
    tuned = tune_boxes(clips(), CLASSES, STEP)
    checkpoint = load_checkpoint(with_boxes(tmp_path / "x.ckpt", tuned))
    assert Detector(checkpoint, "cpu").decoding == Decoding(tuned.thresholds, (3, 1), tuned.events)
    assert Detector(checkpoint, "cpu", threshold=0.3).decoding.boxes == tuned.events


def test_a_checkpoint_with_boxes_takes_neither_a_stream_nor_a_median_filter(tmp_path: Path) -> None:
    checkpoint = load_checkpoint(with_boxes(tmp_path / "x.ckpt", tune_boxes(clips(2), CLASSES, STEP)))
    with pytest.raises(RecipeError, match="--stream: this checkpoint detects by bounding boxes"):
        LiveDetector(Detector(checkpoint, "cpu"), 16000, 1.0)
    with pytest.raises(RecipeError, match="median_filter: this checkpoint detects by bounding boxes"):
        Detector(checkpoint, "cpu", median_filter=0.1)


def test_confidence_and_edges_of_a_box_do_not_depend_on_the_threshold() -> None:
    data = clips(1)
    found = {}
    for threshold in (0.1, 0.5, 0.8):
        boxes = (BoxParameters(8, 0.3, relative=False),) * 2
        decoding = Decoding((threshold,) * 2, (1, 1), boxes)
        found[threshold] = decoding.detected(data.scores[0], STEP, CLASSES, 156 * STEP)
    (event,) = found[0.5]
    assert (event.onset, event.offset) == pytest.approx((data.events[0][0].onset, data.events[0][0].offset))
    assert event.confidence == pytest.approx((30 + 14.4) / 50) and found[0.1][-1] == found[0.8][0] == event


def test_boxes_that_equal_the_truth_have_perfect_figures() -> None:
    data = clips()
    assert figures(data, tune_boxes(data, CLASSES, STEP)) == pytest.approx([1.0] * 5)


def figures(data: StrongClips, tuned: TunedSettings) -> list[float]:
    """Return the figures of METRICS by measure_by_aim; assert that Dog, which has no events, has none."""
    tuned = stored(tuned)
    model = {name: dict(zip(CLASSES, values, strict=True)) for name, values in tuned.items()}
    names = [str(i) for i in range(len(data.scores))]
    edges = np.arange(157) * STEP
    folder = ScoreFolder(
        CLASSES, {name: ClipScores(edges, scores) for name, scores in zip(names, data.scores, strict=True)}
    )
    reference = Reference(dict(zip(names, data.events, strict=True)), dict.fromkeys(names, 156 * STEP), len(names))
    found = measure_by_aim(folder, reference, model)
    assert found["per_class"]["Dog"]["psds1"] is None
    return [found[metric.key] for metric in METRICS]


def test_the_boxes_of_an_aim_are_read_back_from_json() -> None:
    tuned = tune_boxes(clips(4), CLASSES, STEP)
    assert decoding_by_aim(stored(tuned), "psds", Decoding((0.5, 0.5), (1, 1))).boxes == tuned.psds


def test_stage_1_tunes_boxes_only_if_the_configuration_says_so(tmp_path: Path) -> None:
    """The weights are random, so the chosen boxes mean nothing; the test is that they are stored and scored."""
    conf = tiny_conf("postprocess.method=bounding_boxes")
    corpus = Corpus(conf, make_tiny_corpus(tmp_path / "corpus", conf))
    data = Data(corpus)
    for method, there in (("bounding_boxes", True), ("median", False)):
        path = save_tiny_checkpoint(tmp_path / f"{method}.ckpt")
        after = replace(conf.postprocess, method=method)
        tune_checkpoint(path, data.strong_selection, data.weak_selection, after)
        found = load_checkpoint(path)
        assert (found.bounding_boxes is not None) is there is (found.median_reference is not None)
        assert found.decoding is not None
        assert len(found.precision_recall["references"]) == 2
