"""The check of a corpus: its counts, and what is an error, a warning or a note. test_copies.py tests copies."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
import soundfile

from recipe_mtlvae.corpus import problems
from recipe_mtlvae.corpus.check import SplitCheck
from tests.checked import HEADER, PAIR, STRONG, TRAINING, checked, noise
from tests.tiny import AUDIO, RATE, VALIDATION, append


def validation(root: Path) -> SplitCheck:
    return next(split for split in checked(root).splits if split.name == "validation")


def test_a_faultless_corpus_has_no_errors_warnings_or_notes(root):
    check = checked(root)
    assert (problems.errors(check), problems.warnings(check), problems.notes(check)) == ([], [], [])
    assert [split.coverage for split in check.splits] == [1.0] * 8


def test_events_and_seconds_are_counted_after_the_merging_and_cutting_of_training(root):
    (root / VALIDATION).write_text(
        HEADER
        + "validation_0.wav\t0.0\t1.0\tHum\n"
        + "validation_0.wav\t0.5\t1.5\tHum\n"  # merged with the event before: 0.0 to 1.5
        + "validation_0.wav\t1.0\t2.5\tBeep\n"  # cut at 2.0
        + "validation_1.wav\t\t\t\n"
    )
    found = validation(root)
    hum, beep = found.classes["Hum"], found.classes["Beep"]
    assert (hum.events, hum.clips, hum.seconds) == (2, 1, 1.5)
    assert (beep.events, beep.clips, beep.seconds) == (1, 1, 1.0)
    assert (found.merged, found.events_past_end, found.longest_past_end, found.event_free) == (1, 1, 0.5, 1)
    assert found.polyphony == {1: 1.5, 2: 0.5, 0: 2.0}


LABELLED = (
    STRONG,
    "metadata/train/weak.tsv",
    "metadata/train/synthetic21_train/soundscapes.tsv",
    "metadata/validation/synthetic21_validation/soundscapes.tsv",
)


def write_without(path: Path, label: str) -> None:
    path.write_text("".join(line for line in path.read_text().splitlines(keepends=True) if label not in line))


SAID = {
    "missing": (
        lambda root: (root / AUDIO / "validation_3.wav").unlink(),
        "warnings",
        "validation: 1 of 4 clips are not on disk, the first 'validation_3.wav': 75.0 % are",
    ),
    "silent": (
        lambda root: soundfile.write(root / AUDIO / "validation_3.wav", np.zeros(2 * RATE), RATE),
        "warnings",
        "validation: 'validation_3.wav' is silent",
    ),
    "low rate": (
        lambda root: noise(root / AUDIO / "validation_3.wav", rate=8000),
        "warnings",
        "validation: 'validation_3.wav' is sampled below 16000 Hz: what is higher is not there",
    ),
    "odd rate": (
        lambda root: noise(root / AUDIO / "validation_3.wav", rate=44100),
        "notes",
        "validation: 'validation_3.wav' is not sampled at 16000 Hz, as most are: resampled",
    ),
    "short": (
        lambda root: noise(root / AUDIO / "validation_3.wav", 1.6),
        "notes",
        "validation: 'validation_3.wav' is shorter than 2 s: padded",
    ),
    "long, to be scored": (
        lambda root: noise(root / AUDIO / "validation_3.wav", 5.0),
        "notes",
        "validation: 'validation_3.wav' is longer than 2 s: scored whole",
    ),
    "long, to be trained on": (
        lambda root: noise(root / TRAINING / "strong_real_3.wav", 5.0),
        "notes",
        "strong_real: 'strong_real_3.wav' is longer than 2 s: cut into windows, the labels with them",
    ),
    "long, with clip labels": (
        lambda root: noise(root / "audio/train/weak/weak_3.wav", 5.0),
        "warnings",
        "weak: 'weak_3.wav' is cut into windows that all take the labels of the whole",
    ),
    "clipped": (
        lambda root: soundfile.write(root / AUDIO / "validation_3.wav", np.sign(np.sin(np.arange(2 * RATE))), RATE),
        "notes",
        "validation: 'validation_3.wav' is clipped: more than 0.01 % of the samples in runs at full scale",
    ),
    "events after the end": (
        lambda root: append(root / VALIDATION, "validation_0.wav\t2.5\t3.0\tHum"),
        "warnings",
        "validation: 1 clips have events that begin after their end, the first 'validation_0.wav'",
    ),
    "overlapping events": (
        lambda root: append(root / VALIDATION, "validation_0.wav\t1.0\t1.5\tBeep"),
        "warnings",
        "validation: 1 events touch or overlap another of their class: merged for training, for scoring too",
    ),
    "event-free": (
        lambda root: (noise(root / AUDIO / "x.wav"), append(root / VALIDATION, "x.wav\t\t\t")),
        "notes",
        "validation: 1 clips are event-free: kept, also for scoring",
    ),
    "audio without a row": (
        lambda root: noise(root / AUDIO / "x.wav"),
        "notes",
        "validation: 1 files are not in the metadata, the first 'x.wav'",
    ),
    "a class nowhere to be learned": (
        lambda root: [write_without(root / path, "Hum") for path in LABELLED],
        "warnings",
        "no clip to train on has Hum (only validation and public)",
    ),
    "training clips without events": (
        lambda root: (root / STRONG).write_text(HEADER + "strong_real_0.wav\t\t\t\n"),
        "warnings",
        "strong_real: no clip has an event: there is nothing to learn from it",
    ),
    "selection clips without events": (
        lambda root: (root / LABELLED[3]).write_text(HEADER + "synthetic_validation_0.wav\t\t\t\n"),
        "warnings",
        "synthetic_validation: no clip has an event: it cannot tell epochs apart",
    ),
    "truncated": (
        lambda root: os.truncate(root / AUDIO / "validation_3.wav", 44 + RATE * 3),
        "warnings",
        "validation: 'validation_3.wav' is truncated at 1.50 s: 16000 of 64000 bytes are missing",
    ),
    "out of phase": (
        lambda root: soundfile.write(root / AUDIO / "validation_3.wav", PAIR * [1.0, -1.0], RATE),
        "warnings",
        "validation: 'validation_3.wav' is silent once mixed to mono, as the network gets it: the channels are out of "
        "phase",
    ),
    "integers as floats": (
        lambda root: soundfile.write(root / AUDIO / "validation_3.wav", 30000 * PAIR, RATE, subtype="FLOAT"),
        "warnings",
        "validation: 'validation_3.wav' is louder than 10 times full scale: are its samples integers?",
    ),
    "a name in another Unicode form": (
        lambda root: (noise(root / AUDIO / "cafe\u0301.wav"), append(root / VALIDATION, "caf\u00e9.wav\t0\t1\tHum")),
        "warnings",
        "validation: 'café.wav' is composed otherwise on disk (Unicode has two forms for letters with marks): matched",
    ),
    "names that differ in case": (
        lambda root: (
            noise(root / AUDIO / "Validation_3.wav"),
            append(root / VALIDATION, "Validation_3.wav\t0\t1\tHum"),
        ),
        "warnings",
        "validation: 1 names differ from others in case alone, which some systems take for one: 'Validation_3.wav' and "
        "'validation_3.wav'",
    ),
}


@pytest.mark.parametrize("name", SAID)
def test_unusual_data_gives_a_warning_or_a_note_and_no_error(root, name):
    spoil, level, words = SAID[name]
    spoil(root)
    check = checked(root)
    assert problems.errors(check) == []
    assert words in getattr(problems, level)(check)


def test_a_class_only_in_a_split_whose_task_is_off_has_no_clip_to_train_on(root):
    for path in LABELLED:
        if path != STRONG:
            write_without(root / path, "Hum")
    assert problems.warnings(checked(root)) == []
    off = checked(root, "tasks=[strong_synth, weak]")
    assert "no clip to train on has Hum (only strong_real and validation and public)" in problems.warnings(off)


@pytest.mark.parametrize(
    ("labels", "words"),
    [
        (["Beep", "beep"], ["labels 'Beep' and 'beep' differ in case or spaces alone: are they one?"]),
        (
            ["Dog\u00a0bark", "Dog bark"],
            ["labels 'Dog\\xa0bark' and 'Dog bark' differ in case or spaces alone: are they one?"],
        ),
        (["Beep;Hiss"], ["label 'Beep;Hiss' looks like 2 labels: commas separate them, in weak tables"]),
        (["A, b", "A", "b"], ["label 'A, b' looks like 2 labels: commas separate them, in weak tables"]),
        (['"Beep'], ["label '\"Beep' looks like a part of one in quotes"]),
        (["Male speech, man speaking", "Beep", "Hum"], []),
    ],
)
def test_labels_that_look_wrong_give_a_hint(labels, words):
    assert problems.label_hints(labels) == words
