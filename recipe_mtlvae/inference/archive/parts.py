"""The results of an archive's chunks, a Parquet file (part) for each, and the tables over all of them."""

from __future__ import annotations

import contextlib
import re
import shutil
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from recipe_mtlvae.errors import fail, printable
from recipe_mtlvae.files import atomic_write
from recipe_mtlvae.inference.archive.listing import Chunk

EVENT = pa.struct(
    [("onset", pa.float64()), ("offset", pa.float64()), ("event_label", pa.string()), ("confidence", pa.float64())]
)
# One row per recording: duration (s), events, what is wrong with it, and the path of its score table in the folder
PART = pa.schema(
    [
        ("path", pa.string()),
        ("duration", pa.float64()),
        ("events", pa.list_(EVENT)),
        ("fault", pa.string()),
        ("scores", pa.string()),
    ]
)
EVENTS = pa.schema([("path", pa.string()), *EVENT])
RECORDINGS = pa.schema([field.with_type(pa.int64()) if field.name == "events" else field for field in PART])
BINS = 200  # of the timeline
ROWS = 1 << 14  # rows of a table that are collected before they are written

PartRow = dict[str, Any]  # by the columns of PART


class Timeline:
    """Number of events of each class over the archive's audio, in BINS bins whose width doubles as the audio grows."""

    def __init__(self) -> None:
        self.width = 60.0  # of a bin, s
        self.counts: dict[str, list[int]] = {}

    def add(self, label: str, seconds: float) -> None:
        while seconds >= BINS * self.width:
            self.width *= 2
            for name, bins in self.counts.items():
                self.counts[name] = [sum(bins[i : i + 2]) for i in range(0, BINS, 2)] + [0] * (BINS // 2)
        self.counts.setdefault(label, [0] * BINS)[int(seconds // self.width)] += 1


@dataclass
class Totals:
    """Sums over the tables."""

    recordings: int = 0
    faults: int = 0
    seconds: float = 0.0
    events: Counter[str] = field(default_factory=Counter)  # by class
    active: Counter[str] = field(default_factory=Counter)  # seconds of events, by class
    timeline: Timeline = field(default_factory=Timeline)
    reasons: Counter[str] = field(default_factory=Counter)  # recordings with a fault, by the fault without its hint

    def add(self, row: PartRow) -> None:
        for event in row["events"]:
            label = event["event_label"]
            self.events[label] += 1
            self.active[label] += event["offset"] - event["onset"]
            self.timeline.add(label, self.seconds + event["onset"])
        self.recordings += 1
        self.seconds += row["duration"] or 0.0
        if row["fault"] is not None:
            self.faults += 1
            self.reasons[row["fault"].partition(";")[0]] += 1


def _part_file(out: Path, chunk: Chunk) -> Path:
    return out / "parts" / f"{chunk.name}.parquet"


def missing(out: Path, chunks: Sequence[Chunk]) -> list[Chunk]:
    """Return the chunks whose part has not been written yet."""
    there = {file.name for file in (out / "parts").glob("*.parquet")}
    return [chunk for chunk in chunks if f"{chunk.name}.parquet" not in there]


def write_part(out: Path, chunk: Chunk, rows: Sequence[PartRow]) -> None:
    """Write a chunk's part whole or not at all."""
    with atomic_write(_part_file(out, chunk)) as temporary:
        pq.write_table(pa.Table.from_pylist(list(rows), PART), temporary)


def merge(out: Path, chunks: Sequence[Chunk]) -> Totals:
    """Stream the parts, in the chunks' order, into events.parquet, recordings.parquet and faults.tsv.

    Raises RecipeError for a part that cannot be read, and deletes it, so that the next run computes it again.
    """
    totals = Totals()
    with (
        _table(out / "events.parquet", EVENTS) as events,
        _table(out / "recordings.parquet", RECORDINGS) as recordings,
        atomic_write(out / "faults.tsv") as temporary,
        temporary.open("w", encoding="utf-8", newline="\n") as faults,
    ):
        faults.write("path\tfault\n")
        for row in _rows(out, chunks):
            totals.add(row)
            for event in row["events"]:
                events.add({"path": row["path"], **event})
            recordings.add({**row, "events": len(row["events"])})
            if row["fault"] is not None:
                faults.write(f"{printable(row['path'])}\t{printable(row['fault'])}\n")
    return totals


def clear(out: Path, chunks: Sequence[Chunk]) -> None:
    """Delete the parts and score tables that belong to none of `chunks`, and what killed runs left half-written."""
    names = {chunk.name for chunk in chunks}
    for file in (out / "parts").iterdir():
        if file.stem not in names:
            file.unlink(missing_ok=True)
    for folder in (out / "scores").glob("*"):
        if folder.name not in names and re.fullmatch(r"[0-9a-f]{20}", folder.name):
            shutil.rmtree(folder)


def first_faults(out: Path, most: int) -> tuple[list[tuple[str, str]], int]:
    """Return the first `most` pairs (path, fault) of faults.tsv, and the number of all."""
    shown, count = [], 0
    with (out / "faults.tsv").open(encoding="utf-8") as file:
        for count, line in enumerate(file):
            if 0 < count <= most:
                path, _, fault = line.rstrip("\n").partition("\t")
                shown.append((path, fault))
    return shown, count


def _rows(out: Path, chunks: Iterable[Chunk]) -> Iterator[PartRow]:
    for chunk in chunks:
        file = _part_file(out, chunk)
        try:
            rows = pq.read_table(file, schema=PART).to_pylist()
        except (pa.ArrowException, OSError) as error:
            file.unlink(missing_ok=True)
            reason = str(error).splitlines()[0]
            raise fail(f"was damaged ({reason})", "run the same command again: it is made anew", file) from None
        yield from rows


class _Table:
    """A Parquet file that is written ROWS rows at a time."""

    def __init__(self, file: Path, schema: pa.Schema) -> None:
        self.schema, self.rows = schema, []
        self.writer = pq.ParquetWriter(file, schema)

    def add(self, row: PartRow) -> None:
        self.rows.append(row)
        if len(self.rows) == ROWS:
            self.flush()

    def flush(self) -> None:
        if self.rows:
            self.writer.write_table(pa.Table.from_pylist(self.rows, self.schema))
            self.rows = []


@contextlib.contextmanager
def _table(file: Path, schema: pa.Schema) -> Iterator[_Table]:
    with atomic_write(file) as temporary:
        table = _Table(temporary, schema)
        with table.writer:
            yield table
            table.flush()
