"""The mini corpus: layout, formats, domains, which sounds go where, repeatability, bad soundbanks."""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import soundfile

from local.mini import corpus as mini_corpus
from local.mini.corpus import corpus_key, make_corpus
from local.mini.microphone import record
from local.mini.soundbank import recorded, source_of
from local.mini.sounds import FOREGROUNDS, REAL_BACKGROUNDS, SYNTHETIC_BACKGROUNDS, make_sound
from local.mini.sounds.synthesis import SAMPLE_RATE, tone
from recipe_mtlvae.conf import CONF_DIR, Conf, load_conf
from recipe_mtlvae.corpus.metadata import read_events
from recipe_mtlvae.errors import RecipeError
from tests.children import LIMIT

SIZES = {
    "synthetic_train": 4,
    "strong_real": 3,
    "weak": 3,
    "unlabeled": 2,
    "synthetic_validation": 3,
    "validation": 4,
    "public": 2,
    "evaluation": 2,
}
STRONG = ("synthetic_train", "strong_real", "synthetic_validation", "validation", "public")


def small_conf(*settings: str) -> Conf:
    sizes = [f"mini.{split}={clips}" for split, clips in SIZES.items()]
    return load_conf(CONF_DIR / "data" / "mini.yaml", settings=[*sizes, *settings])


def tree(root: Path) -> dict[str, str]:
    """Every file's hash by its path."""
    files = sorted(path for path in root.rglob("*") if path.is_file())
    return {path.relative_to(root).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def rows(tsv: Path) -> list[list[str]]:
    return [line.split("\t") for line in tsv.read_text(encoding="utf-8").splitlines()]


def sources(root: Path, split: str) -> set[str]:
    return {source for _, source in rows(root / "metadata" / "sources" / f"{split}.tsv")[1:]}


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    # a path that a shell or a glob would take for a pattern
    root = tmp_path_factory.mktemp("corpus") / "mini [1] *"
    make_corpus(small_conf(), root, workers=2)
    return root


# ---- layout and formats ----


def test_every_split_has_the_asked_number_of_clips_and_each_is_in_its_metadata(corpus: Path) -> None:
    for split, paths in small_conf().data.splits.items():
        audio = {path.name for path in (corpus / paths.audio).iterdir()}
        named = {row[0] for row in rows(corpus / paths.metadata)[1:]}
        assert audio == named
        assert len(audio) == SIZES[split]


def test_headers_are_those_of_desed(corpus: Path) -> None:
    splits = small_conf().data.splits
    for split in STRONG:
        assert rows(corpus / splits[split].metadata)[0] == ["filename", "onset", "offset", "event_label"]
    assert rows(corpus / splits["weak"].metadata)[0] == ["filename", "event_labels"]
    assert rows(corpus / splits["unlabeled"].metadata)[0] == ["filename"]


def test_the_evaluation_set_is_audio_only(corpus: Path) -> None:
    names = sorted(path.name for path in (corpus / "audio/eval/evaluation").iterdir())
    assert names == ["eval_0001.wav", "eval_0002.wav"]
    told = [path for path in corpus.rglob("*") if path.is_file() and path.suffix != ".wav"]
    assert not [path for path in told if "eval_0001" in path.read_text(encoding="utf-8")]


def test_a_split_that_is_left_out_is_not_made(tmp_path: Path) -> None:
    conf = small_conf("data.splits=[synthetic_train,strong_real,synthetic_validation,validation]")
    make_corpus(conf, tmp_path, workers=1)
    made = {path.parent.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*.wav")}
    assert made == {split.audio for split in conf.data.splits.values()} | {"audio/eval/evaluation"}
    assert len(list((tmp_path / "audio/eval/evaluation").iterdir())) == SIZES["evaluation"]


def test_nothing_but_audio_metadata_and_the_corpus_file_is_left(corpus: Path) -> None:
    assert sorted(path.name for path in corpus.iterdir()) == ["audio", "metadata", "mini_corpus.json"]
    assert Counter(path.suffix for path in (corpus / "audio").rglob("*.*")) == {".wav": sum(SIZES.values())}


def test_clips_are_ten_seconds_mono_16_bit_at_16_khz(corpus: Path) -> None:
    for path in (corpus / "audio").rglob("*.wav"):
        info = soundfile.info(path)
        assert (info.frames, info.samplerate, info.channels, info.subtype) == (160_000, 16_000, 1, "PCM_16")


def test_names_are_those_of_desed(corpus: Path) -> None:
    splits = small_conf().data.splits
    patterns = {
        "synthetic_train": r"\d+\.wav",
        "validation": r"Y[\w-]{11}_\d+\.000_\d+\.000\.wav",
        "public": r"[\w-]{11}_\d+_\d+\.wav",
    }
    for split, pattern in patterns.items():
        for path in (corpus / splits[split].audio).iterdir():
            assert re.fullmatch(pattern, path.name)


def test_events_are_inside_the_clip_in_milliseconds_and_of_the_ten_classes(corpus: Path) -> None:
    conf = small_conf()
    for split in STRONG:
        for name, onset, offset, label in rows(corpus / conf.data.splits[split].metadata)[1:]:
            if label:
                assert 0.0 <= float(onset) < float(offset) <= 10.0, name
                assert len(onset.split(".")[1]) == len(offset.split(".")[1]) == 3
                assert label in FOREGROUNDS


def test_soundscapes_have_one_to_five_events_and_none_of_a_class_that_touch(corpus: Path) -> None:
    conf = small_conf()
    for split in ("synthetic_train", "strong_real", "synthetic_validation"):
        for name, events in read_events(corpus / conf.data.splits[split].metadata, conf.data.classes).items():
            assert 1 <= len(events) <= 5, name
            for one in events:
                later = [other for other in events if other.label == one.label and other.onset > one.onset]
                assert all(other.onset > one.offset for other in later), name


def test_weak_labels_are_sorted_and_name_what_is_in_the_clip(corpus: Path) -> None:
    heard: dict[str, set[str]] = {}
    for name, source in rows(corpus / "metadata/sources/weak.tsv")[1:]:
        role, label = source.split("/")[1:3]
        if role == "foreground":
            heard.setdefault(name, set()).add(label)
    weak = dict(rows(corpus / small_conf().data.splits["weak"].metadata)[1:])
    assert weak == {name: ",".join(sorted(labels)) for name, labels in heard.items()}


def test_some_validation_clips_are_free_of_events() -> None:
    free = [mini_corpus.ORIGINS[split].event_free for split in ("validation", "public", "unlabeled", "evaluation")]
    trained = [mini_corpus.ORIGINS[split].event_free for split in ("synthetic_train", "strong_real", "weak")]
    assert min(free) > 0
    assert max(trained) == 0


# ---- sounds and domains ----


def test_the_domains_and_the_test_splits_share_no_sound(corpus: Path) -> None:
    conf = small_conf()
    used = {split: sources(corpus, split) for split in conf.data.splits}
    training = used["synthetic_train"] | used["strong_real"] | used["weak"] | used["unlabeled"]
    assert not training & (used["validation"] | used["public"] | used["synthetic_validation"])
    assert not used["synthetic_train"] & (used["strong_real"] | used["weak"] | used["unlabeled"])
    assert all(len(names) >= 2 for names in used.values())  # at least a background and an event


@pytest.mark.parametrize("label", [*FOREGROUNDS, *SYNTHETIC_BACKGROUNDS, *REAL_BACKGROUNDS])
def test_a_sound_is_seeded_and_its_variants_and_domains_differ(label: str) -> None:
    sound = make_sound(label, False, (1, 2))
    assert np.array_equal(sound, make_sound(label, False, (1, 2)))
    assert np.max(np.abs(sound)) == pytest.approx(0.7)
    for other in (make_sound(label, False, (1, 3)), make_sound(label, True, (1, 2))):
        length = min(len(sound), len(other))
        assert label in SYNTHETIC_BACKGROUNDS | REAL_BACKGROUNDS or not np.allclose(sound[:length], other[:length])


@pytest.mark.parametrize("label", FOREGROUNDS)
@pytest.mark.parametrize("real", [False, True])
def test_events_last_from_a_tenth_of_a_second_to_ten(label: str, real: bool) -> None:
    for variant in range(8):
        seconds = len(make_sound(label, real, (variant,))) / SAMPLE_RATE
        assert 0.1 <= seconds <= 10.0


def test_a_tone_has_its_harmonics_and_nothing_between() -> None:
    sound = tone(np.full(SAMPLE_RATE, 500.0), lambda f, k: np.full_like(f, 1.0 / k), top=1600)
    spectrum = 2 * np.abs(np.fft.rfft(sound)) / SAMPLE_RATE  # a line each Hz
    assert spectrum[[500, 1000, 1500]] == pytest.approx([1.0, 0.5, 1 / 3], abs=1e-6)
    assert np.sum(spectrum > 1e-3) == 3


def test_a_recording_keeps_length_stays_below_full_scale_and_has_a_noise_floor() -> None:
    clip = np.zeros(SAMPLE_RATE * 2)
    clip[SAMPLE_RATE : SAMPLE_RATE + 4000] = 0.5 * np.sin(np.arange(4000))
    heard = record(clip, SAMPLE_RATE, np.random.default_rng(3))
    assert len(heard) == len(clip)
    assert np.max(np.abs(heard)) < 1.0
    before = heard[: SAMPLE_RATE // 2]
    assert -60 < 20 * np.log10(np.std(before) / np.max(np.abs(heard))) < -20


# ---- a second select split ----


def with_real_validation(root: Path, before: Path, *settings: str) -> set[str]:
    """The sounds of `real_validation`, made beside the other splits, which stay as they are `before`, by hash."""
    conf = small_conf("mini.real_validation=3", *settings)
    make_corpus(conf, root, workers=1)
    made, others = tree(root), tree(before)
    added = made.keys() - others.keys()
    metadata = {"metadata/validation/real_validation.tsv", "metadata/sources/real_validation.tsv"}
    assert {path for path in added if not path.endswith(".wav")} == metadata
    assert len(added - metadata) == 3
    changed = {path for path in others if made[path] != others[path]}
    assert changed == {"mini_corpus.json"}  # which holds the key
    return sources(root, "real_validation")


def test_real_validation_is_of_held_out_sounds_and_leaves_the_other_splits_as_they_are(
    corpus: Path, tmp_path: Path
) -> None:
    assert "real_validation" not in small_conf().data.splits
    used = with_real_validation(tmp_path / "corpus", corpus)
    assert {source.split("/")[0] for source in used} == {"held_out-real"}


# ---- repeatable, resumable ----


@pytest.mark.slow
def test_the_same_seed_gives_the_same_bytes_on_any_number_of_processes(corpus: Path, tmp_path: Path) -> None:
    make_corpus(small_conf(), tmp_path / "again", workers=1)
    assert tree(tmp_path / "again") == tree(corpus)


@pytest.mark.slow
def test_killed_and_started_again_it_ends_in_the_same_tree(corpus: Path, tmp_path: Path) -> None:
    root = tmp_path / "killed"
    script = tmp_path / "make.py"
    call = "if __name__ == '__main__':\n    make_corpus(small_conf(), Path(sys.argv[1]), workers=2)\n"
    script.write_text("from tests.test_mini_corpus import *\n\n" + call, encoding="utf-8")
    environment = {**os.environ, "PYTHONPATH": str(CONF_DIR.parent)}
    process = subprocess.Popen([sys.executable, script, root], env=environment)
    deadline = time.monotonic() + 120
    while len(list(root.rglob("*.wav"))) < 40 or not (root / "audio").exists():  # some sounds, and the first clip
        assert process.poll() is None, "ended before it could be killed"
        assert time.monotonic() < deadline
        time.sleep(0.02)
    process.send_signal(signal.SIGKILL)
    process.wait(LIMIT)
    assert not json.loads((root / "mini_corpus.json").read_text(encoding="utf-8"))["complete"]
    make_corpus(small_conf(), root, workers=1)
    assert tree(root) == tree(corpus)


def test_a_complete_corpus_is_not_made_again(corpus: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mini_corpus, "start_processes", lambda *_: pytest.fail("made again"))
    make_corpus(small_conf(), corpus)


def test_another_configuration_does_not_go_into_the_same_folder(corpus: Path) -> None:
    with pytest.raises(RecipeError, match="holds a mini corpus of another configuration"):
        make_corpus(small_conf("data.seed=43"), corpus)


def test_a_folder_whose_note_is_damaged_is_not_taken_for_this_corpus(tmp_path: Path) -> None:
    (tmp_path / "mini_corpus.json").write_text('{"key": ')
    with pytest.raises(RecipeError, match="holds a mini corpus of another configuration"):
        make_corpus(small_conf(), tmp_path)


def test_a_folder_of_other_data_is_refused(tmp_path: Path) -> None:
    (tmp_path / "metadata").mkdir()
    with pytest.raises(RecipeError, match="is not empty and no mini corpus"):
        make_corpus(small_conf(), tmp_path)


@pytest.mark.parametrize("setting", ["data.seed=43", "mini.weak=4", "data.clip_seconds=5.0", "data.classes=[Dog, Cat]"])
def test_the_key_changes_with_what_determines_the_corpus(setting: str) -> None:
    assert corpus_key(small_conf()) == corpus_key(small_conf("train.max_epochs=3", "data.name=other"))
    assert corpus_key(small_conf(setting)) != corpus_key(small_conf())


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ("mini.weka=3", "mini.weka: the mini corpus has no such split"),
        ("data.classes=[Dog, Zebra]", "no synthesised sounds of Zebra"),
        ("data.clip_seconds=0.5", "needs at least 1 s, got 0.5"),
        ("data.seed=-1", "'data.seed': expected 0 to 4294967295, got -1"),
    ],
)
def test_what_cannot_be_made_is_refused_before_anything_is_written(tmp_path: Path, setting: str, message: str) -> None:
    with pytest.raises(RecipeError, match=message):
        make_corpus(small_conf(setting), tmp_path / "corpus")
    assert not (tmp_path / "corpus").exists()


# ---- from recordings ----


def write_sound(path: Path, seconds: float, rate: int = 16_000, channels: int = 1) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    noise = np.random.default_rng(len(path.name)).uniform(-0.3, 0.3, (int(seconds * rate), channels))
    soundfile.write(path, noise, rate)


@pytest.fixture(scope="module")
def soundbank(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """DESED's own layout: two classes, one with marks of cut onsets; takes; other rates, channels and formats."""
    bank = tmp_path_factory.mktemp("bank")
    for part in ("train", "validation"):
        place = bank / "audio" / part / "soundbank"
        for i in range(1, 6):
            for take in "AB":
                write_sound(place / f"foreground/Owl/1-{100 * i}{part == 'train':d}-{take}.wav", 0.4, 22_050)
        write_sound(place / "foreground/Kettle_nOff/long 1.flac", 12.0, 16_000, 2)
        write_sound(place / "foreground/Kettle_nOn_nOff/long 2.wav", 12.0)
        write_sound(place / "background/hall/a.wav", 3.0, 8_000)
        write_sound(place / "background/hall/b.wav", 11.0, 48_000)
    return bank


@pytest.fixture(scope="module")
def recorded_corpus(soundbank: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("recorded") / "corpus"
    make_corpus(small_conf(f"data.soundbank='{soundbank}'", "data.classes=null"), root, workers=1)
    return root


def test_each_split_takes_its_sounds_from_its_own_recordings(recorded_corpus: Path) -> None:
    used = {split: sources(recorded_corpus, split) for split in small_conf().data.splits}
    held_out = used["synthetic_validation"]
    for split in ("synthetic_train", "strong_real", "weak", "unlabeled", "synthetic_validation"):
        assert {name.split("/")[0] for name in used[split]} == {"train"}
    for split in ("validation", "public"):
        assert {name.split("/")[0] for name in used[split]} == {"validation"}
    for split in ("synthetic_train", "strong_real", "weak", "unlabeled"):
        assert not {source_of(Path(name)) for name in used[split]} & {source_of(Path(name)) for name in held_out}


def test_sources_name_the_recordings_as_the_soundbank_does(recorded_corpus: Path, soundbank: Path) -> None:
    for split in small_conf().data.splits:
        for name in sources(recorded_corpus, split):
            part, rest = name.split("/", 1)
            assert (soundbank / "audio" / part / "soundbank" / rest).is_file()


def test_real_validation_of_recordings_leaves_the_other_splits_as_they_are(
    recorded_corpus: Path, soundbank: Path, tmp_path: Path
) -> None:
    settings = (f"data.soundbank='{soundbank}'", "data.classes=null")
    used = with_real_validation(tmp_path / "corpus", recorded_corpus, *settings)
    learned = {
        source_of(Path(name))
        for split in ("synthetic_train", "strong_real")
        for name in sources(recorded_corpus, split)
    }
    assert used and not {source_of(Path(name)) for name in used} & learned


def test_labels_come_from_the_folders_without_desed_marks(recorded_corpus: Path) -> None:
    labels = {
        row[3] for split in STRONG for row in rows(recorded_corpus / small_conf().data.splits[split].metadata)[1:]
    }
    assert labels - {""} == {"Owl", "Kettle"}


def test_a_fifth_of_the_training_sources_is_held_out_and_takes_stay_together(soundbank: Path) -> None:
    sounds = recorded(soundbank, None)
    pools: dict[str, set[str]] = {}
    for sound in sounds:
        if sound.label == "Owl" and sound.bank != "validation":
            pools.setdefault(source_of(sound.recording), set()).add(sound.bank)
    assert sorted(pools.values(), key=str) == [{"held_out"}, {"train"}, {"train"}, {"train"}, {"train"}]


@pytest.mark.parametrize(
    ("name", "source"),
    [("1-26222-A", "26222"), ("3-977-B-39", "977"), ("42958_1", "42958"), ("dog_1", "Dog/dog_1"), ("12", "Dog/12")],
)
def test_takes_of_one_recording_share_its_id(name: str, source: str) -> None:
    assert source_of(Path(f"foreground/Dog_nOn/{name}.wav")) == source


def test_labels_whose_files_have_the_same_names_each_hold_a_fifth_out(tmp_path: Path) -> None:
    for part in ("train", "validation"):
        for label, files in (("Cat", 10), ("Dog", 4)):
            for i in range(files):
                write_sound(tmp_path / part / "foreground" / label / f"{i}.wav", 0.1)
        for i in range(2):
            write_sound(tmp_path / part / "background" / "hall" / f"{i}.wav", 0.1)
    held = Counter(sound.label for sound in recorded(tmp_path, None) if sound.bank == "held_out")
    assert held == {"Cat": 2, "Dog": 1, "hall": 1}


def test_the_key_follows_the_recordings_not_their_place(soundbank: Path, tmp_path: Path) -> None:
    def key_of(folder: Path) -> str:
        return corpus_key(small_conf(f"data.soundbank='{folder}'"))

    shutil.copytree(soundbank, tmp_path / "copy")
    assert key_of(tmp_path / "copy") == key_of(soundbank)
    write_sound(tmp_path / "copy/audio/train/soundbank/foreground/Owl/7000_1.wav", 0.4)
    assert key_of(tmp_path / "copy") != key_of(soundbank)


def test_a_folder_that_is_no_soundbank_is_refused(tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match="no train/foreground in this soundbank; expected"):
        corpus_key(small_conf(f"data.soundbank='{tmp_path}'"))


def test_all_faults_of_the_folders_are_told_together(soundbank: Path, tmp_path: Path) -> None:
    bank = tmp_path / "bank"
    shutil.copytree(soundbank, bank)
    (bank / "audio/train/soundbank/foreground/Empty").mkdir()
    (bank / "audio/validation/soundbank/foreground/No, label").mkdir()
    with pytest.raises(RecipeError) as error:
        recorded(bank, None)
    first, second = (str(fault) for fault in error.value.faults)
    assert "Empty: no recordings of this label" in first
    assert "No, label: a label cannot hold" in second


def test_unfit_recordings_are_all_named_and_nothing_is_left(soundbank: Path, tmp_path: Path) -> None:
    bank, root = tmp_path / "bank", tmp_path / "corpus"
    shutil.copytree(soundbank, bank)
    folder = bank / "audio/train/soundbank/foreground/Owl"
    (folder / "text.wav").write_text("no audio", encoding="utf-8")
    out_of_phase = np.random.default_rng(0).uniform(-0.5, 0.5, (16_000, 1)) * [1.0, -1.0]
    soundfile.write(folder / "silent.wav", out_of_phase, 16_000)
    write_sound(folder / "short.wav", 0.01)
    with pytest.raises(RecipeError) as error:
        make_corpus(small_conf(f"data.soundbank='{bank}'", "data.classes=null"), root, workers=1)
    told = "\n".join(str(fault) for fault in error.value.faults)
    assert len(error.value.faults) == 3
    assert "text.wav: is not readable as audio" in told
    assert "silent.wav: is silent once mixed to mono" in told
    assert "short.wav: lasts 0.010 s" in told
    assert not [path for path in root.rglob("*") if path.is_file()]


def test_a_class_without_recordings_is_named(soundbank: Path) -> None:
    with pytest.raises(RecipeError, match=r"data\.classes: no recordings of 'Zebra'"):
        recorded(soundbank, ["Owl", "Zebra"])
