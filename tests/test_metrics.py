"""All figures: clips counted by hand, sed_eval and sed_scores_eval as references, and edge cases."""

from __future__ import annotations

import numpy as np
import pytest

from recipe_mtlvae.errors import RecipeError
from recipe_mtlvae.labels import Event
from recipe_mtlvae.scoring.metrics import clip_statistics, figures, score
from recipe_mtlvae.scoring.postprocess import events_above
from recipe_mtlvae.scoring.scenarios import metric_keys
from recipe_mtlvae.scoring.scores import ClipScores, ScoreFolder

CLASSES = ("Cat", "Dog")


def steps(detected: dict[str, list[Event]], durations: dict[str, float], classes=CLASSES) -> ScoreFolder:
    """Return scores in windows of 0.1 s: 1 where an event was detected, 0 elsewhere."""
    clips = {}
    for clip, duration in durations.items():
        edges = np.arange(round(10 * duration) + 1) / 10
        scores = np.zeros((len(edges) - 1, len(classes)))
        for event in detected.get(clip, []):
            scores[round(10 * event.onset) : round(10 * event.offset), classes.index(event.label)] = 1.0
        clips[clip] = ClipScores(edges, scores)
    return ScoreFolder(tuple(classes), clips)


def measure(detected, truth, classes=CLASSES, duration=10.0):
    durations = dict.fromkeys(truth, duration)
    return score(steps(detected, durations, classes), detected, truth, durations)


def test_perfect_detection_scores_one_everywhere():
    truth = {"a": [Event(1.0, 3.0, "Cat"), Event(5.0, 9.0, "Dog")], "b": []}
    metrics = measure(truth, truth)
    assert metrics.macro == dict.fromkeys(metric_keys(), 1.0)
    assert metrics.per_class["Dog"] == dict.fromkeys(metric_keys(), 1.0)


def test_event_f1_of_a_hand_counted_clip():
    # Cat: onset 0.2 s late is a hit, 0.3 s late is not; offset of a 4-s event may be 0.8 s off, 0.9 s is not
    truth = {
        "a": [Event(0.0, 1.0, "Cat"), Event(2.0, 3.0, "Cat"), Event(4.0, 8.0, "Cat")],
        "b": [Event(0.0, 4.0, "Cat")],
    }
    detected = {
        "a": [Event(0.2, 1.0, "Cat"), Event(2.3, 3.0, "Cat"), Event(4.0, 7.2, "Cat")],
        "b": [Event(0.0, 4.9, "Cat")],
    }
    # 2 hits of 4 detections and 4 events
    assert measure(detected, truth).per_class["Cat"]["event_f1"] == pytest.approx(0.5)


def test_segment_f1_of_a_hand_counted_clip():
    # truth is in seconds 0, 1 and 2, the detection in 2 and 3; 1 hit, 1 false, 2 missed
    truth, detected = {"a": [Event(0.5, 2.1, "Cat")]}, {"a": [Event(2.9, 3.1, "Cat")]}
    assert measure(detected, truth).per_class["Cat"]["segment_f1"] == pytest.approx(2 * 1 / (2 * 1 + 1 + 2))


def test_intersection_f1_of_a_hand_counted_clip():
    # Half of the first detection is true, so it is not false; but it covers 1 of 4 s, which is no hit. Of the others,
    # one is a hit and one is false
    truth = {"a": [Event(0.0, 4.0, "Cat"), Event(6.0, 7.0, "Cat")]}
    detected = {"a": [Event(3.0, 5.0, "Cat"), Event(6.0, 7.0, "Cat"), Event(8.0, 9.0, "Cat")]}
    assert measure(detected, truth).per_class["Cat"]["intersection_f1"] == pytest.approx(2 * 1 / (1 + 1 + 2))


def test_psds1_of_a_hand_counted_hour():
    # one class, an hour, two events: the one is found at 0.9 with no false detection, the other at 0.5 with 20 of them
    # curve: 1/2 from 0 on, 1 from 20 an hour on, until 100: (20 * 1/2 + 80 * 1) / 100
    truth = {"a": [Event(0.0, 10.0, "Cat"), Event(20.0, 30.0, "Cat")]}
    edges = np.arange(0.0, 3601.0, 10.0)
    scores = np.zeros((360, 1))
    scores[0], scores[2] = 0.9, 0.5
    scores[4:44:2] = 0.5
    folder = ScoreFolder(("Cat",), {"a": ClipScores(edges, scores)})
    metrics = score(folder, {}, truth, {"a": 3600.0})
    assert metrics.macro["psds1"] == pytest.approx(0.9)
    curve = metrics.psd_roc["psds1"]
    assert curve.efpr.tolist() == [0.0, 20.0, 100.0]
    assert curve.etpr.tolist() == [0.5, 1.0, 1.0]


def test_psds2_counts_cross_triggers_by_hand():
    # one Cat is found at 0.9; at 0.5 the other one too, and a false one in Dog's truth: 1 false detection an hour and
    # 1 cross trigger in 0.01 h of Dog, 100 an hour, of which half counts. Dog is never found
    truth = {"a": [Event(0.0, 36.0, "Cat"), Event(72.0, 108.0, "Dog"), Event(144.0, 180.0, "Cat")]}
    edges = np.arange(0.0, 3601.0, 36.0)
    scores = np.zeros((100, 2))
    scores[0, 0], scores[2, 0], scores[4, 0] = 0.9, 0.5, 0.5
    metrics = score(ScoreFolder(CLASSES, {"a": ClipScores(edges, scores)}), {}, truth, {"a": 3600.0})
    # PSDS2: both Cats from an effective rate of 1 + 0.5 * 100 = 51 an hour on; PSDS1 from 1 an hour on
    assert metrics.per_class["Cat"]["psds2"] == pytest.approx((51 * 0.5 + 49 * 1.0) / 100)
    assert metrics.per_class["Cat"]["psds1"] == pytest.approx((1 * 0.5 + 99 * 1.0) / 100)
    assert metrics.per_class["Dog"]["psds2"] == 0.0
    # the mean over the two classes equals their standard deviation, which is subtracted
    assert metrics.macro["psds2"] == pytest.approx(0.0)


def test_event_and_segment_f1_agree_with_sed_eval():
    sed_eval = pytest.importorskip("sed_eval")
    truth = {
        "a": [Event(0.0, 1.0, "Cat"), Event(2.0, 5.0, "Cat"), Event(1.5, 9.5, "Dog")],
        "b": [Event(3.3, 4.4, "Dog"), Event(6.0, 10.0, "Dog")],
        "c": [],
        "d": [Event(0.2, 9.9, "Cat")],
    }
    detected = {
        "a": [Event(0.1, 1.1, "Cat"), Event(2.0, 3.0, "Cat"), Event(1.4, 8.4, "Dog")],
        "b": [Event(3.3, 4.5, "Dog"), Event(5.7, 10.0, "Dog")],
        "c": [Event(4.0, 5.0, "Cat")],
        "d": [Event(0.3, 9.0, "Cat"), Event(9.3, 9.6, "Dog")],
    }
    events = sed_eval.sound_event.EventBasedMetrics(
        list(CLASSES), t_collar=0.2, percentage_of_length=0.2, event_matching_type="optimal"
    )
    segments = sed_eval.sound_event.SegmentBasedMetrics(list(CLASSES), time_resolution=1.0)
    for clip in truth:
        events.evaluate(_as_dicts(clip, truth), _as_dicts(clip, detected))
        segments.evaluate(_as_dicts(clip, truth), _as_dicts(clip, detected), evaluated_length_seconds=10.0)
    metrics = measure(detected, truth)
    for name, reference in (("event_f1", events), ("segment_f1", segments)):
        for label in CLASSES:
            expected = reference.results_class_wise_metrics()[label]["f_measure"]["f_measure"]
            assert metrics.per_class[label][name] == pytest.approx(expected), (name, label)
            assert 0.2 < expected < 0.95


def _as_dicts(clip: str, events: dict[str, list[Event]]) -> list[dict]:
    return [
        {"filename": clip, "event_onset": event.onset, "event_offset": event.offset, "event_label": event.label}
        for event in events[clip]
    ]


@pytest.fixture(scope="module")
def noisy():
    """(folder, truth, durations) of 60 clips of three classes with scores that follow the truth."""
    random = np.random.default_rng(3)
    classes = ("Cat", "Dog", "Speech")
    edges = (np.arange(157) * 0.064).round(6)
    clips, truth = {}, {}
    for i in range(60):
        events, scores = [], random.normal(0.3, 0.07, (156, 3))
        for column, label in enumerate(classes):
            borders = np.sort(random.choice(101, 2 * random.integers(0, 3), replace=False)) / 10
            for onset, offset in borders.reshape(-1, 2).tolist():
                events.append(Event(onset, offset, label))
                scores[(edges[:-1] < offset) & (edges[1:] > onset), column] += random.uniform(0.0, 0.5)
        clips[f"clip{i:02}"], truth[f"clip{i:02}"] = ClipScores(edges, scores), events
    return ScoreFolder(classes, clips), truth, dict.fromkeys(clips, 10.0)


def test_all_figures_are_those_of_sed_scores_eval(noisy):
    from sed_scores_eval import collar_based, intersection_based, segment_based
    from sed_scores_eval.base_modules.scores import create_score_dataframe

    folder, truth, durations = noisy
    frames = {
        clip: create_score_dataframe(item.scores, item.edges, list(folder.classes))
        for clip, item in folder.clips.items()
    }
    tuples = {clip: [(event.onset, event.offset, event.label) for event in events] for clip, events in truth.items()}
    psds1, psds1_classes, *_ = intersection_based.psds(
        frames, tuples, durations, dtc_threshold=0.7, gtc_threshold=0.7, alpha_st=1.0, max_efpr=100.0
    )
    psds2, psds2_classes, *_ = intersection_based.psds(
        frames,
        tuples,
        durations,
        dtc_threshold=0.1,
        gtc_threshold=0.1,
        cttc_threshold=0.3,
        alpha_ct=0.5,
        alpha_st=1.0,
        max_efpr=100.0,
    )
    f1 = {
        "event_f1": collar_based.fscore(
            frames, tuples, 0.5, onset_collar=0.2, offset_collar=0.2, offset_collar_rate=0.2
        )[0],
        "segment_f1": segment_based.fscore(frames, tuples, durations, 0.5, segment_length=1.0)[0],
        "intersection_f1": intersection_based.fscore(frames, tuples, 0.5, dtc_threshold=0.5, gtc_threshold=0.5)[0],
    }
    detected = events_above(folder, 0.5)
    metrics = score(folder, detected, truth, durations)

    assert metrics.macro["psds1"] == pytest.approx(psds1, abs=1e-12)
    assert metrics.macro["psds2"] == pytest.approx(psds2, abs=1e-12)
    assert 0.05 < psds1 < psds2 < 0.95
    for label in folder.classes:
        assert metrics.per_class[label]["psds1"] == pytest.approx(psds1_classes[label], abs=1e-12)
        assert metrics.per_class[label]["psds2"] == pytest.approx(psds2_classes[label], abs=1e-12)
        for name, reference in f1.items():
            assert metrics.per_class[label][name] == pytest.approx(reference[label], abs=1e-12), name
    for name, reference in f1.items():
        assert metrics.macro[name] == pytest.approx(reference["macro_average"], abs=1e-12), name


def test_the_area_under_the_psd_roc_is_the_psds(noisy):
    folder, truth, durations = noisy
    metrics = score(folder, {}, truth, durations)
    for name, curve in metrics.psd_roc.items():
        area = (np.diff(curve.efpr) * curve.etpr[:-1]).sum() / 100.0
        assert area == pytest.approx(metrics.macro[name], abs=1e-9)
        assert curve.efpr[-1] == 100.0


def test_counts_of_clips_add_up_to_the_figures(noisy):
    folder, truth, durations = noisy
    detected = events_above(folder, 0.5)
    statistics = clip_statistics(folder, detected, truth, durations)
    counts = statistics.f1["event_f1"]
    assert counts.references.shape == (60, 3)
    assert counts.references.sum() == sum(len(events) for events in truth.values())
    assert (counts.tps + counts.fps).sum() == sum(len(events) for events in detected.values())
    tps, fps, references = (part.sum(axis=0) for part in (counts.tps, counts.fps, counts.references))
    assert figures(statistics).macro["event_f1"] == pytest.approx((2 * tps / (tps + fps + references)).mean())


def test_a_class_without_truth_is_named_and_left_out_of_the_mean():
    truth = {"a": [Event(1.0, 3.0, "Cat")]}
    metrics = measure({"a": [*truth["a"], Event(5.0, 6.0, "Dog")]}, truth)
    assert metrics.absent_classes == ("Dog",)
    assert metrics.per_class["Dog"] == dict.fromkeys(metric_keys())
    assert metrics.macro == dict.fromkeys(metric_keys(), 1.0)


def test_no_detection_at_all_scores_zero():
    metrics = measure({}, {"a": [Event(1.0, 3.0, "Cat")], "b": [Event(1.0, 3.0, "Dog")]})
    assert metrics.macro == dict.fromkeys(metric_keys(), 0.0)


def test_scores_of_minus_infinity_are_never_detected_and_score_zero():
    folder = ScoreFolder(CLASSES, {"a": ClipScores(np.array([0.0, 10.0]), np.full((1, 2), -np.inf))})
    truth = {"a": [Event(1.0, 3.0, "Cat"), Event(1.0, 3.0, "Dog")]}
    assert score(folder, {}, truth, {"a": 10.0}).macro == dict.fromkeys(metric_keys(), 0.0)


def test_events_that_end_after_their_clip_are_not_cut():
    truth = {"a": [Event(9.0, 10.8, "Cat"), Event(1.0, 2.0, "Cat")]}
    detected = {"a": [Event(9.0, 10.0, "Cat"), Event(1.0, 2.0, "Cat")]}
    metrics = measure(detected, truth)
    # the offset is 0.8 s off, the collar 0.36 s; 1 of 1.8 s is covered
    assert metrics.macro["event_f1"] == pytest.approx(0.5)
    assert metrics.macro["intersection_f1"] == 1.0
    assert metrics.macro["segment_f1"] == 1.0


def test_clips_of_the_truth_that_have_no_duration_do_not_count():
    truth = {"a": [Event(1.0, 3.0, "Cat")], "gone": [Event(1.0, 3.0, "Cat")]}
    detected = {"a": truth["a"]}
    folder = steps(detected, {"a": 10.0})
    assert score(folder, detected, truth, {"a": 10.0}).macro["event_f1"] == 1.0


def test_truth_without_any_event_is_refused():
    with pytest.raises(RecipeError, match="no clip that is scored has an event in its truth"):
        measure({}, {"a": []})


def test_truth_of_a_class_that_has_no_scores_is_refused():
    with pytest.raises(RecipeError, match="the truth has events of Bird; the scores have only Cat, Dog"):
        score(steps({}, {"a": 10.0}), {}, {"a": [Event(1.0, 2.0, "Bird")]}, {"a": 10.0})
