"""Long recordings: cut into windows with their labels for training, and kept whole for scoring."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import soundfile

from recipe_mtlvae.audio.decoding import read_audio
from recipe_mtlvae.corpus.cutting import cut_recordings, named_clip, window, window_starts
from recipe_mtlvae.corpus.metadata import Clip
from recipe_mtlvae.corpus.splits import Corpus
from recipe_mtlvae.inputs.log_mel import LogMelInput
from recipe_mtlvae.inputs.prepared import open_split, store_folder, stored_clips
from recipe_mtlvae.inputs.store import StoreJob, build_stores
from recipe_mtlvae.labels import Event
from tests.tiny import AUDIO, RATE, tiny_conf

CONF = tiny_conf()
STRONG = "audio/train/strong_label_real/strong_real_1.wav"


@pytest.mark.parametrize(
    ("duration", "starts"),
    [
        (0.5, []),
        (10.0, []),
        (10.1, []),
        (10.2, [0, 0.2]),
        (20.0, [0, 10]),
        (20.05, [0, 10.05]),
        (25.0, [0, 10, 15]),
        (61.2345, [0, 10, 20, 30, 40, 50, 51.234]),
    ],
)
def test_windows_follow_each_other_and_the_last_one_ends_with_the_recording(duration, starts):
    assert window_starts(duration, 10.0) == pytest.approx(starts)


def test_events_and_labels_are_cut_with_their_window():
    events = (Event(0.5, 1.0, "Dog"), Event(1.5, 2.5, "Cat"), Event(3.0, 9.0, "Hum"), Event(4.0, 4.5, "Dog"))
    clip = Clip("a.wav", Path("a.wav"), events, frozenset({"Dog", "Cat", "Hum"}))
    cut = window(clip, 2.0, 2.0)
    assert cut.events == (Event(0.0, 0.5, "Cat"), Event(1.0, 2.0, "Hum"))
    assert cut.labels == {"Cat", "Hum"}
    assert (cut.name, cut.start) == ("a.wav/2.000", 2.0)


def test_a_window_between_the_events_is_event_free():
    clip = Clip("a.wav", Path("a.wav"), (Event(0.5, 1.0, "Dog"),), frozenset({"Dog"}))
    assert (window(clip, 2.0, 2.0).events, window(clip, 2.0, 2.0).labels) == ((), frozenset())


def test_every_window_keeps_all_clip_labels():
    clip = Clip("a.wav", Path("a.wav"), None, frozenset({"Dog"}))
    assert window(clip, 2.0, 2.0).labels == {"Dog"}


def test_a_window_is_found_again_by_its_name():
    clip = Clip("a.wav", Path("a.wav"), (Event(0.5, 1.0, "Dog"),), frozenset({"Dog"}))
    cut = cut_recordings([clip], {"a.wav": 5.0}, 2.0)
    assert [named_clip(part.name, {"a.wav": clip}, 2.0) for part in cut] == cut
    assert named_clip("b.wav/0.000", {"a.wav": clip}, 2.0) is None


def test_a_recording_as_long_as_a_clip_is_not_cut():
    clip = Clip("a.wav", Path("a.wav"), (), frozenset())
    assert cut_recordings([clip], {"a.wav": 2.02}, 2.0) == [clip]


def build(root: Path, name: str) -> None:
    corpus = Corpus(CONF, root)
    files = corpus.files(name)
    durations = {clip.name: soundfile.info(clip.path).duration for clip in files.clips}
    clips = stored_clips(corpus, files, durations)
    source = LogMelInput(CONF)
    build_stores([StoreJob(clips, store_folder(source, root, name))], source, 1)


def test_a_training_split_holds_the_windows_and_counts_the_recordings(root):
    samples = np.concatenate([np.zeros(2 * RATE), 0.5 * np.ones(2 * RATE), np.zeros(RATE)])
    soundfile.write(root / STRONG, samples, RATE)
    build(root, "strong_real")
    split = open_split(Corpus(CONF, root), "strong_real")
    names = ["strong_real_1.wav/0.000", "strong_real_1.wav/2.000", "strong_real_1.wav/3.000"]
    assert [clip.name for clip in split.clips if clip.start is not None] == names
    assert (len(split.clips), len(split.recordings), split.expected) == (8, 6, 6)
    assert [split.durations[name] for name in names] == [2.0, 2.0, 2.0]
    assert split.seconds == {clip.name: 5.0 if clip.name == "strong_real_1.wav" else 2.0 for clip in split.recordings}
    loud = {name: split.store.read([split.store.names.index(name)]).max() for name in names}
    assert loud[names[0]] == CONF.features.db_min < loud[names[1]]


def test_a_test_split_keeps_long_recordings_whole(root):
    soundfile.write(root / AUDIO / "validation_1.wav", 0.1 * np.ones(5 * RATE), RATE)
    build(root, "validation")
    split = open_split(Corpus(CONF, root), "validation")
    assert [clip.name for clip in split.clips] == [f"validation_{number}.wav" for number in range(4)]
    assert split.durations["validation_1.wav"] == 5.0


def test_the_samples_of_a_window_are_those_of_its_stretch(root, tmp_path):
    samples = 0.1 * np.random.default_rng(0).standard_normal(5 * RATE)
    soundfile.write(root / STRONG, samples, RATE, subtype="FLOAT")
    soundfile.write(tmp_path / "part.wav", samples[2 * RATE : 4 * RATE], RATE, subtype="FLOAT")
    np.testing.assert_array_equal(
        read_audio(root / STRONG, RATE, 2.0, start=2.0).samples, read_audio(tmp_path / "part.wav", RATE, 2.0).samples
    )
