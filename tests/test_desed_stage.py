"""Stage 0 for DESED against a local server: the layout, what is kept, and what is fetched again."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.misbehaving_server import Site
from tests.tiny_desed import EVAL, PUBLIC, REAL, WEAK, asked, layout, tree, wav


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """The folder in which fetch_tree makes its tree; it does not exist yet."""
    return tmp_path / "tree"


def test_an_empty_folder_becomes_the_whole_tree_and_nothing_else(fetch_tree: Callable, root: Path) -> None:
    code, said = fetch_tree()
    assert code == 0, said
    assert set(tree(root)) == layout()


def test_a_complete_tree_needs_no_network(fetch_tree: Callable, site: Site) -> None:
    fetch_tree()
    site.requests.clear()
    code, said = fetch_tree()
    assert (code, site.requests) == (0, [])
    assert "is prepared already" in said


def test_a_clip_of_ten_seconds_is_cut_from_its_video(fetch_tree: Callable, root: Path) -> None:
    import soundfile

    fetch_tree("data.splits=[weak]")
    info = soundfile.info(root / WEAK / "Ybbbbbbbbbb0_30.000_40.000.wav")
    assert (info.duration, info.samplerate) == (10.0, 44_100)


def test_only_the_files_of_chosen_splits_are_fetched(fetch_tree: Callable, root: Path, site: Site) -> None:
    code, said = fetch_tree("data.splits=[weak, public]")
    assert code == 0, said
    present = set(tree(root))
    assert present == {path for path in layout() if "weak" in path or "public" in path}
    assert not [path for path in asked(site) if "6026841" in path or "6444477" in path]


def test_a_second_run_fetches_only_what_is_missing(fetch_tree: Callable, root: Path, site: Site) -> None:
    fetch_tree()
    before = tree(root)
    (root / WEAK / REAL["weak"][0]).unlink()
    (root / "audio/eval/public" / PUBLIC[1]).unlink()
    site.requests.clear()
    assert fetch_tree()[0] == 0
    assert tree(root) == before
    assert sorted(path for path in asked(site) if "/api/" not in path) == [EVAL, "/youtube/bbbbbbbbbb0"]


def test_existing_files_are_kept_unchanged(fetch_tree: Callable, root: Path) -> None:
    mine = root / "audio/eval/public" / PUBLIC[0]
    mine.parent.mkdir(parents=True)
    mine.write_bytes(wav("of my own"))
    assert fetch_tree("data.splits=[public]")[0] == 0
    assert mine.read_bytes() == wav("of my own")


def test_with_prepare_none_nothing_is_fetched_and_missing_clips_are_reported(
    fetch_tree: Callable, root: Path, site: Site
) -> None:
    fetch_tree("data.splits=[weak]")
    (root / WEAK / REAL["weak"][0]).unlink()
    site.requests.clear()
    code, said = fetch_tree("data.splits=[weak]", "data.prepare=none")
    assert (code, site.requests) == (0, [])
    assert "1 of 3 clips are not on disk" in said
