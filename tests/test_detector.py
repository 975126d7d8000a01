"""From audio to events: windows, how they are joined, arrays, and the user's options."""

import doctest
import itertools
import re

import numpy as np
import pytest
import soundfile
import torch

from recipe_mtlvae.audio.decoding import read_audio
from recipe_mtlvae.audio.streaming import open_stream
from recipe_mtlvae.errors import RecipeError
from recipe_mtlvae.inference.detector import Detector, mono
from recipe_mtlvae.inference.windows import JoinedScores, cut_windows
from recipe_mtlvae.inputs.log_mel import scale
from recipe_mtlvae.inputs.mel_transform import LogMel
from recipe_mtlvae.inputs.transforms import Transforms
from recipe_mtlvae.labels import DetectedEvent
from recipe_mtlvae.nets.checkpoint import Checkpoint
from recipe_mtlvae.nets.prediction import Prediction
from recipe_mtlvae.scoring.postprocess import Decoding
from tests.tiny import recording, save_tiny_checkpoint, tiny_conf

RATE = 16000
STEP = 1024  # samples


class Constant(torch.nn.Module):
    """A network that gives every step the same score and counts its windows."""

    windows = 0

    def predict(self, log_mel: torch.Tensor) -> Prediction:
        self.windows += len(log_mel)
        steps = log_mel.shape[2] // 4
        return Prediction(torch.full((len(log_mel), steps, 2), 0.75), torch.full((len(log_mel), 2), 0.5))


@pytest.fixture
def detector() -> Detector:
    return Detector(Checkpoint(Constant(), tiny_conf(), ("Beep", "Hum"), 0, 0), device="cpu")


def test_a_clip_of_the_training_length_is_one_window(detector, tmp_path):
    detection = detector.detect(recording(tmp_path / "a.wav", 2.0))
    assert detector.net.windows == 1
    assert detection.scores.shape == (31, 2)


def test_a_clip_a_little_longer_is_still_one_window(detector, tmp_path):
    detector.detect(recording(tmp_path / "a.wav", 2.01))
    assert detector.net.windows == 1


def test_a_short_clip_has_scores_for_its_own_length_only(detector, tmp_path):
    assert detector.detect(recording(tmp_path / "a.wav", 0.1)).scores.shape == (2, 2)


def test_no_event_ends_after_its_recording(detector, tmp_path):
    """1 s is 15.6 steps: the last one ends at 1.024 s."""
    assert {event.offset for event in detector.detect(recording(tmp_path / "a.wav", 1.0)).events} == {1.0}


def test_the_decoding_of_a_checkpoint_replaces_the_fixed_one(tmp_path):
    """Every step scores 0.75, which is above the threshold of Hum only."""
    decoding = {"thresholds": [0.8, 0.7], "median_filters": [1, 5]}
    checkpoint = Checkpoint(Constant(), tiny_conf(), ("Beep", "Hum"), 0, 0, decoding)
    detection = Detector(checkpoint, device="cpu").detect(recording(tmp_path / "a.wav", 2.0))
    assert {event.label for event in detection.events} == {"Hum"}


def test_a_long_recording_runs_in_half_overlapping_windows_without_seams(detector, tmp_path):
    """10 s are 156 whole steps: windows of 31 at 0, 15 ... 120, and one that ends with the recording, at 125."""
    detection = detector.detect(recording(tmp_path / "a.wav", 10.0))
    assert detector.net.windows == 10
    assert detection.scores.shape == (156, 2)
    np.testing.assert_allclose(detection.scores, 0.75, rtol=1e-6)
    assert [(event.onset, event.label) for event in detection.events] == [(0.0, "Beep"), (0.0, "Hum")]


@pytest.mark.parametrize(("seconds", "steps"), [(2.03, 51), (5.0, 125)])
def test_a_clip_length_with_a_rounding_error_has_the_same_frames_everywhere(tmp_path, seconds, steps):
    """2.03 * 16000 is 32479.999999999996: 32480 samples, 204 frames, 51 steps of 40 ms."""
    conf = tiny_conf("features.hop_length=160", "data.clip_seconds=2.03")
    detector = Detector(Checkpoint(Constant(), conf, ("Beep", "Hum"), 0, 0), device="cpu")
    assert detector.grid.steps == 51
    assert detector.detect(recording(tmp_path / "a.wav", seconds)).scores.shape == (steps, 2)


def test_windows_of_several_recordings_share_batches_and_come_back_in_order(detector, tmp_path):
    paths = [recording(tmp_path / f"{i}.wav", seconds) for i, seconds in enumerate((5.0, 1.0, 2.0, 7.0))]
    found = list(detector.detect_all(paths, batch_size=4))
    assert [detection.path for detection in found] == paths
    assert [round(detection.duration) for detection in found] == [5, 1, 2, 7]


def test_an_unreadable_recording_stops_the_others_only_if_faults_are_not_collected(detector, tmp_path):
    paths = [tmp_path / "bad.wav", recording(tmp_path / "good.wav", 2.0)]
    paths[0].write_text("not audio")
    with pytest.raises(RecipeError, match=r"bad\.wav"):
        list(detector.detect_all(paths))
    faults = []
    assert [detection.path.name for detection in detector.detect_all(paths, faults)] == ["good.wav"]
    assert len(faults) == 1


class Loudness(torch.nn.Module):
    """A network whose score of a step is its loudest frame after scaling, so that scores show where they come from."""

    def predict(self, log_mel: torch.Tensor) -> Prediction:
        frames = log_mel.amax(dim=1)[:, : log_mel.shape[2] // 4 * 4]
        loud = (frames.unflatten(1, (-1, 4)).amax(dim=2) + 1) / 2
        return Prediction(torch.stack([loud, 1 - loud], dim=2), torch.stack([loud.amax(1), 1 - loud.amin(1)], dim=1))


def loudness() -> Detector:
    return Detector(Checkpoint(Loudness(), tiny_conf(), ("Beep", "Hum"), 0, 0), device="cpu")


def test_a_clip_of_the_training_length_is_scored_to_the_last_bit_as_in_validation(tmp_path):
    detector, path = loudness(), recording(tmp_path / "a.wav", 2.0)
    samples = read_audio(path, RATE, 2.0).samples
    expected = detector.net.predict(scale(LogMel(detector.conf.features)(torch.from_numpy(samples)[None]), (-1.0, 1.0)))
    found = detector.detect(path)
    np.testing.assert_array_equal(found.scores, expected.strong[0].numpy())
    np.testing.assert_array_equal(found.weak, expected.weak[0].numpy())


@pytest.mark.parametrize("seconds", [2.1, 3.3, 10.0, 75.0])
def test_streamed_windows_are_stretches_of_the_whole_log_mel(tmp_path, seconds):
    detector, path = loudness(), recording(tmp_path / "a.wav", seconds)
    whole = LogMel(detector.conf.features)(torch.from_numpy(read_audio(path, RATE, None).samples)[None])[0]
    with open_stream(path, RATE, 4.0) as stream:
        windows = list(cut_windows(stream.blocks, detector.transforms, 31))
    assert [window.first_step for window in windows[:-1]] == [15 * i for i in range(len(windows) - 1)]
    assert windows[-1].first_step == (whole.shape[1] - 126) // 4
    for window in windows:
        expected = whole[:, 4 * window.first_step : 4 * window.first_step + 126]
        torch.testing.assert_close(window.values["log_mel"], expected, rtol=0, atol=1e-4)  # dB


def test_windows_of_one_step_follow_each_other(tmp_path):
    conf = tiny_conf("data.clip_seconds=0.07")
    windows = itertools.islice(cut_windows([np.zeros(RATE, np.float32)], Transforms(conf), 1), 100)
    assert [window.first_step for window in windows] == list(range(15))


def test_neighbouring_windows_are_weighted_by_triangles():
    """Windows of 4 steps at 0 and 2 have the weights 0.4, 0.8, 0.8, 0.4; step 2 is (0.8 * 1 + 0.4 * 0) / 1.2."""
    joined = JoinedScores(classes=1, width=4)
    joined.add(0, np.ones((4, 1), np.float32), np.array([0.2], np.float32))
    joined.add(2, np.zeros((4, 1), np.float32), np.array([0.1], np.float32))
    np.testing.assert_allclose(joined.scores(6)[:, 0], [1, 1, 2 / 3, 1 / 3, 0, 0], rtol=1e-6)
    assert joined.weak == np.float32(0.2)


def test_an_event_across_a_window_border_is_one_event(tmp_path):
    """A tone from 3.5 to 5.5 s crosses the borders at 3.84 and 4.8 s of windows that begin every 0.96 s."""
    time = np.arange(10 * RATE) / RATE
    tone = 0.5 * np.sin(2 * np.pi * 440 * time) * ((time >= 3.5) & (time < 5.5))
    noise = 0.001 * np.random.default_rng(0).standard_normal(len(time))
    soundfile.write(tmp_path / "a.wav", tone + noise, RATE)
    detector = loudness()
    detector.decoding = Decoding((0.8, 1.0), (1, 1))
    found = detector.detect(tmp_path / "a.wav").events
    near = [event for event in found if 3.3 < event.onset < 5.7]
    assert len(near) == 1
    assert (near[0].onset, near[0].offset) == (pytest.approx(3.5, abs=0.13), pytest.approx(5.5, abs=0.13))


def test_a_recording_that_turns_out_damaged_does_not_affect_the_others(detector, tmp_path):
    paths = [recording(tmp_path / f"{i}.wav", 2.0) for i in range(3)]
    samples = np.zeros(90 * RATE, np.float32)
    samples[-1] = np.nan
    soundfile.write(paths[1], samples, RATE, subtype="FLOAT")
    faults = []
    found = list(detector.detect_all(paths, faults, batch_size=4))
    assert [detection.path for detection in found] == [paths[0], paths[2]]
    assert len(faults) == 1 and "NaN" in str(faults[0])


def test_progress_reports_the_seconds_done_of_each_recording(detector, tmp_path):
    path, seen = recording(tmp_path / "a.wav", 10.0), []
    list(detector.detect_all([path], batch_size=4, progress=lambda *call: seen.append(call)))
    assert len(seen) == 10 and seen[0] == (path, pytest.approx(31 * 0.064), 10.0)
    assert seen[-1][1] == pytest.approx(156 * 0.064)


# --- arrays


def test_an_array_gives_the_same_result_as_its_file(tmp_path):
    path = recording(tmp_path / "a.wav", 5.0)
    samples, rate = soundfile.read(path, dtype="float32")
    from_array, from_file = loudness().detect(samples, rate), loudness().detect(path)
    np.testing.assert_array_equal(from_array.scores, from_file.scores)
    assert (from_array.events, from_array.duration, from_array.path) == (from_file.events, 5.0, None)


def test_integers_are_scaled_to_1_and_channels_are_averaged():
    np.testing.assert_allclose(mono(np.array([16384, -32768], np.int16)), [0.5, -1.0])
    np.testing.assert_allclose(mono(np.array([[0.5, -0.25], [1.0, 0.0]])), [0.125, 0.5])


@pytest.mark.parametrize(
    ("samples", "words"),
    [
        (np.zeros(0), "expected samples"),
        (np.zeros((2, 2, 2)), "expected samples"),
        (np.zeros((2, 100)), "transpose it"),
        (np.zeros(100, np.uint8), "expected floats or signed integers"),
        (np.array(["a"]), "expected floats or signed integers"),
    ],
)
def test_arrays_that_are_no_audio_are_refused(samples, words):
    with pytest.raises(ValueError, match=words):
        mono(samples)


def test_an_array_with_nan_is_refused(detector):
    with pytest.raises(RecipeError, match="NaN or infinite"):
        detector.detect(np.array([0.0, np.nan]), 16000)


@pytest.mark.parametrize("rate", [None, 0, 10**9])
def test_an_array_needs_a_valid_sample_rate(detector, rate):
    with pytest.raises(ValueError, match="sample_rate: expected 1000 to 384000 Hz"):
        detector.detect(np.zeros(100), rate)


def test_the_docstrings_example_runs(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    save_tiny_checkpoint(tmp_path / "best.ckpt", ("Cat", "Dog"))
    recording(tmp_path / "x.wav", 3.0)
    exec("".join(example.source for example in doctest.DocTestParser().get_examples(Detector.__doc__)), {})
    assert re.search(r"^0\.00 to 2\.9\d s: Dog, 0\.\d\d$", capsys.readouterr().out, re.MULTILINE)


# --- the user's options


def choosing(**choices) -> Detector:
    return Detector(Checkpoint(Constant(), tiny_conf(), ("Beep", "Hum"), 0, 0), device="cpu", **choices)


def test_a_threshold_for_one_class_keeps_those_of_the_others():
    assert choosing(threshold={"Hum": 0.9}).decoding.thresholds == (0.5, 0.9)
    assert choosing(threshold=0.2).decoding.thresholds == (0.2, 0.2)


def test_median_filters_are_given_in_seconds():
    """0.3 s are 4.7 steps of 64 ms: 5 is the nearest odd number; 0 is no filter."""
    assert choosing(median_filter={"Beep": 0.3}).decoding.median_filters == (5, 3)
    assert choosing(median_filter=0.0).decoding.median_filters == (1, 1)


def test_only_the_requested_classes_are_reported(tmp_path):
    found = choosing(classes=["Hum"]).detect(recording(tmp_path / "a.wav", 2.0))
    assert [event.label for event in found.events] == ["Hum"] and found.scores.shape == (31, 2)


def test_events_shorter_than_the_least_duration_are_left_out(tmp_path):
    path = recording(tmp_path / "a.wav", 2.0)  # one event of 1.984 s for each class
    assert choosing(min_duration=1.98).detect(path).events and not choosing(min_duration=1.99).detect(path).events


@pytest.mark.parametrize(
    ("choices", "words"),
    [
        ({"threshold": {"Dog": 0.5}}, "unknown class Dog: the checkpoint knows Beep, Hum"),
        ({"classes": ["Hum", "Dog"]}, "unknown class Dog"),
        ({"classes": "Dog"}, "unknown class Dog"),
        ({"threshold": 1.5}, "threshold 1.5: expected 0 to 1"),
        ({"threshold": float("nan")}, "threshold nan"),
        ({"median_filter": {"Hum": -1.0}}, "median_filter -1: expected 0 or more"),
    ],
)
def test_invalid_options_are_refused(choices, words):
    with pytest.raises(RecipeError, match=words):
        choosing(**choices)


def test_confidence_is_the_highest_filtered_score_of_the_event():
    """After a median of 3 the scores are 0, 0.6, 0.7, 0.7, 0.7, 0: the single 0.95 is gone."""
    scores = np.array([[0.0], [0.7], [0.6], [0.95], [0.7], [0.0]], np.float32)
    (event,) = Decoding((0.5,), (3,)).detected(scores, 0.064, ["Dog"], 10.0)
    assert event == DetectedEvent(pytest.approx(0.064), pytest.approx(0.32), "Dog", pytest.approx(0.7))
