"""Which recordings are found in files and folders, and which faults are reported."""

from __future__ import annotations

import os

import pytest

from recipe_mtlvae.audio.decoding import read_audio
from recipe_mtlvae.errors import RecipeError
from recipe_mtlvae.inference.recordings import find_recordings
from tests.tiny import RATE, recording


def test_folders_are_searched_and_each_recording_is_taken_once(tmp_path):
    inner, outer = recording(tmp_path / "deep" / "b.flac"), recording(tmp_path / "a.wav")
    (tmp_path / "notes.txt").write_text("x")
    recordings, faults = find_recordings([tmp_path, outer, tmp_path / "deep" / ".." / "a.wav"])
    assert sorted(recordings) == [outer, inner] and not faults


def test_missing_files_and_folders_without_audio_are_named(tmp_path):
    _, faults = find_recordings([tmp_path, tmp_path / "none.wav"])
    assert "no audio in this folder" in str(faults[0]) and "no such file" in str(faults[1])


def test_hidden_files_are_left_out_and_unfit_names_are_faults(tmp_path):
    recording(tmp_path / "a.wav")
    (tmp_path / "._a.wav").write_text("what macOS leaves")
    (tmp_path / "tab\tbed.wav").write_bytes((tmp_path / "a.wav").read_bytes())
    recordings, faults = find_recordings([tmp_path])
    assert [path.name for path in recordings] == ["a.wav"]
    assert "control character" in str(faults[0])


def test_links_to_nothing_and_pipes_are_named(tmp_path):
    recording(tmp_path / "in" / "a.wav")
    (tmp_path / "in" / "b.wav").symlink_to("gone.wav")
    os.mkfifo(tmp_path / "c.wav")
    recordings, faults = find_recordings([tmp_path / "in", tmp_path / "c.wav"])
    assert [path.name for path in recordings] == ["a.wav"]
    assert [fault.what for fault in faults] == ["is a broken symbolic link", "is a pipe or a device, not a file"]


@pytest.mark.parametrize("name", ["a\u3000b.wav", "\U0001f469\u200d\U0001f466.wav", "\u05d0\u200f.wav"])
def test_names_with_other_spaces_joiners_and_marks_are_accepted(tmp_path, name):
    recording(tmp_path / name)
    recordings, faults = find_recordings([tmp_path])
    assert ([path.name for path in recordings], faults) == ([name], [])


def test_for_audio_of_a_phone_the_message_says_how_to_convert_it(tmp_path):
    (tmp_path / "a.m4a").write_bytes(b"\0\0\0\x18ftypM4A " + bytes(100))
    with pytest.raises(RecipeError, match=r"not readable as audio .*; convert it, as by: ffmpeg -i a\.m4a a\.wav"):
        read_audio(tmp_path / "a.m4a", RATE, None)
    _, faults = find_recordings([tmp_path])
    assert "1 file ending in .m4a, which is not read" in str(faults[-1])
