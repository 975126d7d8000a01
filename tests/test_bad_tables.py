"""Stage 0 with faulty tables and settings: one clear line for each fault, exit code 1, nothing left half-written."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.stage0 import holding, instead, refused, row
from tests.tiny import VALIDATION, append

WEAK, UNLABELED = "metadata/train/weak.tsv", "metadata/train/unlabel_in_domain.tsv"
HEADER = "filename\tonset\toffset\tevent_label\n"
PLAIN = "expected a plain file name that stays in the audio folder"
COLUMNS = "1: expected the columns filename onset offset event_label, separated by tabs; got "

# name: (what is done to the corpus, the place and the words of the error)
REFUSED = {
    "wrong column": (
        lambda root: (root / VALIDATION).write_text("filename\tonset\toffset\tlabel\na.wav\t0\t1\tHum\n"),
        f"{VALIDATION}:1: expected the columns filename onset offset event_label",
    ),
    "unknown label": (
        lambda root: append(root / VALIDATION, "validation_1.wav\t0\t1\tWhale"),
        f"{VALIDATION}:6: label 'Whale' is not in the class list",
    ),
    "onset after offset": (
        lambda root: append(root / VALIDATION, "validation_1.wav\t2\t1\tHum"),
        f"{VALIDATION}:6: onset 2 is not before offset 1",
    ),
    "negative time": (
        lambda root: append(root / VALIDATION, "validation_1.wav\t-1\t1\tHum"),
        f"{VALIDATION}:6: onset '-1': expected seconds",
    ),
    "time that is no number": (
        lambda root: append(root / VALIDATION, "validation_1.wav\t0\tend\tHum"),
        f"{VALIDATION}:6: offset 'end': expected seconds",
    ),
    "name that leaves the folder": (
        lambda root: append(root / VALIDATION, "../validation_1.wav\t0\t1\tHum"),
        f"{VALIDATION}:6: file name '../validation_1.wav': expected a plain file name",
    ),
    "duplicate": (
        lambda root: append(root / VALIDATION, "validation_1.wav\t0.375\t1.375\tHum"),
        f"{VALIDATION}:6: 'validation_1.wav 0.375 1.375 Hum' stands already in line 3",
    ),
    "empty split": (
        lambda root: (root / VALIDATION).write_text("filename\tonset\toffset\tevent_label\n"),
        f"{VALIDATION}: split 'validation' is empty",
    ),
    "onset missing": (row("validation_1.wav\t\t1\tHum"), f"{VALIDATION}:6: onset empty"),
    "label missing": (row("validation_1.wav\t0\t1\t"), f"{VALIDATION}:6: event_label empty"),
    "time NaN": (row("validation_1.wav\tnan\t1\tHum"), f"{VALIDATION}:6: onset 'nan': expected seconds"),
    "time infinite": (row("validation_1.wav\t0\tinf\tHum"), f"{VALIDATION}:6: offset 'inf': expected seconds"),
    "decimal comma": (row("validation_1.wav\t0,5\t1\tHum"), f"{VALIDATION}:6: onset '0,5': expected seconds"),
    "time as a clock": (row("validation_1.wav\t0:05\t1\tHum"), f"{VALIDATION}:6: onset '0:05': expected seconds"),
    "event of no length": (row("validation_1.wav\t1\t1\tHum"), f"{VALIDATION}:6: onset 1 is not before offset 1"),
    "row too short": (row("validation_1.wav\t0\t1"), f"{VALIDATION}:6: expected 4 fields, as in the header; got 3"),
    "row too long": (
        row("validation_1.wav\t0\t1\tHum\tx"),
        f"{VALIDATION}:6: expected 4 fields, as in the header; got 5",
    ),
    "empty row beside events": (row("validation_1.wav\t\t\t"), f"{VALIDATION}:6: 'validation_1.wav' has events above"),
    "name empty": (row("\t0\t1\tHum"), f"{VALIDATION}:6: file name '': is empty"),
    "name absolute": (row("/etc/passwd\t0\t1\tHum"), f"{VALIDATION}:6: file name '/etc/passwd': {PLAIN}"),
    "name in a subfolder": (row("a/b.wav\t0\t1\tHum"), f"{VALIDATION}:6: file name 'a/b.wav': {PLAIN}"),
    "name of another system": (row("..\\b.wav\t0\t1\tHum"), f"{VALIDATION}:6: file name '..\\\\b.wav': {PLAIN}"),
    "name of the folder above": (row("..\t0\t1\tHum"), f"{VALIDATION}:6: file name '..': {PLAIN}"),
    "name with NUL": (row("a\0.wav\t0\t1\tHum"), f"{VALIDATION}:6: file name 'a\\x00.wav': holds a control"),
    "name with an escape": (
        row("\033[2J.wav\t0\t1\tHum"),
        f"{VALIDATION}:6: file name '\\x1b[2J.wav': holds a control character",
    ),
    "name with a return": (row("a\rb.wav\t0\t1\tHum"), f"{VALIDATION}:6: file name 'a\\rb.wav': holds a control"),
    "name with a tab": (row("a\tb.wav\t0\t1\tHum"), f"{VALIDATION}:6: expected 4 fields, as in the header; got 5"),
    "name with a newline": (row("a\nb.wav\t0\t1\tHum"), f"{VALIDATION}:6: expected 4 fields, as in the header; got 1"),
    "name that is not UTF-8": (
        row(b"\xff.wav\t0\t1\tHum"),
        f"{VALIDATION}:6: is not UTF-8: '\\udcff.wav",
    ),
    "name of 10 MB": (
        row("x" * 10**7 + "\t0\t1\tHum"),
        f"{VALIDATION}:6: file name '{80 * 'x'}...': is longer than 255 bytes",
    ),
    "label of 10 MB": (
        row("validation_1.wav\t0\t1\t" + "x" * 10**7),
        f"{VALIDATION}:6: label '{80 * 'x'}...' is not in",
    ),
    "line of 10 MB": (row("x" * 10**7), f"{VALIDATION}:6: expected 4 fields, as in the header; got 1"),
    "names that differ in their suffix": (
        row("validation_1.flac\t0\t1\tHum"),
        f"{VALIDATION}: 'validation_1.flac' and 'validation_1.wav' differ in their suffix alone",
    ),
    "no header": (holding(b"validation_1.wav\t0\t1\tHum\n", VALIDATION), f"{VALIDATION}:{COLUMNS}'validation_1.wav"),
    "commas": (holding(HEADER.replace("\t", ",").encode(), VALIDATION), f"{VALIDATION}:{COLUMNS}'filename,onset"),
    "a column twice": (holding(b"onset\t" + HEADER.encode(), VALIDATION), f"{VALIDATION}:{COLUMNS}'onset filename"),
    "UTF-16": (holding(HEADER.encode("utf-16"), VALIDATION), f"{VALIDATION}:{COLUMNS}"),
    "no text": (holding(bytes(range(256)), VALIDATION), f"{VALIDATION}:{COLUMNS}"),
    "no byte": (holding(b"", VALIDATION), f"{VALIDATION}:{COLUMNS}''"),
    "a page of an error": (holding(b"<html>404</html>", VALIDATION), f"{VALIDATION}:{COLUMNS}'<html>404</html>'"),
    "a folder as table": (instead(Path.mkdir, VALIDATION), f"{VALIDATION}: no such metadata file"),
    "a pipe as table": (instead(os.mkfifo, VALIDATION), f"{VALIDATION}: is a pipe, not a file"),
    "weak label unknown": (row("weak_x.wav\tHum,Whale", WEAK), f"{WEAK}:12: label 'Whale' is not in the class list"),
    "weak label empty": (row("weak_x.wav\tHum,", WEAK), f"{WEAK}:12: an empty label between commas"),
    "weak clip twice": (row("weak_1.wav\tBeep", WEAK), f"{WEAK}:12: 'weak_1.wav' stands already in line 3"),
    "unlabeled clip twice": (
        row("unlabeled_1.wav", UNLABELED),
        f"{UNLABELED}:8: 'unlabeled_1.wav' stands already in line 3",
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_a_faulty_table_is_refused_in_one_line_that_names_the_place(root, stage0, name):
    spoil, words = REFUSED[name]
    spoil(root)
    refused(root, stage0(root), words)


def test_all_faults_of_metadata_and_audio_are_listed(root, stage0):
    append(root / VALIDATION, "validation_1.wav\t2\t1\tHum")
    append(root / "metadata/train/weak.tsv", "weak_1.wav\tHum")
    (root / "audio/train/strong_label_real/strong_real_0.wav").write_bytes(b"")
    (root / "audio/eval/evaluation/any name 1.wav").write_bytes(b"x")
    assert len(stage0(root).errors) == 4


def test_wrong_columns_of_several_splits_are_reported_together(root, stage0):
    for path in (VALIDATION, "metadata/train/weak.tsv"):
        (root / path).write_text("name\n")
    assert len(stage0(root).errors) == 2


def test_all_missing_splits_are_named_together(root, stage0):
    (root / VALIDATION).unlink()
    (root / "audio/train/weak").rename(root / "elsewhere")
    outcome = stage0(root)
    assert outcome.code == 1
    assert outcome.errors == [
        f"{root}/audio/train/weak: split 'weak' has no audio folder; put it there, or correct data.splits",
        f"{root}/{VALIDATION}: split 'validation' has no metadata file; put it there, or correct data.splits",
    ]
    assert not (root / "features").exists()


def test_a_missing_corpus_folder_is_named_and_not_created(tmp_path, stage0):
    outcome = stage0(tmp_path / "nowhere")
    assert outcome.errors[0].startswith(f"{tmp_path}/nowhere: no such folder; give the folder of a corpus")
    assert not (tmp_path / "nowhere").exists()


@pytest.mark.parametrize(
    ("setting", "words"),
    [
        ("data.skip_badly=true", "unknown key 'data.skip_badly'"),
        ("data.clip_seconds=ten", "configuration key 'data.clip_seconds': expected float"),
        ("data.evaluation=/nowhere", "/nowhere: no such folder of audio"),
        ("data.clip_seconds=0.01", "'data.clip_seconds': expected more than 0.064 s"),
    ],
)
def test_faulty_settings_are_refused(root, stage0, setting, words):
    outcome = stage0(root, setting)
    assert outcome.code == 1
    assert words in outcome.errors[0]
