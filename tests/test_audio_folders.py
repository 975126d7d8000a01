"""Folders of audio: which files are clips, and which names and links are refused."""

from __future__ import annotations

import pytest

from recipe_mtlvae.corpus.metadata import Clip, list_audio
from recipe_mtlvae.corpus.names import stem_of
from recipe_mtlvae.corpus.splits import leads_out
from recipe_mtlvae.errors import RecipeError


def test_a_link_to_nothing_in_a_folder_of_audio_is_named(tmp_path):
    (tmp_path / "a.wav").touch()
    (tmp_path / "b.wav").symlink_to("gone.wav")
    with pytest.raises(RecipeError, match=r"b\.wav: is a broken symbolic link; put the file there"):
        list_audio(tmp_path)


def test_names_without_a_suffix_keep_their_dots():
    names = ["Yabc_30.000_40.000", "a.b.wav", "a.FLAC", ".wav"]
    assert [stem_of(name) for name in names] == ["Yabc_30.000_40.000", "a.b", "a", ".wav"]


def test_an_evaluation_folder_is_listed_by_suffix(tmp_path):
    for name in ("b c.WAV", "ä.flac", "notes.txt", ".hidden.wav"):
        (tmp_path / name).touch()
    (tmp_path / "folder.wav").mkdir()
    assert [clip.name for clip in list_audio(tmp_path)] == ["b c.WAV", "ä.flac"]
    assert list_audio(tmp_path)[0] == Clip("b c.WAV", tmp_path / "b c.WAV", None, None)


def test_recordings_that_would_share_a_result_are_refused(tmp_path):
    for name in ("a.wav", "a.flac", "b.wav"):
        (tmp_path / name).touch()
    with pytest.raises(RecipeError, match=r"'a\.flac' and 'a\.wav' differ in their suffix alone"):
        list_audio(tmp_path)


def test_a_newline_in_a_file_name_is_refused(tmp_path):
    (tmp_path / "a\nb.wav").touch()
    with pytest.raises(RecipeError, match=r"'a\\nb\.wav': holds a control character"):
        list_audio(tmp_path)


@pytest.mark.parametrize(("make", "words"), [(True, "no audio in this folder"), (False, "no such folder of audio")])
def test_an_evaluation_folder_without_audio_is_refused(tmp_path, make, words):
    folder = tmp_path / "evaluation"
    if make:
        folder.mkdir()
    with pytest.raises(RecipeError, match=words):
        list_audio(folder)


def test_only_links_to_files_outside_the_audio_folders_lead_out(tmp_path):
    homes = [tmp_path / "audio", tmp_path / "weak"]
    for path in (*(home / "a.wav" for home in homes), tmp_path / "secret.wav"):
        path.parent.mkdir(exist_ok=True)
        path.touch()
    targets = {"inside.wav": "a.wav", "other.wav": "../weak/a.wav", "outside.wav": "../secret.wav"}
    for name, target in targets.items():
        (homes[0] / name).symlink_to(target)
    clips = [Clip(name, homes[0] / name, None, None) for name in ("a.wav", *targets)]
    assert [leads_out(clip, homes) for clip in clips] == [False, False, False, True]
