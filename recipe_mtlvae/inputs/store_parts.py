"""The part files of a feature store.

`part-00000.npy` holds the values of one input, float16 (clips, width, steps), and a hash of its rows at the end.
`part-00000.json`, written after it, lists the rows. A part never changes. A row is valid as long as the size and the
time of change of its recording stay the same.
"""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from recipe_mtlvae.files import atomic_write, content_hash, read_json, write_json

PART_BYTES = 32 * 2**20
_HEADER = 128  # bytes before the values; numpy leaves room in them for any number of rows
PART_CLIPS = 2048  # at most: many short clips take long, and processes divide the work by parts


@dataclass(frozen=True)
class Row:
    """One row of a part: its clip, and the recording from which the values were computed."""

    name: str
    size: int  # bytes of the recording
    mtime_ns: int
    duration: float  # s, of the clip before cutting or padding


def clips_per_part(shape: tuple[int, int]) -> int:
    """Return the number of clips in a part: about PART_BYTES, at most PART_CLIPS.

    Larger parts would lose more work when a run is killed; smaller ones would be too many files.
    """
    return max(1, min(PART_CLIPS, PART_BYTES // (2 * shape[0] * shape[1])))


def part_path(folder: Path, number: int) -> Path:
    return folder / f"part-{number:05d}.npy"


def write_part(folder: Path, number: int, features: np.ndarray, rows: Sequence[Row]) -> None:
    """Write a part, then the list of its rows."""
    path = part_path(folder, number)
    listed = [[row.name, row.size, row.mtime_ns, row.duration] for row in rows]
    with atomic_write(path) as temporary, temporary.open("wb") as file:
        # np.save does not say why a write fails, for example that the disk is full
        np.lib.format.write_array_header_1_0(file, np.lib.format.header_data_from_array_1_0(features))
        file.write(memoryview(features).cast("B"))
        file.write(_seal(listed))
    write_json(path.with_suffix(".json"), listed, indent=None)


def _seal(listed: list[list[Any]]) -> bytes:
    """Return the hash of the rows that ends a part.

    It shows that both files of a part were written together, in case two runs write the same part.
    """
    return content_hash(listed).encode()


def delete_part(folder: Path, number: int) -> None:
    """Delete a part. Another share that finishes at the same time may have done so already."""
    part_path(folder, number).with_suffix(".json").unlink(missing_ok=True)
    part_path(folder, number).unlink(missing_ok=True)


def known_parts(folder: Path, shape: tuple[int, int]) -> Iterator[tuple[int, list[Row]]]:
    """Yield the number and the rows of every complete part, in the order of their numbers."""
    for path in sorted(folder.glob("part-*.json")):
        number = re.fullmatch(r"part-(\d{5,})\.json", path.name)
        listed = read_json(path)
        if number and listed and is_whole(folder, int(number[1]), len(listed), shape):
            seal = _seal(listed)
            with contextlib.suppress(FileNotFoundError), part_path(folder, int(number[1])).open("rb") as file:
                file.seek(-len(seal), os.SEEK_END)
                if file.read() == seal:
                    yield int(number[1]), [Row(*recording) for recording in listed]


def is_whole(folder: Path, number: int, rows: int, shape: tuple[int, int]) -> bool:
    """Return whether a part exists and is large enough for `rows` rows."""
    try:
        return part_path(folder, number).stat().st_size >= _HEADER + 2 * rows * shape[0] * shape[1]
    except OSError:
        return False
