"""The mini corpus: layout, formats, the sounds of each split, and that it is made once and is always the same."""

from __future__ import annotations

import json
import re
import sys
from collections import Counter
from pathlib import Path

import pytest
import soundfile

from local.mini import corpus as mini_corpus
from local.mini.corpus import corpus_key, make_corpus
from local.mini.sounds import FOREGROUNDS
from recipe_mtlvae.corpus.metadata import read_events
from recipe_mtlvae.errors import Fault, RecipeError
from recipe_mtlvae.files import write_json, write_text
from tests.children import LIMIT, child, python, wait_for
from tests.mini import SIZES, STRONG, rows, small_conf, sources, tree, with_real_validation


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    # a path that a shell or a glob would take for a pattern
    root = tmp_path_factory.mktemp("corpus") / "mini [1] *"
    make_corpus(small_conf(), root, workers=2)
    return root


# ---- layout and formats ----


def test_every_split_has_the_requested_number_of_clips_and_each_is_in_its_metadata(corpus: Path) -> None:
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
    texts = [path for path in corpus.rglob("*") if path.is_file() and path.suffix != ".wav"]
    assert not [path for path in texts if "eval_0001" in path.read_text(encoding="utf-8")]


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


def test_soundscapes_have_one_to_five_events_and_those_of_a_class_never_touch(corpus: Path) -> None:
    conf = small_conf()
    for split in ("synthetic_train", "strong_real", "synthetic_validation"):
        for name, events in read_events(corpus / conf.data.splits[split].metadata, conf.data.classes).items():
            assert 1 <= len(events) <= 5, name
            for one in events:
                later = [other for other in events if other.label == one.label and other.onset > one.onset]
                assert all(other.onset > one.offset for other in later), name


def test_weak_labels_are_sorted_and_name_what_is_in_the_clip(corpus: Path) -> None:
    sounding: dict[str, set[str]] = {}
    for name, source in rows(corpus / "metadata/sources/weak.tsv")[1:]:
        role, label = source.split("/")[1:3]
        if role == "foreground":
            sounding.setdefault(name, set()).add(label)
    weak = dict(rows(corpus / small_conf().data.splits["weak"].metadata)[1:])
    assert weak == {name: ",".join(sorted(labels)) for name, labels in sounding.items()}


def test_some_test_and_unlabeled_clips_but_no_labelled_training_clips_are_event_free() -> None:
    free = [mini_corpus.ORIGINS[split].event_free for split in ("validation", "public", "unlabeled", "evaluation")]
    trained = [mini_corpus.ORIGINS[split].event_free for split in ("synthetic_train", "strong_real", "weak")]
    assert min(free) > 0
    assert max(trained) == 0


# ---- the sounds of each split ----


def test_the_domains_and_the_test_splits_share_no_sound(corpus: Path) -> None:
    conf = small_conf()
    used = {split: sources(corpus, split) for split in conf.data.splits}
    training = used["synthetic_train"] | used["strong_real"] | used["weak"] | used["unlabeled"]
    assert not training & (used["validation"] | used["public"] | used["synthetic_validation"])
    assert not used["synthetic_train"] & (used["strong_real"] | used["weak"] | used["unlabeled"])
    assert all(len(names) >= 2 for names in used.values())  # at least a background and an event


def test_real_validation_uses_held_out_sounds_and_changes_no_other_split(corpus: Path, tmp_path: Path) -> None:
    assert "real_validation" not in small_conf().data.splits
    used = with_real_validation(tmp_path / "corpus", corpus)
    assert {source.split("/")[0] for source in used} == {"held_out-real"}


# ---- repeatable, resumable, refused ----


@pytest.mark.slow
def test_the_same_seed_gives_the_same_bytes_on_any_number_of_processes(corpus: Path, tmp_path: Path) -> None:
    make_corpus(small_conf(), tmp_path / "again", workers=1)
    assert tree(tmp_path / "again") == tree(corpus)


MAKE = """
import sys
from pathlib import Path
from local.mini.corpus import make_corpus
from tests.mini import small_conf

if __name__ == "__main__":
    make_corpus(small_conf(), Path(sys.argv[1]), workers=2)
"""


@pytest.mark.slow
def test_a_corpus_that_is_killed_and_started_again_ends_in_the_same_tree(corpus: Path, tmp_path: Path) -> None:
    root, script = tmp_path / "killed", tmp_path / "make.py"
    script.write_text(MAKE)
    with child(sys.executable, script, root, env=python()) as process:
        # until there are some sounds, and the first clip
        wait_for(lambda: len(list(root.rglob("*.wav"))) >= 40 and (root / "audio").exists(), process)
        process.kill()
        process.wait(LIMIT)
    assert not json.loads((root / "mini_corpus.json").read_text(encoding="utf-8"))["complete"]
    make_corpus(small_conf(), root, workers=1)
    assert tree(root) == tree(corpus)


def test_a_killed_worker_leaves_the_splits_of_an_earlier_call_usable(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def killed(*_: object) -> None:
        raise RecipeError(Fault("a process was ended"))

    conf = small_conf()
    write_json(tmp_path / "mini_corpus.json", {"key": corpus_key(conf), "complete": False})
    write_text(tmp_path / "metadata/train/weak.tsv", "filename\tevent_labels\n")
    monkeypatch.setattr(mini_corpus, "run", killed)
    for _ in range(2):  # the second call is not refused, as it would be in a folder of other data
        with pytest.raises(RecipeError, match="a process was ended"):
            make_corpus(conf, tmp_path, workers=1)
    assert (tmp_path / "metadata/train/weak.tsv").exists()


def test_a_complete_corpus_is_not_made_again(corpus: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mini_corpus, "start_processes", lambda *_: pytest.fail("made again"))
    make_corpus(small_conf(), corpus)


def test_another_configuration_in_the_same_folder_is_refused(corpus: Path) -> None:
    with pytest.raises(RecipeError, match="holds a mini corpus of another configuration"):
        make_corpus(small_conf("data.seed=43"), corpus)


def test_a_folder_with_a_damaged_corpus_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "mini_corpus.json").write_text('{"key": ')
    with pytest.raises(RecipeError, match="holds a mini corpus of another configuration"):
        make_corpus(small_conf(), tmp_path)


def test_a_folder_of_other_data_is_refused(tmp_path: Path) -> None:
    (tmp_path / "metadata").mkdir()
    with pytest.raises(RecipeError, match="is not empty and not a mini corpus"):
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
def test_a_corpus_that_cannot_be_made_is_refused_before_anything_is_written(
    tmp_path: Path, setting: str, message: str
) -> None:
    with pytest.raises(RecipeError, match=message):
        make_corpus(small_conf(setting), tmp_path / "corpus")
    assert not (tmp_path / "corpus").exists()
