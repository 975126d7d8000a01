"""Stage 0 for DESED against a local server: layout, what is kept, what is fetched again, reuse, every fault once."""

from __future__ import annotations

import hashlib
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

import local.stage
from local import prepare
from recipe_mtlvae.errors import exit_code_of
from tests.misbehaving_server import Site, serve
from tests.tiny_desed import PUBLIC, REAL, SYNTHETIC, YoutubeDL, make_site, settings, wav

ARCHIVE = "/files/6026841/dcase_synth.zip"
EVAL = "/files/4560759/DESED_public_eval.tar.gz"
STRONG_TSV = "/files/6444477/audioset_strong.tsv"
WEAK = "audio/train/weak"


@pytest.fixture(scope="module")
def published() -> Site:
    return make_site()


@pytest.fixture
def site(published: Site, monkeypatch: pytest.MonkeyPatch) -> Iterator[Site]:
    fresh = Site(files=dict(published.files), records={n: dict(files) for n, files in published.records.items()})
    with serve(fresh):
        monkeypatch.setenv("TINY_YOUTUBE", fresh.address)
        monkeypatch.setattr("yt_dlp.YoutubeDL", YoutubeDL)
        yield fresh


@pytest.fixture
def stage0(
    site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Callable[..., tuple[int, str]]:
    """Run stage 0 on tmp_path/tree, with more settings; exit code and all that was printed."""
    monkeypatch.setattr(local.stage, "PROJECT", tmp_path / "project")

    def run(*more: str, root: Path | None = None) -> tuple[int, str]:
        chosen = [f"--set={setting}" for setting in (*settings(site), *more)]
        arguments = ["--data", "desed", "--data_root", str(root or tmp_path / "tree"), "--tag", "t", *chosen]
        monkeypatch.setattr(sys, "argv", ["prepare", *arguments])
        capsys.readouterr()
        code = exit_code_of(prepare.main)
        said = capsys.readouterr()
        return code, said.out + said.err

    return run


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "tree"


def tree(root: Path) -> dict[str, str]:
    """Every file's hash by its path, aside from what checking and features leave."""
    files = sorted(path for path in root.rglob("*") if path.is_file() and not {*path.parts} & {"features", ".checked"})
    return {path.relative_to(root).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def asked(site: Site) -> list[str]:
    return [path for path, _ in site.requests]


def layout() -> set[str]:
    """Every path of a whole tree."""
    paths = {f"audio/train/strong_label_real/{name}" for name in REAL["strong_real"]}
    paths |= {f"audio/train/unlabel_in_domain/{name}" for name in REAL["unlabeled"]}
    paths |= {f"audio/train/weak/{name}" for name in REAL["weak"]}
    paths |= {f"audio/validation/validation/{name}" for name in REAL["validation"]}
    paths |= {f"audio/eval/public/{name}" for name in PUBLIC}
    for part, clips in SYNTHETIC.items():
        paths |= {f"audio/{part}/synthetic21_{part}/soundscapes/{i}.wav" for i in range(clips)}
        paths.add(f"metadata/{part}/synthetic21_{part}/soundscapes.tsv")
    tables = ("train/weak", "train/unlabel_in_domain", "train/audioset_strong", "validation/validation", "eval/public")
    return paths | {f"metadata/{table}.tsv" for table in tables}


# ---- what comes, and from where ----


def test_an_empty_folder_becomes_the_whole_tree_and_nothing_else(stage0: Callable, root: Path) -> None:
    code, said = stage0()
    assert code == 0, said
    assert set(tree(root)) == layout() | {".lock"}


def test_a_whole_tree_needs_no_network(stage0: Callable, site: Site) -> None:
    stage0()
    site.requests.clear()
    code, said = stage0()
    assert (code, site.requests) == (0, [])
    assert "is prepared already" in said


def test_a_clip_of_ten_seconds_is_cut_from_its_video(stage0: Callable, root: Path) -> None:
    import soundfile

    stage0("data.splits=[weak]")
    info = soundfile.info(root / WEAK / "Ybbbbbbbbbb0_30.000_40.000.wav")
    assert (info.duration, info.samplerate) == (10.0, 44_100)


def test_splits_can_be_chosen_and_only_theirs_is_fetched(stage0: Callable, root: Path, site: Site) -> None:
    code, said = stage0("data.splits=[weak, public]")
    assert code == 0, said
    present = set(tree(root)) - {".lock"}
    assert present == {path for path in layout() if "weak" in path or "public" in path}
    assert not [path for path in asked(site) if "6026841" in path or "6444477" in path]


def test_a_second_run_fetches_only_what_is_missing(stage0: Callable, root: Path, site: Site) -> None:
    stage0()
    before = tree(root)
    (root / WEAK / REAL["weak"][0]).unlink()
    (root / "audio/eval/public" / PUBLIC[1]).unlink()
    site.requests.clear()
    assert stage0()[0] == 0
    assert tree(root) == before
    assert sorted(path for path in asked(site) if "/api/" not in path) == [EVAL, "/youtube/bbbbbbbbbb0"]


def test_what_is_there_is_kept_as_it_is(stage0: Callable, root: Path) -> None:
    mine = root / "audio/eval/public" / PUBLIC[0]
    mine.parent.mkdir(parents=True)
    mine.write_bytes(wav("of my own"))
    assert stage0("data.splits=[public]")[0] == 0
    assert mine.read_bytes() == wav("of my own")


def test_a_tree_with_prepare_none_is_taken_as_it_is(stage0: Callable, root: Path, site: Site) -> None:
    stage0("data.splits=[weak]")
    (root / WEAK / REAL["weak"][0]).unlink()
    site.requests.clear()
    code, said = stage0("data.splits=[weak]", "data.prepare=none")
    assert (code, site.requests) == (0, [])
    assert "1 of 3 clips are not on disk" in said


# ---- clips that cannot be had ----


def test_a_vanished_clip_is_listed_with_its_reason_and_does_not_stop_the_run(
    stage0: Callable, root: Path, site: Site
) -> None:
    del site.files[f"/youtube/{REAL['validation'][0][1:12]}"]
    code, said = stage0("data.splits=[validation]")
    assert code == 0, said
    name = REAL["validation"][0]
    reason = f"ERROR: [youtube] {name[1:12]}: Video unavailable. This video has been removed by the uploader"
    assert (root / "missing_files_validation.tsv").read_text() == f"filename\terror\n{name}\t{reason}\n"
    assert "1 clips came, 1 not" in said
