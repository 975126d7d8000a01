"""Stage 0 with input that is at fault: clear lines, exit code 1, nothing half-written; and what it accepts."""

from __future__ import annotations

import os
import shutil
import struct
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import soundfile

import local.stage
from local import prepare
from recipe_mtlvae.corpus.splits import Corpus
from recipe_mtlvae.errors import exit_code_of
from recipe_mtlvae.inputs.prepared import open_split
from tests.children import LIMIT
from tests.tiny import AUDIO, RATE, SETTINGS, VALIDATION, append, tiny_conf

CLIP = f"{AUDIO}/validation_1.wav"


@dataclass(frozen=True)
class Outcome:
    """What a run of stage 0 left."""

    code: int
    out: str
    err: list[str]  # lines, without the progress bar

    @property
    def errors(self) -> list[str]:
        return [line.removeprefix("error: ") for line in self.err if line.startswith("error: ")]

    @property
    def warnings(self) -> list[str]:
        return [line.removeprefix("warning: ") for line in self.err if line.startswith("warning: ")]


@pytest.fixture
def stage0(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Callable[..., Outcome]:
    """Run stage 0 on a corpus, with more settings."""
    monkeypatch.setattr(local.stage, "PROJECT", tmp_path / "project")

    def run(root: Path, *settings: str, tag: str = "t") -> Outcome:
        monkeypatch.setattr(sys, "argv", ["prepare", *options(root, *settings, tag=tag)])
        capsys.readouterr()
        code = exit_code_of(prepare.main)
        said = capsys.readouterr()
        return Outcome(code, said.out, said.err.replace("\r", "\n").splitlines())

    return run


def options(root: Path, *settings: str, tag: str = "t") -> list[str]:
    chosen = [f"--set={setting}" for setting in (*SETTINGS, *settings)]
    return ["--data", "desed", "--data_root", str(root), "--tag", tag, *chosen]


def damage(path: Path, content: bytes) -> None:
    path.write_bytes(content)


def not_a_number(path: Path) -> None:
    soundfile.write(path, np.full(RATE, np.nan, dtype=np.float32), RATE, subtype="FLOAT")


def flac_inside(path: Path) -> None:
    soundfile.write(path, np.zeros(RATE), RATE, format="FLAC")


def wav(rate: int = RATE, channels: int = 1, samples: int = 100, promised: int | None = None) -> bytes:
    """A 16-bit WAV file with a header that may lie."""
    data = bytes(2 * channels * samples)
    size = len(data) if promised is None else promised
    header = struct.pack("<4sIHHIIHH", b"fmt ", 16, 1, channels, rate, 2 * channels * rate, 2 * channels, 16)
    return b"RIFF" + struct.pack("<I", 36 + size) + b"WAVE" + header + b"data" + struct.pack("<I", size) + data


def row(text: str | bytes, path: str = VALIDATION) -> Callable[[Path], object]:
    """Add a row to a table."""
    content = text if isinstance(text, bytes) else text.encode()
    return lambda root: (root / path).write_bytes((root / path).read_bytes() + content + b"\n")


def instead(make: Callable[[Path], object], path: str) -> Callable[[Path], object]:
    """Put something else in a file's place."""
    return lambda root: ((root / path).unlink(), make(root / path))


def holding(content: bytes, path: str) -> Callable[[Path], object]:
    return lambda root: (root / path).write_bytes(content)


WEAK, UNLABELED = "metadata/train/weak.tsv", "metadata/train/unlabel_in_domain.tsv"
HEADER = "filename\tonset\toffset\tevent_label\n"
PLAIN = "expected a plain file name that stays in the audio folder"
COLUMNS = "1: expected the columns filename onset offset event_label, separated by tabs; got "

# what is done to the corpus, where the fault is, and its words
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
    "split without audio": (
        lambda root: [path.unlink() for path in (root / AUDIO).iterdir()],
        f"{AUDIO}: split 'validation': expected 4 audio files, found none of them",
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
    "empty audio": (lambda root: damage(root / CLIP, b""), f"{CLIP}: is empty (0 bytes)"),
    "text as audio": (lambda root: damage(root / CLIP, b"404 not found"), f"{CLIP}: is not readable as audio"),
    "wrongly named audio": (lambda root: flac_inside(root / CLIP), f"{CLIP}: is wrongly named"),
    "NaN audio": (lambda root: not_a_number(root / CLIP), f"{CLIP}: holds samples that are NaN"),
    "link out of the folder": (
        lambda root: ((root / CLIP).rename(root / "x.wav"), (root / CLIP).symlink_to(root / "x.wav")),
        f"{CLIP}: is a link out of the corpus",
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_it_is_refused_in_one_line_that_names_the_place(root, stage0, name):
    spoil, words = REFUSED[name]
    spoil(root)
    outcome = stage0(root)
    assert outcome.code == 1
    (error,) = outcome.errors
    assert error.startswith(f"{root}/{words}")
    assert "; " in error  # the hint
    assert not any(path.name.startswith(".") for path in root.glob("features/**/*"))


def test_all_faults_of_metadata_and_audio_are_listed(root, stage0):
    append(root / VALIDATION, "validation_1.wav\t2\t1\tHum")
    append(root / "metadata/train/weak.tsv", "weak_1.wav\tHum")
    damage(root / "audio/train/strong_label_real/strong_real_0.wav", b"")
    damage(root / "audio/eval/evaluation/any name 1.wav", b"x")
    assert len(stage0(root).errors) == 4


def test_columns_of_several_splits_are_told_together(root, stage0):
    for path in (VALIDATION, "metadata/train/weak.tsv"):
        (root / path).write_text("name\n")
    assert len(stage0(root).errors) == 2


def test_missing_splits_are_named_at_once(root, stage0):
    (root / VALIDATION).unlink()
    (root / "audio/train/weak").rename(root / "elsewhere")
    outcome = stage0(root)
    assert outcome.code == 1
    assert outcome.errors == [
        f"{root}/audio/train/weak: split 'weak' has no audio folder; put it there, or correct data.splits",
        f"{root}/{VALIDATION}: split 'validation' has no metadata file; put it there, or correct data.splits",
    ]
    assert not (root / "features").exists()


def test_a_missing_tree_is_named_and_not_made(tmp_path, stage0):
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
def test_settings_at_fault_are_refused(root, stage0, setting, words):
    outcome = stage0(root, setting)
    assert outcome.code == 1
    assert words in outcome.errors[0]


def test_skip_bad_goes_on_and_lowers_the_coverage(root, stage0):
    damage(root / CLIP, b"")
    append(root / VALIDATION, "validation_2.wav\t2\t1\tHum")
    assert "--set data.skip_bad=true" in "\n".join(stage0(root).err)
    outcome = stage0(root, "data.skip_bad=true")
    assert outcome.code == 0
    assert len([line for line in outcome.warnings if line.startswith("left out: ")]) == 2
    split = open_split(Corpus(tiny_conf("data.skip_bad=true"), root), "validation")
    assert (len(split.clips), split.expected) == (2, 4)
    assert "50.0 %" in outcome.out


def test_skip_bad_goes_on_again_where_the_corpus_is_prepared_already(root, stage0):
    damage(root / CLIP, b"")
    first, second = (stage0(root, "data.skip_bad=true", tag=tag) for tag in ("one", "two"))
    assert (first.code, second.code) == (0, 0)
    assert first.warnings == second.warnings


def test_a_recording_that_breaks_off_after_its_first_clip_is_left_out_of_the_features_too(root, stage0):
    samples = 0.1 * np.random.default_rng(0).standard_normal(40 * RATE)
    samples[30 * RATE] = np.nan
    soundfile.write(root / CLIP, samples, RATE, subtype="FLOAT")
    assert stage0(root, "data.skip_bad=true").code == 0
    split = open_split(Corpus(tiny_conf("data.skip_bad=true"), root), "validation")
    assert Path(CLIP).name not in {clip.name for clip in split.clips}
    assert (len(split.clips), split.expected) == (3, 4)


def test_skip_bad_goes_on_with_copies_of_test_clips_and_says_that_it_does(root, stage0):
    shutil.copy(root / CLIP, root / "audio/train/strong_label_real/strong_real_1.wav")
    outcome = stage0(root, "data.skip_bad=true")
    assert outcome.code == 0
    assert any(line.startswith("used all the same: ") and "TRAINING AND TEST" in line for line in outcome.warnings)
    assert not any(line.startswith("left out: ") for line in outcome.warnings)


def test_a_split_of_faulty_clips_alone_is_refused_with_skip_bad_too(root, stage0):
    for path in (root / AUDIO).iterdir():
        damage(path, b"")
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
def test_it_is_accepted_without_a_word(root, stage0, name):
    ACCEPTED[name](root / CLIP)
    (root / VALIDATION).write_text("filename\tonset\toffset\tevent_label\nvalidation_1.wav\t0\t0.1\tHum\n")
    outcome = stage0(root)
    assert (outcome.code, outcome.warnings) == (0, [])


def test_what_is_odd_but_usable_is_told_once(root, stage0):
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


def test_a_second_run_does_nothing_and_says_so(root, stage0):
    stage0(root)
    before = {path: path.stat().st_mtime_ns for path in root.glob("features/**/*")}
    outcome = stage0(root)
    assert outcome.code == 0
    assert "is prepared already" in outcome.out
    assert {path: path.stat().st_mtime_ns for path in root.glob("features/**/*")} == before


@pytest.mark.parametrize(
    "change",
    [
        lambda root: append(root / VALIDATION, "validation_1.wav\t1.5\t1.75\tHum"),
        lambda root: soundfile.write(root / CLIP, np.ones(RATE), RATE),
        lambda root: soundfile.write(root / "audio/eval/evaluation/new.wav", np.ones(RATE), RATE),
        lambda root: next(root.glob("features/*/weak/index.json")).unlink(),
    ],
)
def test_a_run_after_a_change_is_not_skipped(root, stage0, change):
    stage0(root)
    change(root)
    outcome = stage0(root)
    assert outcome.code == 0
    assert "is prepared already" not in outcome.out


def in_another_process(root: Path, tmp_path: Path, prelude: str = "") -> subprocess.Popen[str]:
    """Stage 0 as a process of its own, after some lines of Python."""
    code = f"""
import sys
from pathlib import Path
import local.stage
from local import prepare
from recipe_mtlvae.errors import exit_code_of
local.stage.PROJECT = Path({str(tmp_path)!r}) / "project"
{prelude}
sys.exit(exit_code_of(prepare.main))
"""
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parent.parent)}
    command = [sys.executable, "-c", code, *options(root)]
    return subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def test_a_file_that_cannot_be_written_whole_is_one_line_and_leaves_no_half(root, tmp_path):
    limit = "import resource; resource.setrlimit(resource.RLIMIT_FSIZE, (40_000, resource.RLIM_INFINITY))"
    process = in_another_process(root, tmp_path, limit)
    err = process.communicate(timeout=LIMIT)[1]
    assert process.returncode == 1
    errors = [line for line in err.replace("\r", "\n").splitlines() if line.startswith("error: ")]
    assert len(errors) == 1
    assert errors[0].startswith(f"error: {root}/features/")
    assert errors[0].endswith("part-00000.npy: File too large")
    assert "Traceback" not in err
    assert [path for path in root.glob("features/**/*") if path.is_file()] == []


def test_a_full_disk_is_one_line_and_the_next_run_goes_on(root, tmp_path, stage0):
    disk = tmp_path / "disk"
    disk.mkdir()
    mounting = ["mount", "-t", "tmpfs", "-o", "size=600k", "tmpfs", str(disk)]
    if os.geteuid() or subprocess.run(mounting, capture_output=True).returncode:
        pytest.skip("a small tmpfs cannot be mounted here")
    try:
        (root / "features").symlink_to(disk)
        outcome = stage0(root)
        assert outcome.code == 1
        (error,) = outcome.errors
        assert error.startswith(f"{root}/features/")
        assert error.endswith(": No space left on device")
        assert [path for path in disk.glob("**/.*")] == []
        subprocess.run(["mount", "-o", "remount,size=64m", str(disk)], check=True)
        assert stage0(root).code == 0
    finally:
        subprocess.run(["umount", str(disk)], check=True)


def test_a_place_that_cannot_be_written_is_one_line(root, tmp_path, stage0):
    (root / "features").write_text("a file where the folder should be")
    (error,) = stage0(root).errors
    assert error.startswith(f"{root}/features")
    assert "ot a directory" in error or "File exists" in error


def test_a_second_run_on_one_corpus_waits_and_says_so(root, tmp_path):
    with prepare._locked(root / ".lock"):
        process = in_another_process(root, tmp_path)
        line = process.stderr.readline()
        assert line == f"another run is preparing {root}: waiting for it to end\n"
        time.sleep(0.2)
        assert process.poll() is None
        assert not (root / "features").exists()
    process.communicate(timeout=LIMIT)
    assert process.returncode == 0
    assert (root / "features").exists()
