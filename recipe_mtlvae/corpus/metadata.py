"""Metadata tables in DESED's formats: the clips of a split and their labels.

Strong: `filename onset offset event_label`, one row per event, or one row with empty fields for a clip without events.
Weak: `filename event_labels`, labels separated by commas. Unlabeled: `filename`.
Tables have tabs between the columns and a header, unless data.table says otherwise.
"""

from __future__ import annotations

import csv
import math
import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from recipe_mtlvae.conf_sections import SEPARATORS, TableConf
from recipe_mtlvae.corpus.names import bad_name, is_audio_name, link_faults, no_audio, normalized, show, stem_faults
from recipe_mtlvae.errors import Fault, RecipeError, fail
from recipe_mtlvae.files import refuse_pipe
from recipe_mtlvae.labels import Event

COLUMNS = {
    "strong": ("filename", "onset", "offset", "event_label"),
    "weak": ("filename", "event_labels"),
    "none": ("filename",),
}
DESED_TABLE = TableConf(separator="tab", header=True)


@dataclass(frozen=True, slots=True)
class Clip:
    """One recording, or a window of a long one, with its labels in the metadata."""

    name: str  # as in the metadata, with suffix; the name of a window includes its start, see cutting.py
    path: Path
    events: tuple[Event, ...] | None  # as written, in the file's order; (): event-free; None unless strong
    labels: frozenset[str] | None  # None if unlabeled
    start: float | None = None  # s in the file where a window begins; None: the whole recording


@dataclass(frozen=True)
class Metadata:
    """The content of a table: its valid rows and all its faults."""

    events: dict[str, tuple[Event, ...]]  # strong only
    labels: dict[str, frozenset[str] | None]  # of every valid clip, in the file's order; None if unlabeled
    faulty: frozenset[str]  # clips with a faulty row, which must not be used
    faults: tuple[Fault, ...]

    @property
    def expected(self) -> int:
        """Number of clips that the file names."""
        return len(self.labels) + len(self.faulty)


def read_events(tsv: Path, classes: Sequence[str] | None) -> dict[str, tuple[Event, ...]]:
    """Return the events of a strong TSV by clip, exactly as written; () for a clip with an empty row.

    classes: the allowed labels; None: any. Raises RecipeError with all faults found.
    """
    metadata = read_metadata(tsv, "strong", classes)
    if metadata.faults:
        raise RecipeError(*metadata.faults)
    return metadata.events


def split_clips(metadata: Metadata, audio: Path) -> list[Clip]:
    """Return the valid clips of `metadata`, with their paths in the folder `audio`, sorted by name."""
    return [
        Clip(name, audio / name, metadata.events.get(name), metadata.labels[name]) for name in sorted(metadata.labels)
    ]


def list_audio(folder: Path) -> list[Clip]:
    """Return the recordings in a folder without metadata, sorted by name: files with an audio suffix, none hidden.

    Raises RecipeError if the folder is missing or has no recording, or a name is refused.
    """
    if not folder.is_dir():
        raise fail("no such folder of audio", "check data.evaluation", folder)
    entries = [entry for entry in os.scandir(folder) if is_audio_name(entry.name)]
    faults = link_faults(entries)
    names = sorted(entry.name for entry in entries if entry.is_file())
    if not names and not faults:
        raise RecipeError(no_audio(folder))
    unfit = ((name, reason) for name in names if (reason := bad_name(name)))
    faults += [Fault(f"file name {show(name)}: {reason}", "rename it", folder) for name, reason in unfit]
    if faults := faults + stem_faults(names, folder):
        raise RecipeError(*faults)
    return [Clip(name, folder / name, None, None) for name in names]


def read_metadata(tsv: Path, kind: str, classes: Sequence[str] | None, table: TableConf = DESED_TABLE) -> Metadata:
    """Read a table of `kind` strong, weak or none. Faults of its rows are in the result.

    Raises RecipeError only if the table cannot be read: no such file, other columns, or another encoding.
    """
    if kind not in COLUMNS:
        raise fail(f"labels '{kind}': expected {', '.join(COLUMNS)}", "correct data.splits")
    columns, rows = COLUMNS[kind], _Rows(classes)
    faults: list[Fault] = []
    faulty: set[str] = set()
    if not tsv.exists() or tsv.is_dir():
        raise fail("no such metadata file", "check data.splits and --data_root", tsv)
    refuse_pipe(tsv)
    # Only \n ends a line, and bytes that are not UTF-8 are kept, so that faults have the right line number
    with tsv.open(encoding="utf-8-sig", errors="surrogateescape", newline="\n") as lines:
        header = _header(next(lines, ""), tsv, columns, table) if table.header else list(columns)
        for number, line in enumerate(lines, start=1 + table.header):
            if not line.isascii() and any("\udc80" <= character <= "\udcff" for character in line):
                raise fail(f"is not UTF-8: {show(line.strip())}", "save it as UTF-8", tsv, number)
            fields = _fields(line, table, len(header))
            if number == 1 and fields == header:
                raise fail("data.table.header is false, but here is a header", "set it to true", tsv, 1)
            if fields is not None and not any(fields):
                continue
            try:
                rows.add(kind, number, _ordered(fields, header, columns, table))
            except RecipeError as error:
                faulty.add(_named(fields, header) if fields else line)
                faults += [replace(fault, path=tsv, line=number) for fault in error.faults]
    events = {name: tuple(found) for name, found in rows.events.items() if name not in faulty}
    labels = rows.labels or {name: frozenset(event.label for event in found) for name, found in events.items()}
    labels = {name: found for name, found in labels.items() if name not in faulty}
    return Metadata(events, labels, frozenset(faulty), tuple(faults))


class _Rows:
    """The rows read so far. Methods raise RecipeError, without file and line, for a faulty row."""

    def __init__(self, classes: Sequence[str] | None) -> None:
        self.classes = None if classes is None else frozenset(classes)
        self.normalized = {normalized(label): label for label in classes or ()}
        self.events: dict[str, list[Event]] = {}
        self.labels: dict[str, frozenset[str] | None] = {}  # of weak and unlabeled clips
        self.seen: dict[tuple[str, ...], int] = {}  # row -> line
        self.empty: dict[str, int] = {}  # event-free clip -> line

    def add(self, kind: str, line: int, fields: tuple[str, ...]) -> None:
        """Add a row with its fields in the order of COLUMNS."""
        name, *values = fields
        hidden = "expected a name that does not begin with a dot" if name.startswith(".") else None
        if reason := bad_name(name) or hidden:
            raise fail(f"file name {show(name)}: {reason}", "correct the name")
        key = fields if kind == "strong" else (name,)
        if (first := self.seen.setdefault(key, line)) != line:
            raise fail(f"{show(' '.join(key))} stands already in line {first}", "keep one of them")
        if kind == "strong":
            self._add_event(line, name, *values)
        elif kind == "weak":
            labels = [label.strip() for label in values[0].split(",")] if values[0] else []
            self.labels[name] = frozenset(map(self._known, labels))
        else:
            self.labels[name] = None

    def _add_event(self, line: int, name: str, onset: str, offset: str, label: str) -> None:
        events = self.events.setdefault(name, [])
        if not (onset or offset or label):
            if events:
                raise fail(f"{show(name)} has events above, and here an empty row", "keep one of them")
            self.empty[name] = line
            return
        if name in self.empty:
            what = f"{show(name)} is event-free by line {self.empty[name]}, and has an event here"
            raise fail(what, "keep one of them")
        values = zip(COLUMNS["strong"][1:], (onset, offset, label), strict=True)
        if gaps := [column for column, text in values if not text]:
            raise fail(f"{' and '.join(gaps)} empty", "fill all of onset, offset, event_label, or none")
        event = Event(_seconds("onset", onset), _seconds("offset", offset), self._known(label))
        if event.onset >= event.offset:
            raise fail(f"onset {onset} is not before offset {offset}", "correct the times")
        events.append(event)

    def _known(self, label: str) -> str:
        """Return `label`. Raises RecipeError unless it is one of the classes."""
        if not label:
            raise fail("an empty label between commas", "take one comma out")
        if self.classes is not None and label not in self.classes:
            hint = "correct it, or add it to data.classes"
            if alike := self.normalized.get(normalized(label)):
                hint = f"{show(alike)} is, which differs in case or spaces alone"
            raise fail(f"label {show(label)} is not in the class list", hint)
        return label


def _seconds(column: str, text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not math.isfinite(value) or value < 0 or "_" in text:
        raise fail(f"{column} {show(text)}: expected seconds, a number from 0 on", "correct the time")
    return value


def _ordered(fields: list[str] | None, header: list[str], columns: Sequence[str], table: TableConf) -> tuple[str, ...]:
    """The fields in the order of `columns`. Raises RecipeError for a row with another number of fields."""
    if fields is None:
        raise fail("quotes that do not close", "double a quote that is part of a field")
    if len(fields) == len(header):
        return tuple(fields[header.index(column)] for column in columns)
    hint = "correct the row"
    if len(fields) == 1:
        hint = "correct the row, or data.table.separator"
    elif len(fields) > len(header) and table.separator == "comma" and "event_labels" in columns:
        hint = 'labels that hold commas stand in quotes: "Beep,Hiss"'
    as_in = "as in the header" if table.header else " ".join(columns)
    raise fail(f"expected {len(header)} fields, {as_in}; got {len(fields)}", hint)


def _named(fields: list[str], header: list[str]) -> str:
    """The clip that a row names. In a row with another number of fields, the columns may have moved."""
    place = header.index("filename")
    if len(fields) == len(header):
        return fields[place]
    return next(filter(is_audio_name, fields), fields[min(place, len(fields) - 1)])


def _header(line: str, tsv: Path, columns: Sequence[str], table: TableConf) -> list[str]:
    """The names of all columns. Raises RecipeError unless each of `columns` occurs once."""
    header = _fields(line, table, 1) or [line]
    if all(header.count(column) == 1 for column in columns):
        return header
    what = f"expected the columns {' '.join(columns)}, separated by {table.separator}s; got {show(' '.join(header))}"
    hint = "correct the header, or say in data.table how the file is written"
    if "\0" in line or not line.isascii():
        hint = "save it as UTF-8"
    for name, separator in SEPARATORS.items():
        if name != table.separator and set(columns) <= {field.strip(' "') for field in line.strip().split(separator)}:
            hint = f"set data.table.separator to {name}"
    raise fail(what, hint, tsv, 1)


def _fields(line: str, table: TableConf, least: int) -> list[str] | None:
    """The fields of a line, stripped of spaces except for the first one; None if quotes do not close.

    Empty fields at the end beyond the first `least`, as spreadsheets write them, are left out.
    """
    line = line.rstrip("\n").removesuffix("\r")
    separator = SEPARATORS[table.separator]
    if '"' not in line:  # csv.reader limits the length of a field
        first, *others = line.split(separator)
    else:
        try:
            first, *others = next(csv.reader([line], delimiter=separator, strict=True))
        except csv.Error:
            return None
    fields = [first, *(field.strip(" ") for field in others)]
    while len(fields) > least and not fields[-1]:
        fields.pop()
    return fields
