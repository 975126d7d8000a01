"""The feature store: right, in order, resumable, and honest about what could not be read."""

from __future__ import annotations

import os
import pickle
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch

from recipe_mtlvae.audio.decoding import read_audio
from recipe_mtlvae.conf import load_conf
from recipe_mtlvae.corpus.metadata import Clip
from recipe_mtlvae.errors import RecipeError
from recipe_mtlvae.inputs import extraction as extract
from recipe_mtlvae.inputs import store_parts
from recipe_mtlvae.inputs.extraction import PartTask
from recipe_mtlvae.inputs.log_mel import LogMelInput
from recipe_mtlvae.inputs.mel_transform import LogMel
from recipe_mtlvae.inputs.store import Store, StoreJob, StoreReport, build_stores
from tests.children import LIMIT, wait_for

FEATURES = load_conf().features
SECONDS = 0.25
SOURCE = LogMelInput(load_conf(settings=[f"data.clip_seconds={SECONDS}"]))
SHAPE = SOURCE.shape


@pytest.fixture(autouse=True)
def small_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    """Three clips a part."""
    monkeypatch.setattr(store_parts, "PART_BYTES", 3 * 2 * SHAPE[0] * SHAPE[1])


@pytest.fixture
def clips(tmp_path: Path) -> list[Clip]:
    folder = tmp_path / "audio"
    folder.mkdir()
    return [write_clip(folder / f"{number}.wav", number) for number in range(8)]


def write_clip(path: Path, seed: int, seconds: float = SECONDS) -> Clip:
    samples = 0.1 * np.random.default_rng(seed).standard_normal(round(seconds * 16000))
    soundfile.write(path, samples, 16000)
    return Clip(path.name, path, None, None)


def build(clips: list[Clip], folder: Path, workers: int = 1) -> StoreReport:
    return build_stores([StoreJob(clips, folder)], SOURCE, workers)[0]


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


@pytest.fixture
def extracted(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The names of the clips that are read from now on."""
    names: list[str] = []

    def reading(path: Path, *settings: float) -> object:
        names.append(path.name)
        return read_audio(path, *settings)

    monkeypatch.setattr(extract, "read_audio", reading)
    return names


def test_the_store_holds_each_clips_log_mel_in_the_clips_order(clips, tmp_path):
    build(clips, tmp_path / "store")
    store = Store.open(tmp_path / "store")
    assert store.names == [clip.name for clip in clips]
    waveform = torch.from_numpy(read_audio(clips[5].path, 16000, SECONDS).samples)[None]
    expected = LogMel(FEATURES)(waveform)[0].numpy()
    np.testing.assert_allclose(store.read([5])[0], expected, rtol=1e-3, atol=2e-3)


def test_scattered_clips_are_read_in_the_asked_order(clips, tmp_path):
    build(clips, tmp_path / "store")
    store = Store.open(tmp_path / "store")
    features = store.read(np.array([7, 0, 4, 0]))
    assert (features.shape, features.dtype) == ((4, *SHAPE), np.float16)
    for found, index in zip(features, (7, 0, 4, 0), strict=True):
        np.testing.assert_array_equal(found, store.read([index])[0])
    assert len({clip.tobytes() for clip in store.read(range(8))}) == 8


def test_parts_hold_three_clips_each_and_the_index_comes_with_them(clips, tmp_path):
    build(clips, tmp_path / "store")
    names = [f"part-0000{number}.{suffix}" for number in range(3) for suffix in ("json", "npy")]
    assert sorted(contents(tmp_path / "store")) == ["index.json", *names]
    assert np.load(tmp_path / "store" / "part-00002.npy").shape == (2, *SHAPE)


def test_durations_are_the_recordings_own(clips, tmp_path):
    clips[1] = write_clip(clips[1].path, 1, seconds=0.5)
    clips[2] = write_clip(clips[2].path, 2, seconds=0.125)
    build(clips, tmp_path / "store")
    np.testing.assert_allclose(Store.open(tmp_path / "store").durations[:4], [0.25, 0.5, 0.125, 0.25])


def test_processes_write_the_same_bytes_as_one(clips, tmp_path, monkeypatch):
    build(clips, tmp_path / "one")
    monkeypatch.setattr(extract, "FEW", 0)
    build(clips, tmp_path / "two", workers=2)
    assert contents(tmp_path / "one") == contents(tmp_path / "two")


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


def test_a_clip_that_left_the_metadata_leaves_the_store_and_its_part_when_none_is_left(clips, tmp_path):
    build(clips, tmp_path / "store")
    build(clips[:6], tmp_path / "store")
    assert Store.open(tmp_path / "store").names == [f"{number}.wav" for number in range(6)]
    assert not (tmp_path / "store" / "part-00002.npy").exists()


def source_of(*settings: str) -> LogMelInput:
    return LogMelInput(load_conf(settings=list(settings)))


def test_stores_made_before_keys_were_renamed_are_found():
    assert source_of().key == "b68a87edb4ff"


def test_settings_that_move_the_features_make_another_store():
    own = source_of().key
    assert source_of("features.n_mels=64").key != own
    assert source_of("data.clip_seconds=0.25").key != own
    assert source_of("features.frames_per_step=2").key == own
    assert source_of("features.scale_range=[0, 1]").key == own


@pytest.mark.parametrize("at", [0, 1, 2])
def test_an_interrupted_build_goes_on_to_the_same_bytes(clips, tmp_path, monkeypatch, extracted, at):
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
def test_a_damaged_part_alone_is_made_again(clips, tmp_path, extracted, damage):
    build(clips, tmp_path / "store")
    whole = contents(tmp_path / "store")
    damage(tmp_path / "store")
    (tmp_path / "store" / "index.json").unlink()
    extracted.clear()
    build(clips, tmp_path / "store")
    assert extracted == ["3.wav", "4.wav", "5.wav"]
    assert contents(tmp_path / "store") == whole


@pytest.mark.parametrize("damage", [Path.unlink, lambda path: os.truncate(path, 500)])
def test_a_store_that_lost_a_part_is_not_opened(clips, tmp_path, damage: Callable[[Path], None]):
    build(clips, tmp_path / "store")
    damage(tmp_path / "store" / "part-00001.npy")
    with pytest.raises(RecipeError, match="no finished feature store for these settings; run stage 0"):
        Store.open(tmp_path / "store")


def spoil(clips: list[Clip]) -> None:
    clips[2].path.write_text("no audio")
    clips[6].path.write_bytes(b"")


def test_all_clips_that_cannot_be_read_are_told_and_there_is_no_store(clips, tmp_path):
    spoil(clips)
    report = build(clips, tmp_path / "store")
    assert [Path(fault.path).name for fault in report.faults] == ["2.wav", "6.wav"]
    assert report.clips == 0
    assert not (tmp_path / "store" / "index.json").exists()


@pytest.mark.parametrize("skipped", [["2.wav"], []])
def test_the_names_left_out_on_purpose_are_those_of_the_last_call(clips, tmp_path, extracted, skipped):
    for names in (["2.wav", "6.wav"], skipped):
        build_stores([StoreJob(clips[:2], tmp_path / "store", names)], SOURCE, 1)
        store = Store.open(tmp_path / "store")
        assert (store.names, store.skipped) == (["0.wav", "1.wav"], names)
    assert extracted == ["0.wav", "1.wav"]


def test_once_mended_only_they_are_read(clips, tmp_path, extracted):
    spoil(clips)
    build(clips, tmp_path / "store")
    for index in (2, 6):
        write_clip(clips[index].path, index)
    extracted.clear()
    assert build(clips, tmp_path / "store").clips == 8
    assert extracted == ["2.wav", "6.wav"]
    assert Store.open(tmp_path / "store").names == [clip.name for clip in clips]


def test_a_store_without_bad_clips_is_taken_back_when_a_clip_goes_bad(clips, tmp_path):
    build(clips, tmp_path / "store")
    spoil(clips)
    build(clips, tmp_path / "store")
    with pytest.raises(RecipeError, match="run stage 0"):
        Store.open(tmp_path / "store")


def test_a_broken_link_is_a_fault_like_others(clips, tmp_path):
    clips[0].path.unlink()
    clips[0].path.symlink_to("nowhere.wav")
    (fault,) = build(clips, tmp_path / "store").faults
    assert str(fault).startswith(f"{clips[0].path}: no such audio file")


def test_a_pickled_store_carries_no_features(clips, tmp_path):
    build(clips, tmp_path / "store")
    store = Store.open(tmp_path / "store")
    features = store.read(range(8))
    pickled = pickle.dumps(store)
    assert len(pickled) < 4000
    np.testing.assert_array_equal(pickle.loads(pickled).read(range(8)), features)


def test_a_file_that_cannot_be_written_is_named(clips, tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(OSError, match="Not a directory") as error:
        build(clips, tmp_path / "file" / "store")
    assert str(error.value.filename).startswith(str(tmp_path / "file"))


BUILD = """
import sys
from pathlib import Path
from recipe_mtlvae.conf import load_conf
from recipe_mtlvae.inputs import extraction as extract
from recipe_mtlvae.inputs import store_parts
from recipe_mtlvae.corpus.metadata import Clip
from recipe_mtlvae.inputs.log_mel import LogMelInput
from recipe_mtlvae.inputs.store import StoreJob, build_stores

if __name__ == "__main__":
    audio, store, shape = Path(sys.argv[1]), Path(sys.argv[2]), (128, 16)
    store_parts.PART_BYTES, extract.FEW = 3 * 2 * shape[0] * shape[1], 0
    clips = [Clip(path.name, path, None, None) for path in sorted(audio.iterdir())]
    source = LogMelInput(load_conf(settings=["data.clip_seconds=0.25"]))
    print(build_stores([StoreJob(clips, store)], source, 2)[0].clips)
"""


def start_build(tmp_path: Path) -> subprocess.Popen[str]:
    script = tmp_path / "build.py"
    script.write_text(BUILD)
    command = [sys.executable, str(script), str(tmp_path / "audio"), str(tmp_path / "store")]
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parent.parent), "OMP_NUM_THREADS": "1"}
    return subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


@pytest.mark.slow
def test_a_killed_build_goes_on_to_the_same_bytes(clips, tmp_path):
    for number in range(8, 120):
        clips.append(write_clip(tmp_path / "audio" / f"{number}.wav", number))
    clips.sort(key=lambda clip: clip.name)
    build(clips, tmp_path / "undisturbed")
    for parts_before in (1, 8):
        process = start_build(tmp_path)
        wait_for(lambda few=parts_before: len(list((tmp_path / "store").glob("part-*.json"))) >= few)
        process.send_signal(signal.SIGKILL)
        process.communicate(timeout=LIMIT)
    process = start_build(tmp_path)
    assert process.communicate(timeout=LIMIT)[0] == "120\n"
    assert contents(tmp_path / "store") == contents(tmp_path / "undisturbed")


def test_tasks_of_an_extended_store_take_free_numbers(clips, tmp_path, monkeypatch):
    build(clips[:3], tmp_path / "store")
    tasks: list[PartTask] = []
    extract_parts = extract.extract_parts

    def seen(new: list[PartTask], *settings: object) -> object:
        tasks.extend(new)
        return extract_parts(new, *settings)

    monkeypatch.setattr(extract, "extract_parts", seen)
    build(clips, tmp_path / "store")
    assert [task.number for task in tasks] == [1, 2]
