"""Event files of a submission package: columns, times, labels, and operating points that lie within each other."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass, field

from recipe_mtlvae.errors import Fault, RecipeError
from recipe_mtlvae.submission.package_files import Package

SHOWN_ROWS = 20  # of one kind of fault in one file
TOLERANCE = 2e-3  # s; files are written with three decimals or more


@dataclass(frozen=True)
class EventRules:
    classes: tuple[str, ...]
    columns: tuple[str, ...]  # filename, onset, offset and event_label, in any order in the file
    spare_columns: tuple[str, ...]
    filename: str  # regular expression


@dataclass
class EventFile:
    """The sound rows of one file: (line, onset s, offset s) by (filename, label)."""

    name: str
    events: dict[tuple[str, str], list[tuple[int, float, float]]] = field(default_factory=dict)
    faults: list[Fault] = field(default_factory=list)


class _Faults:
    """Faults of one file's rows, a line each; of one kind the first rows, then a count."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.shown: list[Fault] = []
        self.counts: dict[str, int] = {}

    def add(self, line: int, kind: str, what: str) -> None:
        self.counts[kind] = self.counts.get(kind, 0) + 1
        if self.counts[kind] <= SHOWN_ROWS:
            self.shown.append(Fault(what, "", self.name, line))

    def all(self) -> list[Fault]:
        more = {kind: count - SHOWN_ROWS for kind, count in self.counts.items() if count > SHOWN_ROWS}
        return self.shown + [Fault(f"{kind}: and {count} more rows", "", self.name) for kind, count in more.items()]


def read_event_file(package: Package, name: str, rules: EventRules) -> EventFile:
    """Read and check one TSV of events."""
    file, faults = EventFile(name), _Faults(name)
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
            elif len(cells) != width:
                faults.add(line, "columns", f"expected {width} tab-separated values, got {len(cells)}")
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
    faults = _Faults(higher.name)
    for key, events in higher.events.items():
        below = lower.events.get(key, ())
        for line, onset, offset in events:
            if not any(low <= onset + TOLERANCE and offset <= high + TOLERANCE for _, low, high in below):
                where = lower.name.rpartition("/")[2]
                faults.add(
                    line,
                    "not nested",
                    f"the event is in none of {where}: the two are not thresholds of the same scores",
                )
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
    faults: _Faults,
    line: int,
    row: tuple[str, str, str, str],
    classes: tuple[str, ...],
    filename: re.Pattern[str],
) -> None:
    clip, onset_text, offset_text, label = row
    known = label in classes
    if not known:
        faults.add(line, f"label '{label[:80]}'", f"label '{label[:80]}' is none of {', '.join(classes)}")
    if not filename.fullmatch(clip):
        faults.add(line, "filename", f"filename '{clip[:80]}': expected a plain audio file name with its extension")
    onset, offset = _seconds(onset_text), _seconds(offset_text)
    for column, text, value in (("onset", onset_text, onset), ("offset", offset_text, offset)):
        if value is None:
            faults.add(line, column, f"{column} '{text[:40]}': expected seconds")
        elif value < 0:
            faults.add(line, f"negative {column}", f"{column} {text[:40]} is negative")
    if onset is None or offset is None:
        return
    if onset >= offset:
        faults.add(line, "onset not before offset", f"onset {onset:g} is not before offset {offset:g}")
    elif known:
        file.events.setdefault((clip, label), []).append((line, onset, offset))


def _seconds(text: str) -> float | None:
    try:
        value = float(text)
    except ValueError:
        return None
    return value if math.isfinite(value) and "_" not in text else None
