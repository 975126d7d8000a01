"""Stage 0 with faulty or unusual audio: what is refused, what is left out, and what is used with a warning."""

from __future__ import annotations

import os
import shutil
import struct
from pathlib import Path

import numpy as np
import pytest
import soundfile

from recipe_mtlvae.corpus.splits import Corpus
from recipe_mtlvae.inputs.prepared import open_split
from tests.stage0 import holding, instead, refused
from tests.tiny import AUDIO, RATE, VALIDATION, append, tiny_conf

CLIP = f"{AUDIO}/validation_1.wav"


def not_a_number(path: Path) -> None:
    soundfile.write(path, np.full(RATE, np.nan, dtype=np.float32), RATE, subtype="FLOAT")


def flac_inside(path: Path) -> None:
    soundfile.write(path, np.zeros(RATE), RATE, format="FLAC")


def wav(rate: int = RATE, channels: int = 1, samples: int = 100, promised: int | None = None) -> bytes:
    """Return a 16-bit WAV file. Its header promises `promised` bytes, by default those that follow."""
    data = bytes(2 * channels * samples)
    size = len(data) if promised is None else promised
    header = struct.pack("<4sIHHIIHH", b"fmt ", 16, 1, channels, rate, 2 * channels * rate, 2 * channels, 16)
    return b"RIFF" + struct.pack("<I", 36 + size) + b"WAVE" + header + b"data" + struct.pack("<I", size) + data


# name: (what is done to the corpus, the place and the words of the error)
REFUSED = {
    "split without audio": (
        lambda root: [path.unlink() for path in (root / AUDIO).iterdir()],
        f"{AUDIO}: split 'validation': expected 4 audio files, found none of them",
    ),
    "a folder as audio": (instead(Path.mkdir, CLIP), f"{CLIP}: is a folder, not an audio file"),
    "a pipe as audio": (instead(os.mkfifo, CLIP), f"{CLIP}: is no plain file"),
    "link to nothing": (instead(lambda path: path.symlink_to("gone.wav"), CLIP), f"{CLIP}: no such audio file"),
    "link to itself": (instead(lambda path: path.symlink_to(path.name), CLIP), f"{CLIP}: no such audio file"),
    "link to a device": (instead(lambda path: path.symlink_to("/dev/zero"), CLIP), f"{CLIP}: is a link out of"),
    "half a header": (holding(wav()[:20], CLIP), f"{CLIP}: is not readable as audio"),
    "header without samples": (holding(wav(samples=0), CLIP), f"{CLIP}: holds no samples"),
    "no channel": (holding(wav(channels=0, samples=0, promised=8), CLIP), f"{CLIP}: is "),
    "rate of 1 Hz": (holding(wav(rate=1), CLIP), f"{CLIP}: sample rate 1 Hz: expected 1000 to 384000"),
    "noise in a wav's place": (holding(os.urandom(5000), CLIP), f"{CLIP}: is not readable as audio"),
    "evaluation name with a newline": (
        lambda root: shutil.copy(root / CLIP, root / "audio/eval/evaluation/a\nb.wav"),
        "audio/eval/evaluation: file name 'a\\nb.wav': holds a control character",
    ),
    "the same audio in training and test": (
        lambda root: shutil.copy(root / CLIP, root / "audio/train/strong_label_real/strong_real_1.wav"),
        "metadata/train/audioset_strong.tsv: THE SAME AUDIO IN TRAINING AND TEST: 1 clips",
    ),
    "empty audio": (lambda root: (root / CLIP).write_bytes(b""), f"{CLIP}: is empty (0 bytes)"),
    "text as audio": (lambda root: (root / CLIP).write_bytes(b"404 not found"), f"{CLIP}: is not readable as audio"),
    "wrongly named audio": (lambda root: flac_inside(root / CLIP), f"{CLIP}: is wrongly named"),
    "NaN audio": (lambda root: not_a_number(root / CLIP), f"{CLIP}: holds samples that are NaN"),
    "link out of the folder": (
        lambda root: ((root / CLIP).rename(root / "x.wav"), (root / CLIP).symlink_to(root / "x.wav")),
        f"{CLIP}: is a link out of the corpus",
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_faulty_audio_is_refused_in_one_line_that_names_the_place(root, stage0, name):
    spoil, words = REFUSED[name]
    spoil(root)
    refused(root, stage0(root), words)


def test_skip_bad_leaves_out_faulty_clips_and_lowers_the_coverage(root, stage0):
    (root / CLIP).write_bytes(b"")
    append(root / VALIDATION, "validation_2.wav\t2\t1\tHum")
    assert "--set data.skip_bad=true" in "\n".join(stage0(root).err)
    outcome = stage0(root, "data.skip_bad=true")
    assert outcome.code == 0
    assert len([line for line in outcome.warnings if line.startswith("left out: ")]) == 2
    split = open_split(Corpus(tiny_conf("data.skip_bad=true"), root), "validation")
    assert (len(split.clips), split.expected) == (2, 4)
    assert "50.0 %" in outcome.out


def test_skip_bad_gives_the_same_warnings_when_the_corpus_is_already_prepared(root, stage0):
    (root / CLIP).write_bytes(b"")
    first, second = (stage0(root, "data.skip_bad=true", tag=tag) for tag in ("one", "two"))
    assert (first.code, second.code) == (0, 0)
    assert first.warnings == second.warnings


def test_a_recording_that_is_faulty_after_its_first_clip_is_left_out_of_the_features(root, stage0):
    samples = 0.1 * np.random.default_rng(0).standard_normal(40 * RATE)
    samples[30 * RATE] = np.nan
    soundfile.write(root / CLIP, samples, RATE, subtype="FLOAT")
    assert stage0(root, "data.skip_bad=true").code == 0
    split = open_split(Corpus(tiny_conf("data.skip_bad=true"), root), "validation")
    assert Path(CLIP).name not in {clip.name for clip in split.clips}
    assert (len(split.clips), split.expected) == (3, 4)


def test_skip_bad_uses_copies_of_test_clips_with_a_warning(root, stage0):
    shutil.copy(root / CLIP, root / "audio/train/strong_label_real/strong_real_1.wav")
    outcome = stage0(root, "data.skip_bad=true")
    assert outcome.code == 0
    assert any(line.startswith("used anyway: ") and "TRAINING AND TEST" in line for line in outcome.warnings)
    assert not any(line.startswith("left out: ") for line in outcome.warnings)


def test_a_split_with_only_faulty_clips_is_refused_even_with_skip_bad(root, stage0):
    for path in (root / AUDIO).iterdir():
        (path).write_bytes(b"")
    outcome = stage0(root, "data.skip_bad=true")
    assert outcome.code == 1
    assert outcome.errors[0].startswith("split 'validation': no clip is left")


ACCEPTED = {
    "8-bit": lambda path: soundfile.write(path, 0.1 * np.ones(2 * RATE), RATE, subtype="PCM_U8"),
    "stereo": lambda path: soundfile.write(path, 0.1 * np.ones((2 * RATE, 2)), RATE),
    "44.1 kHz": lambda path: soundfile.write(path, 0.1 * np.ones(88200), 44100),
    "a tenth of a second": lambda path: soundfile.write(path, 0.1 * np.ones(RATE // 10), RATE),
}


@pytest.mark.parametrize("name", ACCEPTED)
def test_usable_audio_is_accepted_without_a_warning(root, stage0, name):
    ACCEPTED[name](root / CLIP)
    (root / VALIDATION).write_text("filename\tonset\toffset\tevent_label\nvalidation_1.wav\t0\t0.1\tHum\n")
    outcome = stage0(root)
    assert (outcome.code, outcome.warnings) == (0, [])


def test_unusual_but_usable_audio_gives_one_warning_each(root, stage0):
    soundfile.write(root / CLIP, 0.1 * np.ones(300 * RATE), RATE)
    soundfile.write(root / AUDIO / "validation_2.wav", np.zeros(2 * RATE), RATE)
    (root / AUDIO / "validation_3.wav").unlink()
    (root / "audio/eval/evaluation/readme.txt").touch()
    append(root / VALIDATION, "validation_0.wav\t1.2\t2.3\tBeep")
    outcome = stage0(root)
    assert outcome.code == 0
    assert sorted(outcome.warnings) == [
        "evaluation: 1 files are no audio by their names, the first 'readme.txt'",
        "validation: 'validation_2.wav' is silent",
        "validation: 1 events end after their clip, by 0.300 s at most: cut for training, as published for scoring",
        "validation: 1 events touch or overlap another of their class: merged for training, for scoring too",
        "validation: 1 of 4 clips are not on disk, the first 'validation_3.wav': 75.0 % are",
    ]


def test_truncated_audio_is_used_with_a_warning(root, stage0):
    os.truncate(root / CLIP, 44 + 2 * RATE * 3 // 2)
    outcome = stage0(root)
    assert outcome.code == 0
    truncated = "validation: 'validation_1.wav' is truncated at 1.50 s: 16000 of 64000 bytes are missing"
    assert truncated in outcome.warnings
