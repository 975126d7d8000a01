"""A mini corpus of recordings: which split uses which, what file and folder names mean, and bad soundbanks."""

from __future__ import annotations

import shutil
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import soundfile

from local.mini.corpus import corpus_key, make_corpus
from local.mini.soundbank import recorded, source_of
from recipe_mtlvae.errors import RecipeError
from tests.mini import STRONG, rows, small_conf, sources, with_real_validation


def write_sound(path: Path, seconds: float, rate: int = 16_000, channels: int = 1) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    noise = np.random.default_rng(len(path.name)).uniform(-0.3, 0.3, (int(seconds * rate), channels))
    soundfile.write(path, noise, rate)


@pytest.fixture(scope="module")
def soundbank(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A soundbank in DESED's layout: two classes, one marked _nOn and _nOff; takes; various rates and formats."""
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


def test_each_split_uses_its_own_recordings(recorded_corpus: Path) -> None:
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


def test_real_validation_of_recordings_changes_no_other_split(
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


def test_a_fifth_of_each_label_is_held_out_even_if_labels_share_file_names(tmp_path: Path) -> None:
    for part in ("train", "validation"):
        for label, files in (("Cat", 10), ("Dog", 4)):
            for i in range(files):
                write_sound(tmp_path / part / "foreground" / label / f"{i}.wav", 0.1)
        for i in range(2):
            write_sound(tmp_path / part / "background" / "hall" / f"{i}.wav", 0.1)
    held = Counter(sound.label for sound in recorded(tmp_path, None) if sound.bank == "held_out")
    assert held == {"Cat": 2, "Dog": 1, "hall": 1}


def test_takes_of_one_recording_in_training_and_validation_give_a_warning(
    soundbank: Path, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    recorded(soundbank, None)  # `hall/a` is in both parts too: a name of another kind is no id of a recording
    assert capsys.readouterr().err == ""
    shutil.copytree(soundbank, tmp_path / "bank")
    for part, take in (("train", 0), ("validation", 1)):
        write_sound(tmp_path / f"bank/audio/{part}/soundbank/foreground/Owl/42958_{take}.wav", 0.4)
    recorded(tmp_path / "bank", None)
    assert "1 source recordings have takes in train and in validation, such as 42958" in capsys.readouterr().err


def test_the_key_depends_on_the_recordings_not_on_their_folder(soundbank: Path, tmp_path: Path) -> None:
    def key_of(folder: Path) -> str:
        return corpus_key(small_conf(f"data.soundbank='{folder}'"))

    shutil.copytree(soundbank, tmp_path / "copy")
    assert key_of(tmp_path / "copy") == key_of(soundbank)
    write_sound(tmp_path / "copy/audio/train/soundbank/foreground/Owl/7000_1.wav", 0.4)
    assert key_of(tmp_path / "copy") != key_of(soundbank)


def test_a_folder_that_is_no_soundbank_is_refused(tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match="no train/foreground in this soundbank; expected"):
        corpus_key(small_conf(f"data.soundbank='{tmp_path}'"))


def test_all_faults_of_the_folders_are_reported_together(soundbank: Path, tmp_path: Path) -> None:
    bank = tmp_path / "bank"
    shutil.copytree(soundbank, bank)
    (bank / "audio/train/soundbank/foreground/Empty").mkdir()
    (bank / "audio/validation/soundbank/foreground/No, label").mkdir()
    with pytest.raises(RecipeError) as error:
        recorded(bank, None)
    first, second = (str(fault) for fault in error.value.faults)
    assert "Empty: no recordings of this label" in first
    assert "No, label: a label cannot hold" in second


def test_all_unfit_recordings_are_named_and_no_file_is_left(soundbank: Path, tmp_path: Path) -> None:
    bank, root = tmp_path / "bank", tmp_path / "corpus"
    shutil.copytree(soundbank, bank)
    folder = bank / "audio/train/soundbank/foreground/Owl"
    (folder / "text.wav").write_text("no audio", encoding="utf-8")
    out_of_phase = np.random.default_rng(0).uniform(-0.5, 0.5, (16_000, 1)) * [1.0, -1.0]
    soundfile.write(folder / "silent.wav", out_of_phase, 16_000)
    write_sound(folder / "short.wav", 0.01)
    with pytest.raises(RecipeError) as error:
        make_corpus(small_conf(f"data.soundbank='{bank}'", "data.classes=null"), root, workers=1)
    text = "\n".join(str(fault) for fault in error.value.faults)
    assert len(error.value.faults) == 3
    assert "text.wav: is not readable as audio" in text
    assert "silent.wav: is silent once mixed to mono" in text
    assert "short.wav: lasts 0.010 s" in text
    assert not [path for path in root.rglob("*") if path.is_file()]


def test_a_class_without_recordings_is_named(soundbank: Path) -> None:
    with pytest.raises(RecipeError, match=r"data\.classes: no recordings of 'Zebra'"):
        recorded(soundbank, ["Owl", "Zebra"])
