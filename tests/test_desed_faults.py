"""Stage 0 for DESED when clips, tables or archives are unavailable: each is reported once, and the rest is fetched."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import pytest

from tests.misbehaving_server import Site
from tests.tiny_desed import (
    ARCHIVE,
    EVAL,
    PUBLIC,
    REAL,
    STRONG_TSV,
    WEAK,
    asked,
    layout,
    strong,
    tar_of,
    tree,
    wav,
    zip_of,
)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """The folder in which fetch_tree makes its tree; it does not exist yet."""
    return tmp_path / "tree"


def test_a_vanished_clip_is_listed_with_its_reason_and_does_not_stop_the_run(
    fetch_tree: Callable, root: Path, site: Site
) -> None:
    del site.files[f"/youtube/{REAL['validation'][0][1:12]}"]
    code, said = fetch_tree("data.splits=[validation]")
    assert code == 0, said
    name = REAL["validation"][0]
    reason = f"ERROR: [youtube] {name[1:12]}: Video unavailable. This video has been removed by the uploader"
    assert (root / "missing_files_validation.tsv").read_text() == f"filename\terror\n{name}\t{reason}\n"
    assert "1 clips obtained, 1 not" in said


def test_a_removed_clip_is_not_requested_again_but_a_refused_one_is(
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


@pytest.mark.parametrize("clips", [1, 2])
def test_clips_from_a_file_that_is_no_archive_are_refused(fetch_tree: Callable, site: Site, clips: int) -> None:
    site.files[EVAL] = tar_of({"metadata/eval/public.tsv": strong(PUBLIC[:clips])})
    code, said = fetch_tree("data.splits=[public]", "fetch.splits.public.audio=strong_metadata")
    assert code == 1
    assert "expected an archive, got audioset_strong.tsv of record 6444477; correct fetch.splits" in said
    assert STRONG_TSV not in asked(site)


def test_archives_of_two_records_may_have_the_same_name(fetch_tree: Callable, root: Path, site: Site) -> None:
    settings = ["data.splits=[validation, public]"]
    tables = {"validation": "metadata/validation/validation.tsv", "public": "metadata/eval/public.tsv"}
    audio = {"validation": "audio/validation/validation/1.wav", "public": "audio/eval/public/1.wav"}
    for record, split in enumerate(tables, 1):
        site.add(record, "data.zip", zip_of({tables[split]: strong(["1.wav"]), audio[split]: wav(split)}))
        settings.append(f"fetch.archives.{split}={{record: {record}, file: data.zip}}")
        settings.append(f"fetch.splits.{split}={{metadata: {split}, audio: {split}}}")
    code, said = fetch_tree(*settings)
    assert code == 0, said
    assert all((root / audio[split]).read_bytes() == wav(split) for split in audio)


@pytest.mark.parametrize("encoding", ["latin-1", "utf-16"])
def test_a_list_of_missing_clips_in_another_encoding_ends_no_run(
    fetch_tree: Callable, root: Path, site: Site, encoding: str
) -> None:
    fetch_tree("data.splits=[validation]")
    name = REAL["validation"][0]
    (root / "audio/validation/validation" / name).unlink()
    (root / "missing_files_validation.tsv").write_text(f"filename\terror\n{name}\tgelöscht\n", encoding=encoding)
    code, said = fetch_tree("data.splits=[validation]")
    assert code == 0, said
    assert "validation: 1 clips obtained" in said


def test_after_too_many_requests_the_run_waits_and_completes_the_split(fetch_tree: Callable, site: Site) -> None:
    site.faults[f"/youtube/{REAL['weak'][1][1:12]}"] = ["429", "503"]
    code, said = fetch_tree("data.splits=[weak]")
    assert code == 0, said
    assert "weak: 3 clips obtained\n" in said


def test_endless_refusals_stop_the_run_with_one_line(fetch_tree: Callable, root: Path, site: Site) -> None:
    site.always |= {path: "429" for path in site.files if path.startswith("/youtube/")}
    code, said = fetch_tree("data.splits=[weak]")
    errors = [line for line in said.splitlines() if line.startswith("error: ")]
    assert code == 1
    assert len(errors) == 1
    assert "split 'weak': 3 clips are still to be fetched; refused 4 times in a row: ERROR: [youtube]" in errors[0]
    assert "run the same command again later, or continue without them: --set data.prepare=none" in errors[0]
    site.always.clear()
    assert fetch_tree("data.splits=[weak]")[0] == 0
    assert not (root / "missing_files_weak.tsv").exists()


def test_a_damaged_clip_is_not_kept_but_listed(fetch_tree: Callable, root: Path, site: Site) -> None:
    path = f"/youtube/{REAL['weak'][0][1:12]}"
    site.files[path] = b"RIFF" + bytes(1000)
    fetch_tree("data.splits=[weak]")
    assert not (root / WEAK / REAL["weak"][0]).exists()
    assert REAL["weak"][0] in (root / "missing_files_weak.tsv").read_text()


def test_a_clip_that_its_archive_lacks_is_listed_and_the_archive_is_not_fetched_again(
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


def test_an_unavailable_table_does_not_stop_the_other_splits(fetch_tree: Callable, root: Path, site: Site) -> None:
    site.always[STRONG_TSV] = "404"
    code, said = fetch_tree()
    errors = [line for line in said.splitlines() if line.startswith("error: ")]
    assert code == 1
    assert len(errors) == 1 and "audioset_strong.tsv: HTTP 404 (Not Found); it may have moved" in errors[0]
    assert set(tree(root)) == {path for path in layout() if "strong" not in path}


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
    assert len(errors) == 1 + (words.startswith("dcase_synth"))  # one line for each split whose files it lacks
    assert len(list((root / "audio/eval/public").glob("*.wav"))) == len(PUBLIC)
    site.always.clear()
    site.files.update(published.files)
    site.records[6026841] = dict(published.records[6026841])
    for left in root.glob(".fetch/*.zip"):
        left.unlink()  # the error message asks the user to move it away
    code, said = fetch_tree(chosen)
    assert code == 0, said
    assert set(tree(root)) == {path for path in layout() if "synthetic21" in path or "public" in path}


def test_a_disk_that_is_too_small_is_reported_before_anything_is_fetched(
    fetch_tree: Callable, site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("shutil.disk_usage", lambda path: SimpleNamespace(free=999))
    code, said = fetch_tree("data.splits=[public]")
    assert code == 1
    assert "needs" in said
    assert "where 999B are free; make room, or take fewer splits" in said
    assert EVAL not in asked(site)


def test_the_list_of_missing_clips_survives_an_interruption(
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
