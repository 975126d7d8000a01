"""The recordings of an archive: listed in a file or found in folders, and cut into chunks in their order."""

from __future__ import annotations

import csv
import functools
import hashlib
import io
import json
import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from recipe_mtlvae.audio.decoding import FOREIGN
from recipe_mtlvae.corpus.names import is_audio_name, no_audio, show
from recipe_mtlvae.errors import RecipeError, fail
from recipe_mtlvae.files import file_stamp, read_text

CHUNK = 32  # recordings
LONG = 1800.0  # s: a longer recording is a chunk of its own
PROBED = 3_500_000  # bytes, half an hour at 16 kbit/s: a smaller file is not opened to learn its duration
_LACKS_PATHS = "expected a table with one column path"


class Entry(NamedTuple):
    """A recording as it was when the command began."""

    path: str  # absolute
    size: int  # bytes; -1 if it did not exist
    changed: int  # modification time, ns


@dataclass(frozen=True)
class Chunk:
    """Recordings that are processed together."""

    name: str  # a hash of everything that its results depend on
    entries: tuple[Entry, ...]


def read_list(file: Path) -> list[str]:
    """Return the paths in a text file, one per line, or in the column `path` of a CSV or Parquet file.

    The recordings are not opened. Raises RecipeError for a file that is none of these, and for one without any path.
    """
    try:
        if file.suffix.lower() in (".parquet", ".pq"):
            paths = _of_parquet(file)
        else:
            text = read_text(file)
            if "\0" in text:
                raise UnicodeError
            paths = _of_csv(file, text) if file.suffix.lower() == ".csv" else text.split("\n")
    except UnicodeError:
        raise fail("--list: expected text in UTF-8", "one path a line, or a CSV or Parquet file", file) from None
    except OSError as error:
        reason = os.strerror(error.errno) if error.errno else error  # pyarrow's own text repeats the path
        raise fail(f"--list: cannot be read ({reason})", "check its name", file) from None
    paths = [path for path in paths if path and path.strip()]
    if not paths:
        raise fail("--list: holds no path", "one a line, or a column path", file)
    return paths


def _of_csv(file: Path, text: str) -> list[str]:
    try:
        rows = csv.DictReader(io.StringIO(text), strict=True)
        if (rows.fieldnames or []).count("path") != 1:
            raise fail(f"--list: {_LACKS_PATHS}, got {', '.join(rows.fieldnames or ()) or 'none'}", path=file, line=1)
        return [row["path"] for row in rows]
    except csv.Error as error:
        raise fail(f"--list: is no CSV file ({error})", "one path a line, in a file of another suffix", file) from None


def _of_parquet(file: Path) -> list[str]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        with pq.ParquetFile(file) as table:
            if table.schema_arrow.names.count("path") != 1:
                raise fail(f"--list: {_LACKS_PATHS}, got {', '.join(table.schema_arrow.names)}", path=file)
            column = table.read(["path"]).column("path")
            if pa.types.is_primitive(column.type):
                raise fail(f"--list: expected texts in the column path, got {column.type}", path=file)
            paths = column.cast(pa.string()).to_pylist()
    except pa.ArrowException:
        raise fail("--list: is no Parquet file with texts as paths", "write it again", file) from None
    if wrong := next((path for path in paths if path and "\0" in path), None):
        raise fail(f"--list: expected paths, got {show(wrong)}", "write it again", file)
    return paths


def in_folders(folders: Iterable[Path]) -> Iterator[str]:
    """Yield the files with an audio suffix in `folders`, sorted, recursively and without hidden files.

    Formats that cannot be read are included; detection reports them as faults. Raises RecipeError for a path that is
    not a folder, and for a folder without recordings.
    """
    for folder in folders:
        if not folder.is_dir():
            raise fail("expected a folder", "give single recordings in a --list", folder)
        found = False
        for parent, inner, names in os.walk(folder):
            inner.sort()
            for name in sorted(names):
                if is_audio_name(name) or (name.lower().endswith(FOREIGN) and not name.startswith(".")):
                    found = True
                    yield os.path.join(parent, name)
        if not found:
            raise RecipeError(no_audio(folder))


def entries_of(paths: Iterable[str]) -> tuple[list[Entry], int]:
    """Return each recording once, however often and by whatever path it is named, and the number of repetitions."""
    seen: set[str] = set()
    entries, again = [], 0
    here = Path.cwd()
    for path in paths:
        path = str(here / path)  # `..` stays: after a symbolic link, it leads elsewhere than the text says
        if (real := _real(path)) in seen:
            again += 1
            continue
        seen.add(path if real == path else real)
        entries.append(Entry(path, *file_stamp(Path(path))))
    return entries, again


def cut(entries: Sequence[Entry], key: str) -> list[Chunk]:
    """Cut `entries` into chunks, in their order. key: everything else that results depend on."""
    groups: list[list[Entry]] = [[]]
    for entry in entries:
        alone = entry.size > PROBED and _seconds(entry.path) > LONG
        if alone or len(groups[-1]) == CHUNK:
            groups.append([])
        groups[-1].append(entry)
        if alone:
            groups.append([])
    return [Chunk(_name(group, key), tuple(group)) for group in groups if group]


def _name(group: Sequence[Entry], key: str) -> str:
    return hashlib.sha256(json.dumps([key, group]).encode()).hexdigest()[:20]


def _real(path: str) -> str:
    """The path without symbolic links; each folder is resolved once."""
    folder, name = os.path.split(path)
    return os.path.realpath(path) if os.path.islink(path) else os.path.join(_real_folder(folder), name)


_real_folder = functools.lru_cache(4096)(os.path.realpath)


def _seconds(path: str) -> float:
    """The duration in the header; 0 if it cannot be read, which is reported when the recording is processed."""
    import soundfile

    try:
        return soundfile.info(path).duration
    except (soundfile.LibsndfileError, OSError, ZeroDivisionError):
        return 0.0
