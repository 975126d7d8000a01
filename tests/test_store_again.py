"""A feature store that is built again: only what is missing, changed or damaged is made, even after a kill."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import numpy as np
import pytest

from recipe_mtlvae.audio.decoding import read_audio
from recipe_mtlvae.corpus.metadata import Clip
from recipe_mtlvae.errors import RecipeError
from recipe_mtlvae.inputs import extraction as extract
from recipe_mtlvae.inputs import store_parts
from recipe_mtlvae.inputs.extraction import PartTask
from recipe_mtlvae.inputs.store import Store, StoreJob, build_stores
from tests.children import LIMIT, child, python, wait_for
from tests.feature_store import SOURCE, THREE_CLIPS, build, contents, eight_clips, spoil, write_clip


@pytest.fixture(autouse=True)
def small_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make parts of three clips."""
    monkeypatch.setattr(store_parts, "PART_BYTES", THREE_CLIPS)


@pytest.fixture
def clips(tmp_path: Path) -> list[Clip]:
    return eight_clips(tmp_path / "audio")


@pytest.fixture
def extracted(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The names of the clips that are read from now on."""
    names: list[str] = []

    def reading(path: Path, *settings: float) -> object:
        names.append(path.name)
        return read_audio(path, *settings)

    monkeypatch.setattr(extract, "read_audio", reading)
    return names


def test_a_second_build_reads_no_audio_and_writes_nothing(clips, tmp_path, extracted):
    build(clips, tmp_path / "store")
    times = {path: path.stat().st_mtime_ns for path in (tmp_path / "store").iterdir()}
    extracted.clear()
    assert build(clips, tmp_path / "store").clips == 8
    assert extracted == []
    assert {path: path.stat().st_mtime_ns for path in (tmp_path / "store").iterdir()} == times


def test_only_new_and_changed_clips_are_read_again(clips, tmp_path, extracted):
    build(clips, tmp_path / "store")
    before = Store.open(tmp_path / "store").read(range(8))
    extracted.clear()
    write_clip(clips[3].path, seed=33)
    clips.insert(0, write_clip(tmp_path / "audio" / "00.wav", seed=40))
    build(clips, tmp_path / "store")
    after = Store.open(tmp_path / "store")
    assert sorted(extracted) == ["00.wav", "3.wav"]
    assert after.names == [clip.name for clip in clips]
    np.testing.assert_array_equal(after.read([1, 2, 3, 5, 6, 7, 8]), before[[0, 1, 2, 4, 5, 6, 7]])
    assert not np.array_equal(after.read([4])[0], before[3])


def test_a_clip_removed_from_the_metadata_is_removed_from_the_store_and_so_is_an_empty_part(clips, tmp_path):
    build(clips, tmp_path / "store")
    build(clips[:6], tmp_path / "store")
    assert Store.open(tmp_path / "store").names == [f"{number}.wav" for number in range(6)]
    assert not (tmp_path / "store" / "part-00002.npy").exists()


@pytest.mark.parametrize("at", [0, 1, 2])
def test_an_interrupted_build_resumes_to_the_same_bytes(clips, tmp_path, monkeypatch, extracted, at):
    build(clips, tmp_path / "undisturbed")
    extracted.clear()
    write_part = store_parts.write_part

    def interrupted(folder: Path, number: int, *content: object) -> None:
        if number == at:
            (folder / f".part-0000{number}.npy.xyz").write_bytes(b"half")
            raise KeyboardInterrupt
        write_part(folder, number, *content)

    monkeypatch.setattr(extract, "write_part", interrupted)
    (tmp_path / "store").mkdir()
    with pytest.raises(KeyboardInterrupt):
        build(clips, tmp_path / "store")
    with pytest.raises(RecipeError, match="run stage 0"):
        Store.open(tmp_path / "store")
    monkeypatch.setattr(extract, "write_part", write_part)
    extracted.clear()
    build(clips, tmp_path / "store")
    assert len(extracted) == 8 - 3 * at
    assert contents(tmp_path / "store") == contents(tmp_path / "undisturbed")


@pytest.mark.parametrize(
    "damage",
    [
        lambda folder: (folder / "part-00001.npy").unlink(),
        lambda folder: (folder / "part-00001.json").unlink(),
        lambda folder: os.truncate(folder / "part-00001.npy", 500),
        lambda folder: (folder / "part-00001.json").write_text("[["),
    ],
)
def test_only_a_damaged_part_is_made_again(clips, tmp_path, extracted, damage):
    build(clips, tmp_path / "store")
    whole = contents(tmp_path / "store")
    damage(tmp_path / "store")
    (tmp_path / "store" / "index.json").unlink()
    extracted.clear()
    build(clips, tmp_path / "store")
    assert extracted == ["3.wav", "4.wav", "5.wav"]
    assert contents(tmp_path / "store") == whole


@pytest.mark.parametrize("skipped", [["2.wav"], []])
def test_the_skipped_names_are_those_of_the_last_call(clips, tmp_path, extracted, skipped):
    for names in (["2.wav", "6.wav"], skipped):
        build_stores([StoreJob(clips[:2], tmp_path / "store", names)], SOURCE, 1)
        store = Store.open(tmp_path / "store")
        assert (store.names, store.skipped) == (["0.wav", "1.wav"], names)
    assert extracted == ["0.wav", "1.wav"]


def test_only_repaired_clips_are_read_again(clips, tmp_path, extracted):
    spoil(clips)
    build(clips, tmp_path / "store")
    for index in (2, 6):
        write_clip(clips[index].path, index)
    extracted.clear()
    assert build(clips, tmp_path / "store").clips == 8
    assert extracted == ["2.wav", "6.wav"]
    assert Store.open(tmp_path / "store").names == [clip.name for clip in clips]


def test_a_finished_store_is_withdrawn_when_clips_become_unreadable(clips, tmp_path):
    build(clips, tmp_path / "store")
    spoil(clips)
    build(clips, tmp_path / "store")
    with pytest.raises(RecipeError, match="run stage 0"):
        Store.open(tmp_path / "store")


BUILD = """
import sys
from pathlib import Path
from recipe_mtlvae.corpus.metadata import Clip
from recipe_mtlvae.inputs import extraction, store_parts
from tests.feature_store import THREE_CLIPS, build

if __name__ == "__main__":
    audio, store = map(Path, sys.argv[1:])
    store_parts.PART_BYTES, extraction.FEW = THREE_CLIPS, 0
    clips = [Clip(path.name, path, None, None) for path in sorted(audio.iterdir())]
    print(build(clips, store, workers=2).clips)
"""


@pytest.mark.slow
def test_a_killed_build_resumes_to_the_same_bytes(clips, tmp_path):
    for number in range(8, 120):
        clips.append(write_clip(tmp_path / "audio" / f"{number}.wav", number))
    clips.sort(key=lambda clip: clip.name)
    build(clips, tmp_path / "undisturbed")
    (tmp_path / "build.py").write_text(BUILD)
    command = (sys.executable, tmp_path / "build.py", tmp_path / "audio", tmp_path / "store")
    for parts_before in (1, 8):
        with child(*command, env=python()) as process:
            wait_for(lambda few=parts_before: len(list((tmp_path / "store").glob("part-*.json"))) >= few)
            process.kill()
            process.communicate(timeout=LIMIT)
    with child(*command, env=python()) as process:
        assert process.communicate(timeout=LIMIT)[0] == "120\n"
    assert contents(tmp_path / "store") == contents(tmp_path / "undisturbed")


def test_new_parts_of_an_extended_store_get_free_numbers(clips, tmp_path, monkeypatch):
    build(clips[:3], tmp_path / "store")
    tasks: list[PartTask] = []
    extract_parts = extract.extract_parts

    def seen(new: list[PartTask], *settings: object) -> object:
        tasks.extend(new)
        return extract_parts(new, *settings)

    monkeypatch.setattr(extract, "extract_parts", seen)
    build(clips, tmp_path / "store")
    assert [task.number for task in tasks] == [1, 2]
