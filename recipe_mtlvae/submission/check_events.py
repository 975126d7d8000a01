"""Event files of a submission package: columns, times, labels, and operating points that lie within each other."""

from __future__ import annotations

import math
import re
from array import array
from dataclasses import dataclass, field

from recipe_mtlvae.errors import Fault, RecipeError, fail
from recipe_mtlvae.submission.counted import CountedFaults
from recipe_mtlvae.submission.package_files import Package

MAX_ROWS = 1_000_000  # of one file: 77 on each of 13,000 clips
TOLERANCE = 2e-3  # s; files are written with three decimals or more


@dataclass(frozen=True)
class EventRules:
    classes: tuple[str, ...]
    columns: tuple[str, ...]  # filename, onset, offset and event_label, in any order in the file
    spare_columns: tuple[str, ...]
    filename: str  # regular expression


@dataclass
class EventFile:
    """The sound rows of one file: line, onset s, offset s, line ... by (filename, label)."""

    name: str
    events: dict[tuple[str, str], array[float]] = field(default_factory=dict)
    faults: list[Fault] = field(default_factory=list)


def read_event_file(package: Package, name: str, rules: EventRules) -> EventFile:
    """Read and check one TSV of events."""
    file, faults = EventFile(name), CountedFaults(name)
    filename = re.compile(rules.filename)
    order: list[int] | None = None
    width = 0
    try:
        for line, text in enumerate(package.lines(name), start=1):
            cells = text.split("\t")
            if line == 1:
                order, width = _column_order(cells, rules, file), len(cells)
                if order is None:
                    return file
            elif line > MAX_ROWS:
                raise fail(f"over {MAX_ROWS} rows: the rest is not read", path=name)
            elif len(cells) != width:
                what = f"expected {width} tab-separated values, got {len(cells)}"
                faults.add("columns", Fault(what, "", name, line))
            else:
                clip, onset, offset, label = (cells[i] for i in order)
                _check_row(file, faults, line, (clip, onset, offset, label), rules.classes, filename)
    except RecipeError as error:
        file.faults += error.faults
    if order is None and not file.faults:
        file.faults.append(Fault(f"is empty: expected the columns {', '.join(rules.columns)}", "", name))
    file.faults += faults.all()
    return file


def check_nested(higher: EventFile, lower: EventFile) -> list[Fault]:
    """Each event of the higher threshold must lie within one of the next lower: scores passed both."""
    faults = CountedFaults(higher.name)
    where = lower.name.rpartition("/")[2]
    what = f"the event is in none of {where}: the two are not thresholds of the same scores"
    for key, events in higher.events.items():
        below = lower.events.get(key, array("d"))
        spans = list(zip(below[1::3], below[2::3], strict=True))
        for line, onset, offset in zip(events[::3], events[1::3], events[2::3], strict=True):
            if not any(low <= onset + TOLERANCE and offset <= high + TOLERANCE for low, high in spans):
                faults.add("not nested", Fault(what, "", higher.name, int(line)))
    return faults.all()


def _column_order(header: list[str], rules: EventRules, file: EventFile) -> list[int] | None:
    expected = set(rules.columns)
    if (
        not expected <= set(header)
        or set(header) - expected - set(rules.spare_columns)
        or len(set(header)) < len(header)
    ):
        what = f"expected the tab-separated columns {', '.join(rules.columns)}, got {', '.join(header)[:200]}"
        file.faults.append(Fault(what, "", file.name, 1))
        return None
    return [header.index(column) for column in ("filename", "onset", "offset", "event_label")]


def _check_row(
    file: EventFile,
    faults: CountedFaults,
    line: int,
    row: tuple[str, str, str, str],
    classes: tuple[str, ...],
    filename: re.Pattern[str],
) -> None:
    clip, onset_text, offset_text, label = row

    def add(kind: str, what: str) -> None:
        faults.add(kind, Fault(what, "", file.name, line))

    known = label in classes
    if not known:
        add(f"label '{label[:80]}'", f"label '{label[:80]}' is none of {', '.join(classes)[:1000]}")
    if not filename.fullmatch(clip):
        add("filename", f"filename '{clip[:80]}': expected a plain audio file name with its extension")
    onset, offset = _seconds(onset_text), _seconds(offset_text)
    for column, text, value in (("onset", onset_text, onset), ("offset", offset_text, offset)):
        if value is None:
            add(column, f"{column} '{text[:40]}': expected seconds")
        elif value < 0:
            add(f"negative {column}", f"{column} {text[:40]} is negative")
    if onset is None or offset is None:
        return
    if onset >= offset:
        add("onset not before offset", f"onset {onset:g} is not before offset {offset:g}")
    elif known:
        file.events.setdefault((clip, label), array("d")).extend((line, onset, offset))


def _seconds(text: str) -> float | None:
    try:
        value = float(text)
    except ValueError:
        return None
    return value if math.isfinite(value) and "_" not in text else None
