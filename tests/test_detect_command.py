"""`python -m recipe_mtlvae detect`: what it writes, how it handles bad input, and the syntax of its options."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import soundfile

from recipe_mtlvae import __main__ as command_line
from recipe_mtlvae.commands.detection_options import by_class, split_names
from recipe_mtlvae.inference import detection_files as detections
from recipe_mtlvae.labels import DetectedEvent
from recipe_mtlvae.scoring.scores import read_scores
from tests.tiny import RATE, recording, tiny_conf


@pytest.fixture
def detect(checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., int]:
    """Run the command into tmp_path / "out" and return the exit code; every class is above the threshold everywhere."""

    def run(*arguments: object, out: Path = tmp_path / "out", threshold: str = "0.1") -> int:
        options = ["detect", "--checkpoint", checkpoint, "--out", out, "--threshold", threshold, *arguments]
        monkeypatch.setattr(sys, "argv", ["recipe_mtlvae", *map(str, options)])
        return command_line.main()

    return run


def lines(path: Path) -> list[list[str]]:
    return [line.split("\t") for line in path.read_text().splitlines()]


# --- what is written


def test_every_recording_gets_its_files(detect, tmp_path):
    path = recording(tmp_path / "a.wav")
    assert detect(path, "--threshold", "Beep=0.1,Hum=1") == 0
    out = tmp_path / "out"
    (event,) = lines(out / "events" / "a.tsv")[1:]
    assert lines(out / "events" / "a.tsv")[0] == ["filename", "onset", "offset", "event_label", "confidence"]
    assert event[:4] == ["a.wav", "0.000", "1.984", "Beep"] and 0.1 < float(event[4]) < 1
    assert (out / "events.tsv").read_text() == (out / "events" / "a.tsv").read_text()
    assert lines(out / "recordings.tsv") == [["filename", "duration", "path"], ["a.wav", "2.000000", str(path)]]
    scores = read_scores(out / "scores")
    assert scores.classes == ("Beep", "Hum") and scores.clips["a"].scores.shape == (31, 2)
    assert (out / "summary.html").exists() and not (out / "plots").exists()


EVENTS = [DetectedEvent(0.0, 1.25, "Dog", 0.5), DetectedEvent(3661.5, 3662.0, "Male speech, man\tspeaking", 0.98765)]


def test_audacity_labels_are_start_end_and_label():
    """https://manual.audacityteam.org/man/importing_and_exporting_labels.html"""
    assert detections.audacity_labels(EVENTS) == (
        "0.000000\t1.250000\tDog\n3661.500000\t3662.000000\tMale speech, man speaking\n"
    )


def test_raven_table_holds_ravens_required_columns():
    """Raven Pro 1.6 user's manual, chapter 6: required are view, channel, times and frequencies."""
    header, first, second = detections.raven_table(EVENTS, tiny_conf().features).splitlines()
    assert header == (
        "Selection\tView\tChannel\tBegin Time (s)\tEnd Time (s)\tLow Freq (Hz)\tHigh Freq (Hz)\tAnnotation\tConfidence"
    )
    assert first == "1\tSpectrogram 1\t1\t0.000000\t1.250000\t0.0\t8000.0\tDog\t0.5000"
    assert second == "2\tSpectrogram 1\t1\t3661.500000\t3662.000000\t0.0\t8000.0\tMale speech, man speaking\t0.9877"


def test_results_of_earlier_runs_are_kept_and_a_repeated_recording_replaces_its_own(detect, tmp_path):
    one, two = recording(tmp_path / "x" / "a.wav"), recording(tmp_path / "y" / "a.wav")
    assert detect(one) == 0 and detect(two) == 0
    recording(one, 0.5)
    assert detect(one) == 0
    out = tmp_path / "out"
    assert sorted(row[:2] for row in lines(out / "recordings.tsv")[1:]) == [
        ["a.wav", "0.500000"],
        ["y_a.wav", "2.000000"],
    ]
    assert sorted(row[0] for row in lines(out / "events.tsv")[1:]) == ["a.wav", "a.wav", "y_a.wav", "y_a.wav"]
    assert sorted(path.name for path in (out / "scores").iterdir()) == ["a.tsv", "y_a.tsv"]


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("events.tsv", "mine\n"),
        ("recordings.tsv", "filename\tduration\tpath\na.wav\t1.0\n"),
        ("recordings.tsv", "filename\tduration\tpath\na.wav\t1.0\t/a.wav\tmore\n"),
        ("recordings.tsv", "filename\tduration\tpath\n" + "a" * 200_000 + "\t1.0\t/a.wav\n"),
    ],
    ids=["other columns", "a cell too few", "a cell too many", "a long cell"],
)
def test_a_table_that_detect_did_not_write_is_not_overwritten(detect, tmp_path, capsys, name, content):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / name).write_text(content)
    assert detect(recording(tmp_path / "a.wav")) == 1
    assert "was not written by detect; give another --out" in capsys.readouterr().err
    assert (tmp_path / "out" / name).read_text() == content


def test_plot_draws_one_picture_per_recording_and_several_of_a_long_one(detect, tmp_path):
    short, long = recording(tmp_path / "a.wav", 0.1), recording(tmp_path / "b.wav", 400.0)
    assert detect(short, long, "--plot") == 0
    names = sorted(path.name for path in (tmp_path / "out" / "plots").iterdir())
    assert names == ["a.png", "b_page01.png", "b_page02.png"]
    assert detect(recording(tmp_path / "b.wav", 0.1), "--plot") == 0  # the same name, now short
    assert sorted(path.name for path in (tmp_path / "out" / "plots").iterdir()) == ["a.png", "b.png"]


# --- faults


def test_bad_recordings_are_reported_at_the_end_and_do_not_stop_the_others(detect, tmp_path, capsys):
    recording(tmp_path / "in" / "a.wav"), recording(tmp_path / "in" / "d.wav")
    (tmp_path / "in" / "b.wav").write_text("no audio")
    (tmp_path / "in" / "c.wav").touch()
    assert detect(tmp_path / "in") == 1
    *_, first, second = capsys.readouterr().err.splitlines()
    assert first.startswith(f"error: {tmp_path}/in/b.wav: is not readable as audio")
    assert second.startswith(f"error: {tmp_path}/in/c.wav: is empty (0 bytes)")
    assert [row[0] for row in lines(tmp_path / "out" / "recordings.tsv")[1:]] == ["a.wav", "d.wav"]


def test_impossible_samples_and_an_unfit_folder_name_do_not_stop_the_others(detect, tmp_path, capsys):
    recording(tmp_path / "in" / "a.wav"), recording(tmp_path / "in" / "d.wav")
    (tmp_path / "in" / "\udcff").mkdir()
    recording(tmp_path / "b.wav").rename(tmp_path / "in" / "\udcff" / "b.wav")
    samples = np.zeros(RATE)
    samples[5] = 1e18
    soundfile.write(tmp_path / "in" / "c.wav", samples, RATE, subtype="FLOAT")
    assert detect(tmp_path / "in") == 1
    said = capsys.readouterr().err
    assert "c.wav: holds samples as large as 1e+18" in said and "is in a folder whose name is not UTF-8" in said
    assert [row[0] for row in lines(tmp_path / "out" / "recordings.tsv")[1:]] == ["a.wav", "d.wav"]


def test_damaged_recordings_are_scored_with_a_warning(detect, tmp_path, capsys):
    path = recording(tmp_path / "a.wav")
    path.write_bytes(path.read_bytes()[: 44 + 2 * RATE * 3 // 2])
    assert detect(path) == 0
    missing = "is truncated at 1.50 s: 16000 of 64000 bytes are missing; the readable samples are used"
    assert f"warning: {path}: {missing}" in capsys.readouterr().err
    assert lines(tmp_path / "out" / "recordings.tsv")[1][:2] == ["a.wav", "1.500000"]


def test_a_second_detect_into_the_same_folder_is_refused_while_the_first_runs(detect, tmp_path, capsys):
    (tmp_path / "out").mkdir()
    with detections.only_writer(tmp_path / "out"):
        assert detect(recording(tmp_path / "a.wav")) == 1
    assert (
        "out: another detect writes into this folder; wait for its end, or give another --out"
        in capsys.readouterr().err
    )
    assert detect(tmp_path / "a.wav") == 0


def test_an_interrupt_keeps_finished_results(detect, tmp_path, monkeypatch):
    for name in ("a", "b", "c"):
        recording(tmp_path / "in" / f"{name}.wav")
    write, written = detections.write_detection, []

    def interrupted(*arguments):
        if written:
            raise KeyboardInterrupt
        written.append(write(*arguments))
        return written[0]

    monkeypatch.setattr(detections, "write_detection", interrupted)
    assert detect(tmp_path / "in") == 1
    assert [row[0] for row in lines(tmp_path / "out" / "recordings.tsv")[1:]] == ["a.wav"]
    assert (tmp_path / "out" / "summary.html").exists()


def test_an_output_folder_that_cannot_be_created_is_refused(detect, tmp_path, capsys):
    (tmp_path / "file").touch()
    assert detect(recording(tmp_path / "a.wav"), out=tmp_path / "file" / "out") == 1
    assert "cannot be written to" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--threshold", "Dog=0.3"], "unknown class Dog: the checkpoint knows Beep, Hum"),
        (["--classes", "Beep,Dog"], "unknown class Dog"),
        (["--classes", ""], "--classes: expected at least one"),
        (["--median_filter", "-1"], "median_filter -1: expected 0 or more"),
    ],
)
def test_options_that_do_not_fit_the_checkpoint_are_refused(detect, tmp_path, capsys, options, words):
    assert detect(recording(tmp_path / "a.wav"), *options) == 1
    assert words in capsys.readouterr().err
    assert not (tmp_path / "out" / "events").exists()


@pytest.mark.parametrize(
    "options",
    [
        ["--threshold", "Dog:0.3"],
        ["--threshold", ""],
        ["--out", ""],
        ["--median_filter", "x"],
        ["--min_duration", "nan"],
        ["--min_duration=-1"],
    ],
)
def test_malformed_options_are_wrong_usage(detect, tmp_path, options):
    with pytest.raises(SystemExit) as error:
        detect(recording(tmp_path / "a.wav"), *options)
    assert error.value.code == 2


def test_a_file_that_is_no_checkpoint_is_refused(detect, tmp_path, capsys):
    (tmp_path / "x.ckpt").write_bytes(b"PK no weights")
    assert detect(recording(tmp_path / "a.wav"), "--checkpoint", tmp_path / "x.ckpt") == 1
    assert "not a checkpoint" in capsys.readouterr().err


# --- syntax of options


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("0.4", 0.4),
        ("Dog=0.3,Speech=.6", {"Dog": 0.3, "Speech": 0.6}),
        ("Male speech, man speaking=1e-1,a=b=0.5", {"Male speech, man speaking": 0.1, "a=b": 0.5}),
    ],
)
def test_an_option_takes_one_value_or_values_by_class(text, expected):
    assert by_class(text) == expected


def test_class_names_may_hold_commas():
    classes = ["Dog", "Male speech", "Male speech, man speaking"]
    assert split_names("Male speech, man speaking,Dog", classes) == ["Male speech, man speaking", "Dog"]
    assert split_names("Cat,Dog", classes) == ["Cat", "Dog"]


def test_help_names_every_option(detect, capsys):
    with pytest.raises(SystemExit):
        detect("--help")
    options = set(re.findall(r"--\w+", capsys.readouterr().out))
    assert options >= {
        "--checkpoint",
        "--out",
        "--classes",
        "--threshold",
        "--median_filter",
        "--min_duration",
        "--plot",
    }
