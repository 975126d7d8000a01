"""The feature store: its content and order, and how clips and files that cannot be read are reported."""

from __future__ import annotations

import os
import pickle
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from recipe_mtlvae.audio.decoding import read_audio
from recipe_mtlvae.conf import load_conf
from recipe_mtlvae.corpus.metadata import Clip
from recipe_mtlvae.errors import RecipeError
from recipe_mtlvae.inputs import extraction as extract
from recipe_mtlvae.inputs import store_parts
from recipe_mtlvae.inputs.log_mel import LogMelInput
from recipe_mtlvae.inputs.mel_transform import LogMel
from recipe_mtlvae.inputs.store import Store
from tests.feature_store import SECONDS, SHAPE, THREE_CLIPS, build, contents, eight_clips, spoil, write_clip


@pytest.fixture(autouse=True)
def small_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make parts of three clips."""
    monkeypatch.setattr(store_parts, "PART_BYTES", THREE_CLIPS)


@pytest.fixture
def clips(tmp_path: Path) -> list[Clip]:
    return eight_clips(tmp_path / "audio")


def test_the_store_holds_the_log_mel_of_each_clip_in_the_order_of_the_clips(clips, tmp_path):
    build(clips, tmp_path / "store")
    store = Store.open(tmp_path / "store")
    assert store.names == [clip.name for clip in clips]
    waveform = torch.from_numpy(read_audio(clips[5].path, 16000, SECONDS).samples)[None]
    expected = LogMel(load_conf().features)(waveform)[0].numpy()
    np.testing.assert_allclose(store.read([5])[0], expected, rtol=1e-3, atol=2e-3)


def test_scattered_clips_are_read_in_the_requested_order(clips, tmp_path):
    build(clips, tmp_path / "store")
    store = Store.open(tmp_path / "store")
    features = store.read(np.array([7, 0, 4, 0]))
    assert (features.shape, features.dtype) == ((4, *SHAPE), np.float16)
    for found, index in zip(features, (7, 0, 4, 0), strict=True):
        np.testing.assert_array_equal(found, store.read([index])[0])
    assert len({clip.tobytes() for clip in store.read(range(8))}) == 8


def test_parts_hold_three_clips_each_and_there_is_an_index(clips, tmp_path):
    build(clips, tmp_path / "store")
    names = [f"part-0000{number}.{suffix}" for number in range(3) for suffix in ("json", "npy")]
    assert sorted(contents(tmp_path / "store")) == ["index.json", *names]
    assert np.load(tmp_path / "store" / "part-00002.npy").shape == (2, *SHAPE)


def test_durations_are_those_of_the_recordings(clips, tmp_path):
    clips[1] = write_clip(clips[1].path, 1, seconds=0.5)
    clips[2] = write_clip(clips[2].path, 2, seconds=0.125)
    build(clips, tmp_path / "store")
    np.testing.assert_allclose(Store.open(tmp_path / "store").durations[:4], [0.25, 0.5, 0.125, 0.25])


def test_processes_write_the_same_bytes_as_one(clips, tmp_path, monkeypatch):
    build(clips, tmp_path / "one")
    monkeypatch.setattr(extract, "FEW", 0)
    build(clips, tmp_path / "two", workers=2)
    assert contents(tmp_path / "one") == contents(tmp_path / "two")


def source_of(*settings: str) -> LogMelInput:
    return LogMelInput(load_conf(settings=list(settings)))


def test_stores_made_before_keys_were_renamed_are_found():
    assert source_of().key == "b68a87edb4ff"


def shorten(path: Path, cut: int) -> None:
    os.truncate(path, path.stat().st_size - cut)


def test_only_settings_that_change_the_features_make_another_store():
    own = source_of().key
    assert source_of("features.n_mels=64").key != own
    assert source_of("data.clip_seconds=0.25").key != own
    assert source_of("features.frames_per_step=2").key == own
    assert source_of("features.scale_range=[0, 1]").key == own


@pytest.mark.parametrize(
    "damage", [Path.unlink, *(lambda path, cut=cut: shorten(path, cut) for cut in (13, 140, 9999))]
)
def test_a_store_that_lost_a_part_is_not_opened(clips, tmp_path, damage: Callable[[Path], None]):
    build(clips, tmp_path / "store")
    damage(tmp_path / "store" / "part-00001.npy")
    with pytest.raises(RecipeError, match="no finished feature store for these settings; run stage 0"):
        Store.open(tmp_path / "store")


def test_all_clips_that_cannot_be_read_are_reported_and_there_is_no_store(clips, tmp_path):
    spoil(clips)
    report = build(clips, tmp_path / "store")
    assert [Path(fault.path).name for fault in report.faults] == ["2.wav", "6.wav"]
    assert report.clips == 0
    assert not (tmp_path / "store" / "index.json").exists()


def test_a_broken_link_is_reported_like_other_faults(clips, tmp_path):
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


def test_a_part_that_another_share_deletes_meanwhile_is_skipped(clips, tmp_path, monkeypatch):
    build(clips, tmp_path / "store")

    def deleted(folder: Path, number: int, *others) -> bool:
        if number == 1:
            store_parts.delete_part(folder, number)
            store_parts.delete_part(folder, number)
        return True

    monkeypatch.setattr(store_parts, "is_whole", deleted)
    assert [number for number, _ in store_parts.known_parts(tmp_path / "store", SHAPE)] == [0, 2]


def test_a_file_that_cannot_be_written_is_named(clips, tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(OSError, match="Not a directory") as error:
        build(clips, tmp_path / "file" / "store")
    assert str(error.value.filename).startswith(str(tmp_path / "file"))
