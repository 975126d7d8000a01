"""From audio to events: windows, their joining, and the `detect` command."""

from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch

from recipe_mtlvae.errors import RecipeError
from recipe_mtlvae.nets.checkpoint import Checkpoint
from recipe_mtlvae.nets.prediction import Prediction
from recipe_mtlvae.products import detect
from recipe_mtlvae.products.detector import Detector
from tests.tiny import tiny_conf

RATE = 16000
STEP = 1024  # samples


class Constant(torch.nn.Module):
    """A network that scores every step alike, and counts its windows."""

    windows = 0

    def predict(self, features: torch.Tensor) -> Prediction:
        self.windows += len(features)
        steps = features.shape[2] // 4
        return Prediction(torch.full((len(features), steps, 2), 0.75), torch.full((len(features), 2), 0.5))


@pytest.fixture
def detector() -> Detector:
    return Detector(Checkpoint(Constant(), tiny_conf(), ("Beep", "Hum"), 0, 0), device="cpu")


def recording(path: Path, seconds: float) -> Path:
    soundfile.write(path, np.random.default_rng(0).uniform(-0.1, 0.1, round(seconds * RATE)), RATE)
    return path


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


def test_a_checkpoint_s_own_decoding_takes_the_place_of_the_fixed_one(tmp_path):
    """Every step scores 0.75: above Hum's threshold alone."""
    decoding = {"thresholds": [0.8, 0.7], "median_filters": [1, 5]}
    checkpoint = Checkpoint(Constant(), tiny_conf(), ("Beep", "Hum"), 0, 0, decoding)
    detection = Detector(checkpoint, device="cpu").detect(recording(tmp_path / "a.wav", 2.0))
    assert {event.label for event in detection.events} == {"Hum"}


def test_a_long_recording_runs_in_half_overlapping_windows_without_seams(detector, tmp_path):
    """10 s in windows of 31 steps every 15: 1 + ceil((160000 - 1.01 * 32000) / 15360) = 10."""
    detection = detector.detect(recording(tmp_path / "a.wav", 10.0))
    assert detector.net.windows == 10
    assert detection.scores.shape == (157, 2)
    np.testing.assert_allclose(detection.scores, 0.75, rtol=1e-6)
    assert [(event.onset, event.label) for event in detection.events] == [(0.0, "Beep"), (0.0, "Hum")]


def test_windows_of_several_recordings_share_batches_and_come_back_in_order(detector, tmp_path):
    paths = [recording(tmp_path / f"{i}.wav", seconds) for i, seconds in enumerate((5.0, 1.0, 2.0, 7.0))]
    found = list(detector.detect_all(paths, batch_size=4))
    assert [detection.path for detection in found] == paths
    assert [round(detection.duration) for detection in found] == [5, 1, 2, 7]


def test_an_unreadable_recording_stops_the_others_only_where_nobody_collects_faults(detector, tmp_path):
    paths = [tmp_path / "bad.wav", recording(tmp_path / "good.wav", 2.0)]
    paths[0].write_text("not audio")
    with pytest.raises(RecipeError, match=r"bad\.wav"):
        list(detector.detect_all(paths))
    faults = []
    assert [detection.path.name for detection in detector.detect_all(paths, faults)] == ["good.wav"]
    assert len(faults) == 1


def test_the_command_writes_events_and_a_score_folder(detector, tmp_path, monkeypatch):
    monkeypatch.setattr(Detector, "load", lambda path: detector)
    recording(tmp_path / "a.wav", 2.0)
    detect.main(["--checkpoint", "x.ckpt", "--out", str(tmp_path / "out"), str(tmp_path / "a.wav")])
    events = (tmp_path / "out" / "events.tsv").read_text().splitlines()
    assert events == [
        "filename\tonset\toffset\tevent_label",
        f"{tmp_path}/a.wav\t0.000\t1.984\tBeep",
        f"{tmp_path}/a.wav\t0.000\t1.984\tHum",
    ]
    scores = (tmp_path / "out" / "scores" / "a.tsv").read_text().splitlines()
    assert scores[0] == "onset\toffset\tBeep\tHum" and len(scores) == 32


def test_folders_are_searched_and_each_recording_taken_once(tmp_path):
    (tmp_path / "deep").mkdir()
    inner, outer = recording(tmp_path / "deep" / "b.flac", 0.2), recording(tmp_path / "a.wav", 0.2)
    (tmp_path / "notes.txt").write_text("x")
    recordings, faults = detect.find_recordings([tmp_path, outer])
    assert sorted(recordings) == [outer, inner] and not faults


def test_what_is_not_there_is_named_and_so_is_a_folder_without_audio(tmp_path):
    _, faults = detect.find_recordings([tmp_path, tmp_path / "none.wav"])
    assert "no audio in this folder" in str(faults[0]) and "no such file" in str(faults[1])


def test_recordings_of_one_name_keep_as_many_folders_as_tell_them_apart(tmp_path):
    for folder in ("x", "y"):
        (tmp_path / folder).mkdir()
    paths = [recording(tmp_path / name, 0.2) for name in ("x/a.wav", "y/a.wav", "y/b.wav")]
    assert list(detect._score_names(paths).values()) == ["x_a", "y_a", "b"]


def test_recordings_that_differ_in_their_suffix_alone_are_refused_before_any_work(tmp_path):
    for suffix in ("wav", "flac"):
        recording(tmp_path / f"a.{suffix}", 0.2)
    with pytest.raises(RecipeError, match="differ in their suffix alone"):
        detect.main(["--checkpoint", "none.ckpt", "--out", str(tmp_path / "out"), str(tmp_path)])


def test_hidden_files_are_left_out_and_unfit_names_are_faults(tmp_path):
    recording(tmp_path / "a.wav", 0.2)
    (tmp_path / "._a.wav").write_text("what macOS leaves")
    (tmp_path / "tab\tbed.wav").write_bytes((tmp_path / "a.wav").read_bytes())
    recordings, faults = detect.find_recordings([tmp_path])
    assert [path.name for path in recordings] == ["a.wav"]
    assert "cannot be printed" in str(faults[0])
