"""Stage 0 for DESED with clips that exist elsewhere: they are found and linked, or fetched if they are no audio."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.misbehaving_server import Site
from tests.tiny_desed import REAL, STRONG_TSV, WEAK, asked, wav


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """The folder in which fetch_tree makes its tree; it does not exist yet."""
    return tmp_path / "tree"


def other_tree(folder: Path, names: list[str], at: str = "") -> Path:
    for name in names:
        (folder / at).mkdir(parents=True, exist_ok=True)
        (folder / at / name).write_bytes(wav("reused" + name))
    return folder


def test_clips_named_with_or_without_y_are_found_anywhere_and_linked(
    fetch_tree: Callable, root: Path, site: Site, tmp_path: Path
) -> None:
    first, second, third = REAL["weak"]
    mirror = other_tree(tmp_path / "mirror", [first[1:].replace(".000", ""), second], at="deep/down")
    code, said = fetch_tree("data.splits=[weak]", f"data.reuse=[{mirror}]")
    assert code == 0, said
    assert "weak: 3 of 3 clips missing, 2 linked from data.reuse" in said
    assert [path for path in asked(site) if "youtube" in path] == [f"/youtube/{third[1:12]}"]
    assert os.path.samefile(root / WEAK / second, mirror / "deep/down" / second)
    assert os.path.samefile(root / WEAK / first, mirror / "deep/down" / first[1:].replace(".000", ""))


def test_a_whole_split_of_another_years_tree_is_linked_with_its_table(
    fetch_tree: Callable, root: Path, site: Site, tmp_path: Path
) -> None:
    fetch_tree("data.splits=[synthetic_train]", root=tmp_path / "dcase2021" / "dataset")
    site.requests.clear()
    code, said = fetch_tree("data.splits=[synthetic_train]", f"data.reuse=[{tmp_path / 'dcase2021'}]")
    assert code == 0, said
    assert site.requests == []
    assert "synthetic_train: 5 of 5 clips missing, 5 linked" in said


def test_a_file_that_is_no_audio_is_not_linked_but_fetched(
    fetch_tree: Callable, root: Path, site: Site, tmp_path: Path
) -> None:
    mirror = other_tree(tmp_path / "mirror", REAL["weak"])
    (mirror / REAL["weak"][0]).write_bytes(b"<html>")
    code, said = fetch_tree("data.splits=[weak]", f"data.reuse=[{mirror}]")
    assert code == 0, said
    assert f"warning: weak: not linked: {mirror / REAL['weak'][0]}: is not readable as audio" in said
    assert [path for path in asked(site) if "youtube" in path] == [f"/youtube/{REAL['weak'][0][1:12]}"]


@pytest.fixture
def no_hard_links(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*names: object) -> None:
        raise OSError(18, "Invalid cross-device link")

    monkeypatch.setattr("local.desed.clip_file.os.link", refuse)


@pytest.fixture
def twin(site: Site) -> str:
    """A clip that both weak and strong_real name."""
    name = REAL["weak"][0]
    site.files[STRONG_TSV] = f"filename\tonset\toffset\tevent_label\n{name}\t0.1\t0.9\tCat\n".encode()
    return name


def test_symbolic_links_replace_hard_links_and_need_data_reuse_in_every_stage(
    fetch_tree: Callable, root: Path, tmp_path: Path, no_hard_links: None
) -> None:
    mirror = other_tree(tmp_path / "mirror", REAL["weak"])
    code, said = fetch_tree("data.splits=[weak]", f"data.reuse=[{mirror}]")
    assert code == 0, said
    assert all((root / WEAK / name).is_symlink() for name in REAL["weak"])
    code, said = fetch_tree("data.splits=[weak]", "data.prepare=none")
    assert code == 1
    assert "is a link out of the corpus; put the file there, or name the folder that it leads to" in said


def test_a_clip_of_two_splits_is_fetched_once_and_linked(
    fetch_tree: Callable, root: Path, site: Site, twin: str
) -> None:
    _, said = fetch_tree("data.splits=[weak, strong_real]", "data.skip_bad=true")
    assert asked(site).count(f"/youtube/{twin[1:12]}") == 1, said
    assert os.path.samefile(root / WEAK / twin, root / "audio/train/strong_label_real" / twin)


def test_without_hard_links_a_clip_of_two_splits_is_linked_symbolically(
    fetch_tree: Callable, root: Path, twin: str, no_hard_links: None
) -> None:
    _, said = fetch_tree("data.splits=[weak, strong_real]", "data.skip_bad=true")
    assert (root / WEAK / twin).is_symlink() != (root / "audio/train/strong_label_real" / twin).is_symlink()
    assert "is a link out of" not in said


def test_a_missing_reuse_folder_is_an_error(fetch_tree: Callable, tmp_path: Path) -> None:
    code, said = fetch_tree("data.splits=[weak]", f"data.reuse=[{tmp_path / 'nowhere'}]")
    assert (code, "nowhere: data.reuse: no such folder" in said) == (1, True)
