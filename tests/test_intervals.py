"""The bootstrap over clips, compared with scoring the drawn clips and with the truth of simulated data."""

from __future__ import annotations

import numpy as np
import pytest

from recipe_mtlvae.labels import Event
from recipe_mtlvae.scoring.f1 import f1, macro
from recipe_mtlvae.scoring.intervals import Interval, draw, interval, resample
from recipe_mtlvae.scoring.metrics import clip_statistics, figures
from recipe_mtlvae.scoring.scenarios import metric_keys
from recipe_mtlvae.scoring.scores import ClipScores, ScoreFolder
from tests.simulated import CLASSES, simulate, statistics_of


@pytest.fixture(scope="module")
def simulated() -> tuple[ScoreFolder, dict[str, list[Event]]]:
    return simulate(40, seed=1)


def test_every_clip_once_gives_the_figures_themselves(simulated: tuple) -> None:
    statistics = statistics_of(*simulated)
    whole, once = figures(statistics), resample(statistics, np.ones((1, 40), dtype=np.int64))
    for name in metric_keys():
        assert once.macro[name][0] == pytest.approx(whole.macro[name], abs=1e-12)
        expected = [whole.per_class[label][name] for label in statistics.classes]
        assert once.per_class[name][0] == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize("sample", range(3))
def test_resample_equals_scoring_the_drawn_clips(simulated: tuple, sample: int) -> None:
    folder, truth = simulated
    statistics = statistics_of(folder, truth)
    weights = draw(40, samples=3, seed=5)
    drawn = [
        (clip, copy) for clip, times in zip(statistics.clips, weights[sample], strict=True) for copy in range(times)
    ]
    copied = ScoreFolder(CLASSES, {f"{clip} {copy}": folder.clips[clip] for clip, copy in drawn})
    expected = figures(statistics_of(copied, {f"{clip} {copy}": truth[clip] for clip, copy in drawn}))
    found = resample(statistics, weights)
    for name in metric_keys():
        assert found.macro[name][sample] == pytest.approx(expected.macro[name], abs=1e-9), name


def test_class_that_is_not_drawn_is_left_out(simulated: tuple) -> None:
    folder, truth = simulated
    statistics = statistics_of(folder, truth)
    weights = np.array([[not any(event.label == "Speech" for event in truth[clip]) for clip in statistics.clips]])
    kept = [clip for clip, once in zip(statistics.clips, weights[0], strict=True) if once]
    expected = figures(
        statistics_of(ScoreFolder(CLASSES, {c: folder.clips[c] for c in kept}), {c: truth[c] for c in kept})
    )
    found = resample(statistics, weights.astype(np.int64))
    for name in metric_keys():
        assert np.isnan(found.per_class[name][0, CLASSES.index("Speech")])
        assert found.macro[name][0] == pytest.approx(expected.macro[name], abs=1e-9), name


def test_a_class_whose_truth_lies_past_the_end_of_its_clip_counts_as_0() -> None:
    folder = ScoreFolder(("Cat", "Dog"), {"a": ClipScores(np.arange(3.0), np.full((2, 2), 0.7))})
    truth = {"a": [Event(0.0, 1.0, "Dog"), Event(2.5, 3.0, "Cat")]}
    statistics = clip_statistics(folder, {"a": [Event(0.0, 1.0, "Dog")]}, truth, {"a": 2.0})
    once = resample(statistics, np.ones((1, 1)))
    assert figures(statistics).macro["segment_f1"] == 0.5
    assert once.macro["segment_f1"].tolist() == [0.5]
    assert once.per_class["segment_f1"].tolist() == [[0.0, 1.0]]


def test_resample_without_any_event_is_left_out_of_the_interval() -> None:
    assert interval(np.array([0.5, np.nan, 0.5])) == Interval(0.5, 0.5)
    assert np.isnan(interval(np.array([np.nan])).low)


def test_draws_are_multinomial_and_seeded() -> None:
    weights = draw(30, samples=2000, seed=0)
    assert (weights.sum(axis=1) == 30).all()
    assert weights.mean() == 1.0
    assert weights.var() == pytest.approx(1 - 1 / 30, rel=0.05)  # the variance of a multinomial's cell
    assert (weights == draw(30, samples=2000, seed=0)).all()


def test_f1_by_hand() -> None:
    # 3 found, 1 false, 5 true: 2 * 3 / (4 + 5)
    assert f1(np.array([3.0, 0.0]), np.array([1.0, 2.0]), np.array([5.0, 0.0]))[0] == pytest.approx(6 / 9)
    assert np.isnan(f1(np.array([0.0]), np.array([2.0]), np.array([0.0]))[0])


def _simulate_counts(rng: np.random.Generator, clips: int, skill: float, difficulty: np.ndarray) -> tuple:
    """Return found, false and true events of each clip and class; all events of a clip share its `difficulty`."""
    shape = (clips, 4)
    references = rng.poisson([1.5, 1.0, 0.7, 0.4], size=shape)
    tps = rng.binomial(references, np.clip(skill - difficulty, 0.02, 0.98))
    fps = rng.poisson(np.broadcast_to(0.3 + difficulty, shape))
    return tps, fps, references


def _true_macro(skill: float) -> float:
    rng = np.random.default_rng(99)
    tps, fps, references = _simulate_counts(rng, 400_000, skill, rng.beta(2, 5, size=(400_000, 1)))
    return float(f1(tps.sum(axis=0), fps.sum(axis=0), references.sum(axis=0)).mean())


def test_interval_covers_the_truth_as_often_as_it_says() -> None:
    truth, rng, covered = _true_macro(0.8), np.random.default_rng(3), 0
    for repetition in range(200):
        difficulty = rng.beta(2, 5, size=(150, 1))
        counts = _simulate_counts(rng, 150, 0.8, difficulty)
        weights = draw(150, samples=300, seed=repetition)
        found = interval(macro(f1(*(weights @ count for count in counts))))
        covered += found.low <= truth <= found.high
    # A percentile interval over 150 clips covers slightly less than 0.95; the standard error of the share is 0.015
    assert 0.91 <= covered / 200 <= 0.98


def test_paired_interval_covers_the_difference_and_is_narrower_than_unpaired() -> None:
    difference, rng, covered, ratio = _true_macro(0.8) - _true_macro(0.7), np.random.default_rng(4), 0, []
    for repetition in range(200):
        difficulty = rng.beta(2, 5, size=(150, 1)) * 1.2  # shared by the systems: hard clips are hard for both
        systems = [_simulate_counts(np.random.default_rng(repetition), 150, skill, difficulty) for skill in (0.8, 0.7)]
        weights = draw(150, samples=300, seed=repetition)
        a, b = (macro(f1(*(weights @ count for count in counts))) for counts in systems)
        other = macro(f1(*(draw(150, samples=300, seed=10_000 + repetition) @ count for count in systems[1])))
        paired, unpaired = interval(a - b), interval(a - other)
        covered += paired.low <= difference <= paired.high
        ratio.append((paired.high - paired.low) / (unpaired.high - unpaired.low))
    assert covered / 200 >= 0.91
    assert np.mean(ratio) < 0.8


@pytest.mark.slow
def test_interval_of_every_figure_covers_the_truth() -> None:
    truth = figures(statistics_of(*simulate(1500, seed=1000))).macro
    covered = dict.fromkeys(metric_keys(), 0)
    for repetition in range(40):
        statistics = statistics_of(*simulate(80, seed=repetition))
        samples = resample(statistics, draw(80, samples=150, seed=repetition))
        for name in covered:
            found = interval(samples.macro[name])
            covered[name] += found.low <= truth[name] <= found.high
    assert all(times / 40 >= 0.85 for times in covered.values()), covered  # standard error: 0.034
