"""Stage 0 for DESED against a local server: layout, what is kept, what is fetched again, reuse, every fault once."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import pytest

from tests.misbehaving_server import Site
from tests.tiny_desed import PUBLIC, REAL, SYNTHETIC, tree, wav, zip_of

ARCHIVE = "/files/6026841/dcase_synth.zip"
EVAL = "/files/4560759/DESED_public_eval.tar.gz"
STRONG_TSV = "/files/6444477/audioset_strong.tsv"
WEAK = "audio/train/weak"


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Where fetch_tree makes its tree; not there yet."""
    return tmp_path / "tree"


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


def test_an_empty_folder_becomes_the_whole_tree_and_nothing_else(fetch_tree: Callable, root: Path) -> None:
    code, said = fetch_tree()
    assert code == 0, said
    assert set(tree(root)) == layout()


def test_a_whole_tree_needs_no_network(fetch_tree: Callable, site: Site) -> None:
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


def test_splits_can_be_chosen_and_only_theirs_is_fetched(fetch_tree: Callable, root: Path, site: Site) -> None:
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


def test_what_is_there_is_kept_as_it_is(fetch_tree: Callable, root: Path) -> None:
    mine = root / "audio/eval/public" / PUBLIC[0]
    mine.parent.mkdir(parents=True)
    mine.write_bytes(wav("of my own"))
    assert fetch_tree("data.splits=[public]")[0] == 0
    assert mine.read_bytes() == wav("of my own")


def test_a_tree_with_prepare_none_is_taken_as_it_is(fetch_tree: Callable, root: Path, site: Site) -> None:
    fetch_tree("data.splits=[weak]")
    (root / WEAK / REAL["weak"][0]).unlink()
    site.requests.clear()
    code, said = fetch_tree("data.splits=[weak]", "data.prepare=none")
    assert (code, site.requests) == (0, [])
    assert "1 of 3 clips are not on disk" in said


# ---- clips that cannot be had ----


def test_a_vanished_clip_is_listed_with_its_reason_and_does_not_stop_the_run(
    fetch_tree: Callable, root: Path, site: Site
) -> None:
    del site.files[f"/youtube/{REAL['validation'][0][1:12]}"]
    code, said = fetch_tree("data.splits=[validation]")
    assert code == 0, said
    name = REAL["validation"][0]
    reason = f"ERROR: [youtube] {name[1:12]}: Video unavailable. This video has been removed by the uploader"
    assert (root / "missing_files_validation.tsv").read_text() == f"filename\terror\n{name}\t{reason}\n"
    assert "1 clips came, 1 not" in said


def test_a_clip_that_is_gone_is_not_asked_for_again_and_others_are(
    fetch_tree: Callable, root: Path, site: Site
) -> None:
    gone, other = (f"/youtube/{name[1:12]}" for name in REAL["validation"])
    kept = site.files.pop(other)
    site.files.pop(gone)
    site.always[other] = "403"
    fetch_tree("data.splits=[validation]", "data.skip_bad=true")
    site.files[other] = kept
    site.always.clear()
    site.requests.clear()
    code, said = fetch_tree("data.splits=[validation]")
    assert code == 0, said
    assert asked(site) == [other]
    assert (root / "missing_files_validation.tsv").read_text().count("\n") == 2


def test_too_many_requests_are_waited_for(fetch_tree: Callable, site: Site) -> None:
    site.faults[f"/youtube/{REAL['weak'][1][1:12]}"] = ["429", "503"]
    code, said = fetch_tree("data.splits=[weak]")
    assert code == 0, said
    assert "weak: 3 clips came\n" in said


def test_refusals_without_end_stop_the_run_with_one_line(fetch_tree: Callable, root: Path, site: Site) -> None:
    site.always |= {path: "429" for path in site.files if path.startswith("/youtube/")}
    code, said = fetch_tree("data.splits=[weak]")
    errors = [line for line in said.splitlines() if line.startswith("error: ")]
    assert code == 1
    assert len(errors) == 1
    assert "split 'weak': 3 clips are still to be fetched; refused 4 times in a row: ERROR: [youtube]" in errors[0]
    assert "run the same again later, or go on without them: --set data.prepare=none" in errors[0]
    site.always.clear()
    assert fetch_tree("data.splits=[weak]")[0] == 0
    assert not (root / "missing_files_weak.tsv").exists()


def test_a_damaged_clip_is_not_taken(fetch_tree: Callable, root: Path, site: Site) -> None:
    path = f"/youtube/{REAL['weak'][0][1:12]}"
    site.files[path] = b"RIFF" + bytes(1000)
    fetch_tree("data.splits=[weak]")
    assert not (root / WEAK / REAL["weak"][0]).exists()
    assert REAL["weak"][0] in (root / "missing_files_weak.tsv").read_text()


def test_a_clip_that_its_archive_lacks_is_listed_and_the_archive_not_fetched_again(
    fetch_tree: Callable, root: Path, site: Site
) -> None:
    table = b"filename\tonset\toffset\tevent_label\n0.wav\t0.1\t0.9\tCat\n1.wav\t0.1\t0.9\tCat\n"
    folder = "validation/synthetic21_validation/soundscapes"
    site.files[ARCHIVE] = zip_of({f"audio/{folder}/0.wav": wav("0"), f"metadata/{folder}.tsv": table})
    code, said = fetch_tree("data.splits=[synthetic_validation]")
    assert code == 0, said
    missing = root / "missing_files_synthetic_validation.tsv"
    assert missing.read_text() == "filename\terror\n1.wav\tnot in dcase_synth.zip of record 6026841\n"
    site.requests.clear()
    fetch_tree("data.splits=[synthetic_validation]")
    assert site.requests == []


def test_a_table_that_cannot_be_had_does_not_keep_the_others(fetch_tree: Callable, root: Path, site: Site) -> None:
    site.always[STRONG_TSV] = "404"
    code, said = fetch_tree()
    errors = [line for line in said.splitlines() if line.startswith("error: ")]
    assert code == 1
    assert len(errors) == 1 and "audioset_strong.tsv: HTTP 404 (Not Found); it may have moved" in errors[0]
    assert set(tree(root)) == {path for path in layout() if "strong" not in path}


# ---- faults of archives: the others are completed ----

ARCHIVE_FAULTS = {
    "404": (lambda site: site.always.update({ARCHIVE: "404"}), "HTTP 404 (Not Found)"),
    "page": (lambda site: site.always.update({ARCHIVE: "page"}), "a web page instead of the file"),
    "wrong": (lambda site: site.always.update({ARCHIVE: "wrong"}), "wrong checksum"),
    "cut": (lambda site: site.files.update({ARCHIVE: site.files[ARCHIVE][:-99]}), "cannot be unpacked"),
    "hostile": (lambda site: site.files.update({ARCHIVE: zip_of({"../../x.wav": b""})}), "leads out of the folder"),
    "other content": (
        lambda site: site.files.update({ARCHIVE: zip_of({"x": b""})}),
        "dcase_synth.zip of record 6026841",
    ),
    "no record": (lambda site: site.records.pop(6026841), "HTTP 404 (Not Found)"),
}


@pytest.mark.parametrize(("harm", "words"), ARCHIVE_FAULTS.values(), ids=ARCHIVE_FAULTS)
def test_a_fault_of_one_archive_is_reported_once_and_the_next_run_completes_the_tree(
    harm: Callable, words: str, fetch_tree: Callable, root: Path, site: Site, published: Site
) -> None:
    harm(site)
    chosen = "data.splits=[synthetic_train, synthetic_validation, public]"
    code, said = fetch_tree(chosen)
    errors = [line for line in said.splitlines() if line.startswith("error: ")]
    assert code == 1
    assert words in errors[0]
    assert len(errors) == 1 + (words.startswith("dcase_synth"))  # a line a split where it lacks what each wants
    assert len(list((root / "audio/eval/public").glob("*.wav"))) == len(PUBLIC)
    site.always.clear()
    site.files.update(published.files)
    site.records[6026841] = dict(published.records[6026841])
    for left in root.glob(".fetch/*.zip"):
        left.unlink()  # moved away, as the messages say
    code, said = fetch_tree(chosen)
    assert code == 0, said
    assert set(tree(root)) == {path for path in layout() if "synthetic21" in path or "public" in path}


def test_a_disk_that_is_too_small_is_told_before_anything_is_fetched(
    fetch_tree: Callable, site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("shutil.disk_usage", lambda path: SimpleNamespace(free=999))
    code, said = fetch_tree("data.splits=[public]")
    assert code == 1
    assert "needs" in said
    assert "where 999B are free; make room, or take fewer splits" in said
    assert EVAL not in asked(site)


# ---- reuse ----


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
    """A clip that two splits name, weak and strong_real."""
    name = REAL["weak"][0]
    site.files[STRONG_TSV] = f"filename\tonset\toffset\tevent_label\n{name}\t0.1\t0.9\tCat\n".encode()
    return name


def test_where_no_hard_link_can_be_made_symbolic_ones_serve_all_stages_that_name_the_folder(
    fetch_tree: Callable, root: Path, tmp_path: Path, no_hard_links: None
) -> None:
    mirror = other_tree(tmp_path / "mirror", REAL["weak"])
    code, said = fetch_tree("data.splits=[weak]", f"data.reuse=[{mirror}]")
    assert code == 0, said
    assert all((root / WEAK / name).is_symlink() for name in REAL["weak"])
    code, said = fetch_tree("data.splits=[weak]", "data.prepare=none")
    assert code == 1
    assert "is a link out of the corpus; put the file there, or name the folder that it leads to" in said


def test_a_clip_that_another_split_has_is_linked(fetch_tree: Callable, root: Path, site: Site, twin: str) -> None:
    _, said = fetch_tree("data.splits=[weak, strong_real]", "data.skip_bad=true")
    assert asked(site).count(f"/youtube/{twin[1:12]}") == 1, said
    assert os.path.samefile(root / WEAK / twin, root / "audio/train/strong_label_real" / twin)


def test_a_clip_of_another_split_may_be_a_symbolic_link(
    fetch_tree: Callable, root: Path, twin: str, no_hard_links: None
) -> None:
    _, said = fetch_tree("data.splits=[weak, strong_real]", "data.skip_bad=true")
    assert (root / WEAK / twin).is_symlink() != (root / "audio/train/strong_label_real" / twin).is_symlink()
    assert "is a link out of" not in said


def test_what_was_found_out_of_clips_outlives_an_interruption(
    fetch_tree: Callable, root: Path, site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    from local.desed import complete

    del site.files[f"/youtube/{REAL['weak'][0][1:12]}"]
    fetch = complete.fetch_clips

    def interrupted(*arguments: object) -> None:
        fetch(*arguments)
        raise KeyboardInterrupt

    monkeypatch.setattr(complete, "fetch_clips", interrupted)
    assert fetch_tree("data.splits=[weak]")[0] == 1
    assert REAL["weak"][0] in (root / "missing_files_weak.tsv").read_text()


def test_a_reuse_folder_that_is_not_there_is_an_error(fetch_tree: Callable, tmp_path: Path) -> None:
    code, said = fetch_tree("data.splits=[weak]", f"data.reuse=[{tmp_path / 'nowhere'}]")
    assert (code, "nowhere: data.reuse: no such folder" in said) == (1, True)
