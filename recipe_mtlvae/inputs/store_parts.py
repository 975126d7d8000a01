"""Part files of a feature store: what stands in each, and for which recordings.

`part-00000.npy` is float16 (clips, width, steps), one input's values; `part-00000.json`, written after it, its rows.
A part never changes. A row is valid while its recording's size and time of change are the same.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from recipe_mtlvae.files import atomic_write, content_hash, read_json, write_json

PART_BYTES = 32 * 2**20
PART_CLIPS = 2048  # at most: short clips take time by their number, and processes share parts


@dataclass(frozen=True)
class Row:
    """One clip's values: which recording they were computed from."""

    name: str
    size: int  # bytes of the recording
    mtime_ns: int
    duration: float  # s, of the recording


def clips_per_part(shape: tuple[int, int]) -> int:
    """A part is about PART_BYTES long, so that neither parts nor what a kill costs are many; fewer of short clips."""
    return max(1, min(PART_CLIPS, PART_BYTES // (2 * shape[0] * shape[1])))


def part_path(folder: Path, number: int) -> Path:
    return folder / f"part-{number:05d}.npy"


def write_part(folder: Path, number: int, features: np.ndarray, rows: Sequence[Row]) -> None:
    """Write a part, then its rows."""
    path = part_path(folder, number)
    listed = [[row.name, row.size, row.mtime_ns, row.duration] for row in rows]
    with atomic_write(path) as temporary, temporary.open("wb") as file:
        # not np.save: it reports a full disk without its reason
        np.lib.format.write_array_header_1_0(file, np.lib.format.header_data_from_array_1_0(features))
        file.write(memoryview(features).cast("B"))
        file.write(_seal(listed))
    write_json(path.with_suffix(".json"), listed, indent=None)


def _seal(listed: list[list[Any]]) -> bytes:
    """Ends a part: its rows' hash, by which both files are known to be of one writing, should two runs ever cross."""
    return content_hash(listed).encode()


def delete_part(folder: Path, number: int) -> None:
    part_path(folder, number).with_suffix(".json").unlink()
    part_path(folder, number).unlink(missing_ok=True)


def known_parts(folder: Path, shape: tuple[int, int]) -> Iterator[tuple[int, list[Row]]]:
    """The number and the rows of every whole part, in the order of their numbers."""
    for path in sorted(folder.glob("part-*.json")):
        number = re.fullmatch(r"part-(\d{5,})\.json", path.name)
        listed = read_json(path)
        if number and listed and is_whole(folder, int(number[1]), len(listed), shape):
            with part_path(folder, int(number[1])).open("rb") as file:
                file.seek(-len(_seal(listed)), os.SEEK_END)
                if file.read() != _seal(listed):
                    continue
            yield int(number[1]), [Row(*recording) for recording in listed]


def is_whole(folder: Path, number: int, rows: int, shape: tuple[int, int]) -> bool:
    """Whether a part is there with at least so many rows."""
    try:
        return part_path(folder, number).stat().st_size >= 2 * rows * shape[0] * shape[1]
    except OSError:
        return False
