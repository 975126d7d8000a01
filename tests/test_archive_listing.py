"""The recordings of an archive: lists, folders, and the chunks that they are divided into."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import soundfile

pytest.importorskip("pyarrow", reason="pyarrow is not installed (the extra archive)")
import pyarrow as pa
import pyarrow.parquet as pq

from recipe_mtlvae.inference.archive import listing
from recipe_mtlvae.inference.archive.listing import Entry, cut, entries_of, in_folders, read_list
from tests.archived import rows
from tests.tiny import RATE


def test_a_list_is_text_csv_or_parquet(tmp_path):
    (tmp_path / "a.txt").write_text("x.wav\n\nd/y, z.wav\n")
    (tmp_path / "a.csv").write_text('site,path\n1,x.wav\n2,"d/y, z.wav"\n')
    pq.write_table(pa.table({"path": ["x.wav", "d/y, z.wav"], "site": [1, 2]}), tmp_path / "a.parquet")
    for name in ("a.txt", "a.csv", "a.parquet"):
        assert read_list(tmp_path / name) == ["x.wav", "d/y, z.wav"]


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("a.txt", b"", "holds no path"),
        ("a.txt", b"\n \n", "holds no path"),
        ("a.txt", b"\xff\xfe\x00", "expected text in UTF-8"),
        ("a.txt", b"RIFF\0\0", "expected text in UTF-8"),
        ("a.csv", b"file\nx.wav\n", "expected a table with one column path, got file"),
        ("a.csv", b"path,path\nx.wav,y.wav\n", "expected a table with one column path, got path, path"),
        ("a.csv", b'path\n"x.wav\n', "is no CSV file"),
        ("a.parquet", b"PAR1", "is no Parquet file"),
    ],
)
def test_an_invalid_list_is_refused_in_one_line(scan, tmp_path, capsys, name, content, said):
    (tmp_path / name).write_bytes(content)
    assert scan("--list", tmp_path / name) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert said in line and str(tmp_path / name) in line and not (tmp_path / "out").exists()


def test_a_path_in_parquet_that_no_file_can_have_is_refused_in_one_line(scan, tmp_path, capsys):
    pq.write_table(pa.table({"path": ["x.wav", "a\0b.wav"]}), tmp_path / "a.parquet")
    assert scan("--list", tmp_path / "a.parquet") == 1
    assert "expected paths, got 'a\\x00b.wav'" in capsys.readouterr().err


def test_a_column_of_numbers_in_parquet_is_refused_in_one_line(scan, tmp_path, capsys):
    pq.write_table(pa.table({"path": [1, 2]}), tmp_path / "a.parquet")
    assert scan("--list", tmp_path / "a.parquet") == 1
    assert "expected texts in the column path, got int64" in capsys.readouterr().err


def test_only_line_endings_of_text_files_separate_the_rows_of_a_list(tmp_path):
    """Python's str.splitlines also splits at form feeds and at Unicode's own separators."""
    (tmp_path / "a.csv").write_bytes("path,note\r\nx.wav,two\u2028lines\r\ny.wav,a\x0cb\r\n".encode())
    assert read_list(tmp_path / "a.csv") == ["x.wav", "y.wav"]
    (tmp_path / "a.txt").write_bytes("x\u2028y.wav\r\nz.wav\n".encode())
    assert read_list(tmp_path / "a.txt") == ["x\u2028y.wav", "z.wav"]


@pytest.mark.parametrize("name", ["none.txt", "none.csv", "none.parquet"])
def test_a_missing_list_is_refused_in_one_line(scan, tmp_path, capsys, name):
    assert scan("--list", tmp_path / name) == 1
    what = f"error: {tmp_path}/{name}: --list: cannot be read (No such file or directory); check its name\n"
    assert capsys.readouterr().err == what


def test_folders_list_all_audio_names_in_order_without_hidden_files(tmp_path):
    for name in ("b/z.wav", "b/a.m4a", "a.flac", "._a.wav", "notes.txt"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    found = [str(Path(path).relative_to(tmp_path)) for path in in_folders([tmp_path])]
    assert found == ["a.flac", "b/a.m4a", "b/z.wav"]


def test_a_recording_that_is_listed_twice_is_scanned_once_with_a_warning(scan, recordings, tmp_path, capsys):
    (tmp_path / "link").symlink_to(recordings)
    (recordings / "other.wav").symlink_to("2.wav")
    (tmp_path / "list").write_text(f"{recordings}/2.wav\n{tmp_path}/link/2.wav\n{recordings}/other.wav\n")
    assert scan("--list", tmp_path / "list") == 0
    assert "warning: 2 paths named again: each recording is taken once" in capsys.readouterr().err
    assert [row["path"] for row in rows(tmp_path)] == [f"{recordings}/2.wav"]


def test_relative_paths_start_from_the_current_folder(recordings, monkeypatch):
    monkeypatch.chdir(recordings)
    (entry,), again = entries_of(["1.wav"])
    assert (entry.path, entry.size, again) == (str(recordings / "1.wav"), 2 * RATE + 44, 0)


def entries(*sizes: int) -> list[Entry]:
    return [Entry(f"/{number}.wav", size, 0) for number, size in enumerate(sizes)]


def test_a_chunk_holds_32_recordings_or_a_single_long_one(monkeypatch):
    monkeypatch.setattr(listing, "_seconds", lambda path: 1801.0)
    large = listing.PROBED + 1
    chunks = cut(entries(*[1] * 40, large, *[1] * 3), "")
    assert [len(chunk.entries) for chunk in chunks] == [32, 8, 1, 3]
    assert [entry for chunk in chunks for entry in chunk.entries] == entries(*[1] * 40, large, *[1] * 3)


def test_a_recording_of_more_than_half_an_hour_by_its_header_is_long(tmp_path):
    soundfile.write(tmp_path / "0.wav", np.zeros(1801 * 1000, np.int16), 1000)
    soundfile.write(tmp_path / "1.wav", np.zeros(1799 * 1000, np.int16), 1000)
    found, _ = entries_of([str(tmp_path / name) for name in ("1.wav", "missing.wav", "0.wav")])
    assert [len(chunk.entries) for chunk in cut(found, "")] == [2, 1]  # the recording of 1799 s is not alone


def test_the_name_of_a_chunk_depends_on_paths_sizes_times_and_options():
    (name,) = (chunk.name for chunk in cut([Entry("/a.wav", 1, 2)], "key"))
    assert name == cut([Entry("/a.wav", 1, 2)], "key")[0].name
    others = [Entry("/b.wav", 1, 2), Entry("/a.wav", 2, 2), Entry("/a.wav", 1, 3)]
    assert name not in {cut([entry], "key")[0].name for entry in others} | {
        cut([Entry("/a.wav", 1, 2)], "other")[0].name
    }
