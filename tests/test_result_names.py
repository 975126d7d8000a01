"""The names of the results of recordings: short, unique, and kept from run to run."""

from __future__ import annotations

from pathlib import Path

from recipe_mtlvae.inference.detection_files import result_names


def named(tmp_path: Path, *paths: str, earlier: dict[str, str] | None = None) -> list[str]:
    known = {tmp_path / path: name for path, name in (earlier or {}).items()}
    return list(result_names([tmp_path / path for path in paths], known).values())


def test_recordings_of_the_same_name_keep_the_folders_that_distinguish_them(tmp_path):
    assert sorted(named(tmp_path, "x/a.wav", "y/a.wav", "y/b.wav")) == ["b", "x_a", "y_a"]
    assert sorted(named(tmp_path, "p/x/a.wav", "q/x/a.wav")) == ["p_x_a", "q_x_a"]


def test_recordings_that_differ_only_in_their_suffix_keep_it(tmp_path):
    assert named(tmp_path, "a.wav", "a.flac") == ["a_wav", "a_flac"]


def test_names_that_differ_only_in_case_are_made_different(tmp_path):
    assert len({name.casefold() for name in named(tmp_path, "x/A.wav", "y/a.wav")}) == 2


def test_a_recording_seen_before_keeps_its_name_and_no_other_takes_it(tmp_path):
    earlier = {"x/a.wav": "a"}
    assert sorted(named(tmp_path, "x/a.wav", "y/a.wav", earlier=earlier)) == ["a", "y_a"]
    assert named(tmp_path, "y/a.wav", earlier=earlier) == ["y_a"]


def test_names_that_folders_do_not_distinguish_are_made_different(tmp_path):
    """Beside z/a.wav, x/a.wav would be called x_a, which is the name of x_a.wav, too; all four names must differ."""
    names = named(tmp_path, "x_a.wav", "x/a.wav", "z/a.wav", "x/a_b.wav")
    assert len(set(names)) == 4


def test_a_name_without_a_suffix_keeps_its_dots(tmp_path):
    assert named(tmp_path, "Yabc_30.000_40.000") == ["Yabc_30.000_40.000"]


def test_long_and_dotted_names_become_file_names(tmp_path):
    names = named(tmp_path, "ä" * 120 + ".wav", ".hidden.wav")
    assert all(len(name.encode()) <= 180 and not name.startswith(".") for name in names)
