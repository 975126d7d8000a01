"""The check of a corpus: what is counted, what is an error, a warning or a note, and that all of it is said once."""

from __future__ import annotations

import html
import json
import os
import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import soundfile

from recipe_mtlvae.commands import check_data
from recipe_mtlvae.corpus import problems
from recipe_mtlvae.corpus.check import CorpusCheck, SplitCheck, check_corpus
from recipe_mtlvae.corpus.splits import Corpus
from recipe_mtlvae.errors import exit_code_of
from recipe_mtlvae.report.data_report import write_data_report
from tests.tiny import AUDIO, RATE, SETTINGS, VALIDATION, append, tiny_conf

TRAINING = "audio/train/strong_label_real"
STRONG = "metadata/train/audioset_strong.tsv"
PAIR = np.random.default_rng(0).uniform(-0.5, 0.5, (2 * RATE, 1)) * [1.0, 1.0]  # two channels alike
HEADER = "filename\tonset\toffset\tevent_label\n"


def checked(root: Path, *settings: str) -> CorpusCheck:
    corpus = Corpus(tiny_conf(*settings), root)
    return check_corpus(corpus, *corpus.all_files())


def validation(root: Path) -> SplitCheck:
    return next(split for split in checked(root).splits if split.name == "validation")


def noise(path: Path, seconds: float = 2.0, rate: int = RATE) -> None:
    seed = int.from_bytes(path.stem.encode()[-4:])
    soundfile.write(path, 0.1 * np.random.default_rng(seed).standard_normal(round(seconds * rate)), rate)


def test_a_sound_corpus_has_nothing_to_say(root):
    check = checked(root)
    assert (problems.errors(check), problems.warnings(check), problems.notes(check)) == ([], [], [])
    assert [split.coverage for split in check.splits] == [1.0] * 8


def test_events_and_seconds_are_counted_as_trained_on(root):
    (root / VALIDATION).write_text(
        HEADER
        + "validation_0.wav\t0.0\t1.0\tHum\n"
        + "validation_0.wav\t0.5\t1.5\tHum\n"  # with the one before: 0.0 to 1.5
        + "validation_0.wav\t1.0\t2.5\tBeep\n"  # cut at 2.0
        + "validation_1.wav\t\t\t\n"
    )
    found = validation(root)
    hum, beep = found.classes["Hum"], found.classes["Beep"]
    assert (hum.events, hum.clips, hum.seconds) == (2, 1, 1.5)
    assert (beep.events, beep.clips, beep.seconds) == (1, 1, 1.0)
    assert (found.merged, found.past, found.longest_past, found.event_free) == (1, 1, 0.5, 1)
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
def test_it_is_said_in_one_line_and_is_no_error(root, name):
    spoil, level, words = SAID[name]
    spoil(root)
    check = checked(root)
    assert problems.errors(check) == []
    assert words in getattr(problems, level)(check)


def test_a_class_of_a_split_whose_task_is_off_is_learned_from_no_clip(root):
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
def test_labels_that_look_wrong_are_hinted_at(labels, words):
    assert problems.label_hints(labels) == words


def test_out_of_phase_recordings_are_no_copies_of_each_other(root):
    for path, gain in ((f"{AUDIO}/validation_2.wav", 1.0), (f"{TRAINING}/strong_real_4.wav", 0.5)):
        soundfile.write(root / path, gain * PAIR * [1.0, -1.0], RATE)
    check = checked(root)
    assert (problems.errors(check), check.twins) == ([], [])


def copy(root: Path, one: str, other: str) -> None:
    (root / other).write_bytes((root / one).read_bytes())


def test_the_same_audio_in_training_and_test_is_an_error_that_names_both(root):
    copy(root, f"{AUDIO}/validation_2.wav", f"{TRAINING}/strong_real_4.wav")
    (fault,) = problems.errors(checked(root))
    assert str(fault) == (
        f"{root}/{STRONG}: THE SAME AUDIO IN TRAINING AND TEST: 1 clips of 'strong_real' are in 'validation', "
        "such as 'strong_real_4.wav' and 'validation_2.wav'; take their rows out of this table; the audio may stay"
    )


def test_a_copy_in_the_evaluation_set_is_an_error_too(root):
    copy(root, f"{TRAINING}/strong_real_4.wav", "audio/eval/evaluation/any name 0.wav")
    (fault,) = problems.errors(checked(root))
    assert "1 clips of 'strong_real' are in 'evaluation'" in str(fault)


@pytest.mark.parametrize(
    ("other", "words"),
    [
        ("audio/train/weak/weak_1.wav", "strong_real: 1 clips have the same audio as ones of weak, such as"),
        (f"{TRAINING}/strong_real_5.wav", "strong_real: 1 of its clips are copies of others, such as"),
        (
            "audio/validation/synthetic21_validation/soundscapes/synthetic_validation_1.wav",
            "strong_real: 1 clips have the same audio as ones of synthetic_validation, such as",
        ),
    ],
)
def test_other_copies_are_warnings(root, other, words):
    copy(root, f"{TRAINING}/strong_real_4.wav", other)
    check = checked(root)
    assert problems.errors(check) == []
    assert any(text.startswith(words) for text in problems.warnings(check))


def test_copies_are_counted_by_clip(root):
    copies = [f"{TRAINING}/strong_real_{number}.wav" for number in (3, 4, 5)]
    for other in (*copies[1:], f"{AUDIO}/validation_2.wav"):
        copy(root, copies[0], other)
    check = checked(root)
    (fault,) = problems.errors(check)
    assert "3 clips of 'strong_real' are in 'validation'" in str(fault)
    assert any(text.startswith("strong_real: 2 of its clips are copies") for text in problems.warnings(check))


def test_silence_is_no_copy_of_silence(root):
    for path in (f"{AUDIO}/validation_2.wav", f"{TRAINING}/strong_real_4.wav"):
        soundfile.write(root / path, np.zeros(2 * RATE), RATE)
    assert problems.errors(checked(root)) == []
    assert checked(root).twins == []


# --- the command


@pytest.fixture
def check(root: Path, capsys: pytest.CaptureFixture[str]) -> Callable[..., tuple[int, str, str]]:
    def run(*options: str) -> tuple[int, str, str]:
        settings = [f"--set={setting}" for setting in SETTINGS]
        code = exit_code_of(lambda: check_data.main(["--data_root", str(root), *settings, *options]))
        said = capsys.readouterr()
        return code, said.out, said.err

    return run


def test_with_warnings_alone_the_command_succeeds(root, check):
    (root / AUDIO / "validation_3.wav").unlink()
    code, out, err = check()
    assert code == 0
    assert "validation                   4       3    75.0 %        1" in out
    assert "warning: validation: 1 of 4 clips are not on disk" in err


def test_with_errors_it_fails_and_the_report_is_written_all_the_same(root, check, tmp_path):
    (root / AUDIO / "validation_3.wav").write_bytes(b"404")
    (root / STRONG).unlink()
    code, _, err = check("--out", str(tmp_path / "out"))
    assert code == 1
    assert f"error: {root}/{STRONG}: no such metadata file" in err
    assert f"error: {root}/{AUDIO}/validation_3.wav: is not readable as audio" in err
    report = json.loads((tmp_path / "out" / "data_report.json").read_text())
    assert (report["splits"]["validation"]["unreadable"], len(report["errors"])) == (1, 2)
    assert not (root / "data_report.html").exists()


HOSTILE = "<script>alert(1)</script>"


@pytest.fixture
def hostile(root: Path) -> CorpusCheck:
    """Everything that a page can say, with names that are HTML."""
    for path, name in ((f"{AUDIO}/validation_2.wav", f"{HOSTILE[:-10]}.wav"), (f"{AUDIO}/validation_2.wav", "<b>.wav")):
        copy(root, path, f"{AUDIO}/{name}")
        append(root / VALIDATION, f"{name}\t0.0\t1.0\t{HOSTILE}")
    copy(root, f"{AUDIO}/validation_2.wav", f"{TRAINING}/strong_real_4.wav")
    append(root / VALIDATION, "<i>.wav\t0.0\t1.0\tHum")
    append(root / VALIDATION, "validation_0.wav\t0.0\t1.0\t<u>")
    noise(root / AUDIO / "validation_3.wav", rate=8000)
    return checked(root, f"data.classes=[Beep, Hum, '{HOSTILE}']")


def test_all_that_was_found_is_on_the_page_and_escaped(hostile, tmp_path):
    page = write_data_report(hostile, tmp_path).read_text()
    for text in (*map(str, problems.errors(hostile)), *problems.warnings(hostile), *problems.notes(hostile)):
        assert html.escape(text).replace("&#x27;", "&#39;").replace("&quot;", "&#34;") in page
    assert not re.search("<(script|b|i|u)>", page)


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_page_fits_a_phone_asks_for_nothing_and_logs_nothing(hostile, tmp_path, browser, scheme):
    file = write_data_report(hostile, tmp_path)
    page = browser.new_page(viewport={"width": 360, "height": 700}, color_scheme=scheme)
    asked, logged = [], []
    page.on("request", lambda request: asked.append(request.url))
    page.on("console", lambda message: logged.append(message.text))
    page.on("pageerror", lambda error: logged.append(str(error)))
    page.goto(file.as_uri())
    assert ([url for url in asked if not url.startswith("data:")], logged) == ([file.as_uri()], [])
    assert page.evaluate("document.documentElement.scrollWidth") <= 360
    assert page.locator("figure svg").count() == 7
    assert page.locator("#verdict").inner_text().startswith("2 errors, ")


def test_a_folder_that_is_not_there_is_named(check, tmp_path):
    code, _, err = check("--data_root", str(tmp_path / "nowhere"))
    assert code == 1
    assert "nowhere: no such folder; give the folder of a corpus: --data_root DIR" in err
