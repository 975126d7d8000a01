"""Metadata tables in DESED's formats: which clips there are, and what is known of each.

Strong: `filename onset offset event_label`, one row an event, empty fields where a clip has none.
Weak: `filename event_labels`, labels separated by commas. Unlabeled: `filename`.
Tabs between the columns and a header, unless the configuration says otherwise (data.table).
"""

from __future__ import annotations

import csv
import math
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TextIO

from recipe_mtlvae.conf_sections import SEPARATORS, TableConf
from recipe_mtlvae.corpus.names import AUDIO_SUFFIXES, bad_name, dangling, folded, is_audio_name, show, stem_faults
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
    """One recording, or a stretch of a long one, and what its split's metadata say of it."""

    name: str  # as in the metadata, with suffix; of a stretch also where it begins, see windows.py
    path: Path
    events: tuple[Event, ...] | None  # as written, in the file's order; () = event-free; None unless strong
    labels: frozenset[str] | None  # None if unlabeled
    start: float | None = None  # s in the file, of a stretch; None: the whole recording


@dataclass(frozen=True)
class Metadata:
    """One TSV, read to its end: what is sound, and all that is not."""

    events: dict[str, tuple[Event, ...]]  # strong only
    labels: dict[str, frozenset[str]]  # every sound clip, in the file's order; empty sets where unlabeled
    faulty: frozenset[str]  # clips with a faulty row: named, but not to be used
    faults: tuple[Fault, ...]

    @property
    def expected(self) -> int:
        """Clips that the file names."""
        return len(self.labels) + len(self.faulty)


@dataclass(frozen=True)
class _Row:
    line: int  # counted from 1
    fields: tuple[str, ...]  # in the order of COLUMNS


def read_events(tsv: Path, classes: Sequence[str] | None) -> dict[str, tuple[Event, ...]]:
    """The events of a strong TSV by clip, exactly as written; a clip with an empty row has ().

    classes: the labels allowed; None: any. Raises RecipeError with all the faults found.
    """
    metadata = read_metadata(tsv, "strong", classes)
    if metadata.faults:
        raise RecipeError(*metadata.faults)
    return metadata.events


def split_clips(metadata: Metadata, audio: Path, kind: str) -> list[Clip]:
    """The sound clips of `metadata` as Clips in the folder `audio`, sorted by name."""
    return [
        Clip(name, audio / name, metadata.events.get(name), None if kind == "none" else metadata.labels[name])
        for name in sorted(metadata.labels)
    ]


def list_audio(folder: Path) -> list[Clip]:
    """The recordings in a folder without metadata, sorted by name: files with an audio suffix that are not hidden.

    Raises RecipeError where the folder is missing or holds none, or a name is unfit.
    """
    if not folder.is_dir():
        raise fail("no such folder of audio", "check data.evaluation", folder)
    entries = [entry for entry in os.scandir(folder) if is_audio_name(entry.name)]
    faults = [Fault("is a link to nothing", "put the file there", folder / entry.name) for entry in dangling(entries)]
    names = sorted(entry.name for entry in entries if entry.is_file())
    if not names and not faults:
        raise fail(f"no audio in this folder: expected files ending in {', '.join(AUDIO_SUFFIXES)}", path=folder)
    unfit = {name: reason for name in names if (reason := bad_name(name))}
    faults += [Fault(f"file name {show(name)}: {reason}", "rename it", folder) for name, reason in unfit.items()]
    if faults := faults + stem_faults(names, folder):
        raise RecipeError(*faults)
    return [Clip(name, folder / name, None, None) for name in names]


def read_metadata(tsv: Path, kind: str, classes: Sequence[str] | None, table: TableConf = DESED_TABLE) -> Metadata:
    """Read a table of `kind` strong, weak or none to its end.

    Raises RecipeError only where nothing can be read: no such file, or the columns are others.
    """
    if kind not in COLUMNS:
        raise fail(f"labels '{kind}': expected {', '.join(COLUMNS)}", "correct data.splits")
    reading = _Reading(tsv, None if classes is None else frozenset(classes))
    add = {"strong": reading.add_strong, "weak": reading.add_weak, "none": reading.add_unlabeled}[kind]
    for row in _rows(tsv, COLUMNS[kind], table, reading.fault):
        add(row)
    return reading.result()


class _Reading:
    """What has been read of one TSV so far."""

    def __init__(self, tsv: Path, classes: frozenset[str] | None) -> None:
        self.tsv, self.classes = tsv, classes
        self.folded = {folded(label): label for label in classes or ()}
        self.faults: list[Fault] = []
        self.faulty: set[str] = set()
        self.events: dict[str, list[Event]] = {}
        self.labels: dict[str, set[str]] = {}
        self.seen: dict[tuple[str, ...], int] = {}  # row -> line
        self.empty: dict[str, int] = {}  # event-free clip -> line

    def add_strong(self, row: _Row) -> None:
        name, onset, offset, label = row.fields
        if not self._sound_name(row) or self._repeated(row, row.fields):
            return
        if not (onset or offset or label):
            if self.events.setdefault(name, []):
                self.fault(row, f"{show(name)} has events above, and here an empty row", "keep one of them")
            self.empty[name] = row.line
            return
        if name in self.empty:
            what = f"{show(name)} is event-free by line {self.empty[name]}, and has an event here"
            self.fault(row, what, "keep one of them")
            return
        if not (onset and offset and label):
            gaps = [column for column, text in zip(COLUMNS["strong"], row.fields, strict=True) if not text]
            self.fault(row, f"{' and '.join(gaps)} empty", "fill all of onset, offset, event_label, or none")
            return
        start, end = self._seconds(row, "onset", onset), self._seconds(row, "offset", offset)
        if start is None or end is None or not self._sound_label(row, label):
            return
        if start >= end:
            self.fault(row, f"onset {onset} is not before offset {offset}", "correct the times")
            return
        self.events.setdefault(name, []).append(Event(start, end, label))

    def add_weak(self, row: _Row) -> None:
        name, text = row.fields
        if not self._sound_name(row) or self._repeated(row, (name,)):
            return
        labels = [label.strip() for label in text.split(",")] if text else []
        if all([self._sound_label(row, label) for label in labels]):
            self.labels[name] = set(labels)

    def add_unlabeled(self, row: _Row) -> None:
        if self._sound_name(row) and not self._repeated(row, row.fields):
            self.labels[row.fields[0]] = set()

    def result(self) -> Metadata:
        events = {name: tuple(found) for name, found in self.events.items() if name not in self.faulty}
        labels = self.labels or {name: {event.label for event in found} for name, found in events.items()}
        labels = {name: frozenset(found) for name, found in labels.items() if name not in self.faulty}
        return Metadata(events, labels, frozenset(self.faulty), tuple(self.faults))

    def _sound_name(self, row: _Row) -> bool:
        reason = bad_name(row.fields[0])
        if reason:
            self.fault(row, f"file name {show(row.fields[0])}: {reason}", "correct the name")
        return not reason

    def _repeated(self, row: _Row, key: tuple[str, ...]) -> bool:
        first = self.seen.setdefault(key, row.line)
        if first != row.line:
            self.fault(row, f"{show(' '.join(key))} stands already in line {first}", "keep one of them")
        return first != row.line

    def _seconds(self, row: _Row, column: str, text: str) -> float | None:
        try:
            value = float(text)
        except ValueError:
            value = math.nan
        if math.isfinite(value) and value >= 0 and "_" not in text:
            return value
        self.fault(row, f"{column} {show(text)}: expected seconds, a number from 0 on", "correct the time")
        return None

    def _sound_label(self, row: _Row, label: str) -> bool:
        if label and (self.classes is None or label in self.classes):
            return True
        if label:
            what, hint = f"label {show(label)} is not in the class list", "correct it, or add it to data.classes"
            if alike := self.folded.get(folded(label)):
                hint = f"{show(alike)} is, which differs in case or spaces alone"
        else:
            what, hint = "an empty label between commas", "take one comma out"
        self.fault(row, what, hint)
        return False

    def fault(self, row: _Row, what: str, hint: str) -> None:
        """Record a fault; the clip of that row is not to be used."""
        self.faulty.add(row.fields[0])
        self.faults.append(Fault(what, hint, self.tsv, row.line))


def _rows(
    tsv: Path, columns: Sequence[str], table: TableConf, fault: Callable[[_Row, str, str], None]
) -> Iterator[_Row]:
    """The fields of `columns`, line by line; rows of another length go to `fault`, empty ones to nobody."""
    with _opened(tsv) as lines:
        first = 1
        header = list(columns)
        if table.header:
            header = _header(next(lines, ""), tsv, columns, table)
            first = 2
        places = [header.index(column) for column in columns]
        for number, line in enumerate(lines, start=first):
            _check_text(line, tsv, number)
            fields = _fields(line, table)
            if fields is None:
                fault(_Row(number, (line,)), "quotes that do not close", "double a quote that is part of a field")
                continue
            if not any(fields):
                continue
            if number == 1 and fields == header:
                raise fail("data.table.header is false, but here is a header", "set it to true", tsv, 1)
            while len(fields) > len(header) and not fields[-1]:  # as spreadsheets write them
                fields.pop()
            if len(fields) != len(header):
                as_in = "as in the header" if table.header else " ".join(columns)
                what = f"expected {len(header)} fields, {as_in}; got {len(fields)}"
                # which clip it is of: the columns may have moved
                named = next(filter(is_audio_name, fields), fields[min(places[0], len(fields) - 1)])
                fault(_Row(number, (named,)), what, _length_hint(fields, header, columns, table))
                continue
            yield _Row(number, tuple(fields[place] for place in places))


def _length_hint(fields: list[str], header: list[str], columns: Sequence[str], table: TableConf) -> str:
    if len(fields) == 1 < len(header):
        return "correct the row, or data.table.separator"
    if len(fields) > len(header) and table.separator == "comma" and "event_labels" in columns:
        return 'labels that hold commas stand in quotes: "Beep,Hiss"'
    return "correct the row"


def _opened(tsv: Path) -> TextIO:
    try:
        refuse_pipe(tsv)
        # only \n ends a line, and bytes that are no UTF-8 are kept, so that faults carry the right line
        return tsv.open(encoding="utf-8-sig", errors="surrogateescape", newline="\n")
    except (FileNotFoundError, IsADirectoryError, NotADirectoryError):
        raise fail("no such metadata file", "check data.splits and --data_root", tsv) from None


def _check_text(line: str, tsv: Path, number: int) -> None:
    if not line.isascii() and any("\udc80" <= character <= "\udcff" for character in line):
        raise fail(f"is not UTF-8: {show(line.strip())}", "save it as UTF-8", tsv, number)


def _header(line: str, tsv: Path, columns: Sequence[str], table: TableConf) -> list[str]:
    """The names of all columns, those of `columns` once each."""
    header = _fields(line, table) or [line]
    while len(header) > 1 and not header[-1]:
        header.pop()
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


def _fields(line: str, table: TableConf) -> list[str] | None:
    """A line's fields; spaces around them are no part of them, in file names they are. None: quotes do not close."""
    line = line.rstrip("\n").removesuffix("\r")
    separator = SEPARATORS[table.separator]
    if '"' not in line:  # and the reader bounds the length of a field
        first, *others = line.split(separator)
    else:
        try:
            first, *others = next(csv.reader([line], delimiter=separator, strict=True))
        except csv.Error:
            return None
    return [first, *(field.strip(" ") for field in others)]


def leads_out(clip: Clip, homes: Iterable[Path], allowed: Iterable[str] = ()) -> bool:
    """Whether a clip is a symbolic link out of the corpus.

    homes: the folders of audio that the corpus has, where links may end. allowed: folders that links may name, wherever
    those lead to in turn.
    """
    if not clip.path.is_symlink():
        return False
    end = Path(os.path.realpath(clip.path))  # Path.resolve raises on a link to itself
    if any(end.is_relative_to(os.path.realpath(home)) for home in homes):
        return False
    named = Path(os.path.normpath(clip.path.parent / os.readlink(clip.path)))  # trees may hold links of their own
    return not any(named.is_relative_to(os.path.abspath(folder)) for folder in allowed)
