"""Check the event files of a submission package: columns, times, labels, and whether operating points are nested."""

from __future__ import annotations

import bisect
import itertools
import math
import re
from array import array
from collections.abc import Sequence
from dataclasses import dataclass, field

from recipe_mtlvae.errors import Fault, RecipeError, fail
from recipe_mtlvae.submission.check_results import CountedFaults, Results
from recipe_mtlvae.submission.package_files import Package
from recipe_mtlvae.submission.profile import Profile

MAX_ROWS = 1_000_000  # of one file, enough for 77 on each of 13,000 clips
TOLERANCE = 2e-3  # s; files are written with three decimals or more


@dataclass(frozen=True)
class EventFile:
    """The valid rows of one file by (filename, label), flattened: line, onset (s), offset (s), line ..."""

    name: str
    events: dict[tuple[str, str], array[float]] = field(default_factory=dict)


def read_event_file(
    package: Package, name: str, profile: Profile, classes: Sequence[str], results: Results
) -> EventFile:
    """Read and check one TSV of events."""
    file, faults = EventFile(name), CountedFaults(name)
    columns, filename = profile.package.columns, re.compile(profile.rules.filename)
    header: list[str] = []
    try:
        for line, text in enumerate(package.lines(name), start=1):
            cells = text.split("\t")
            if line == 1:
                header = cells
                strange = set(header) - {*columns, *profile.package.spare_columns}
                if strange or not set(columns) <= set(header) or len(set(header)) < len(header):
                    what = f"expected the tab-separated columns {', '.join(columns)}, got {', '.join(header)[:200]}"
                    raise fail(what, path=name, line=1)
            elif line > MAX_ROWS:
                raise fail(f"over {MAX_ROWS} rows: the rest is not read", path=name)
            elif len(cells) != len(header):
                what = f"expected {len(header)} tab-separated values, got {len(cells)}"
                faults.add("columns", Fault(what, "", name, line))
            else:
                _check_row(file, faults, line, dict(zip(header, cells, strict=True)), classes, filename)
        if not header:
            raise fail(f"is empty: expected the columns {', '.join(columns)}", path=name)
    except RecipeError as error:
        results.faults += error.faults
    results.faults += faults.all()
    return file


def check_nested(higher: EventFile, lower: EventFile) -> list[Fault]:
    """Check that each event of `higher` lies within one of `lower`, as at two thresholds of the same scores."""
    faults = CountedFaults(higher.name)
    where = lower.name.rpartition("/")[2]
    what = f"the event is in none of {where}: the two are not thresholds of the same scores"
    for key, events in higher.events.items():
        below = lower.events.get(key, array("d"))
        spans = sorted(zip(below[1::3], below[2::3], strict=True))
        onsets = [onset for onset, _ in spans]
        reached = list(itertools.accumulate((offset for _, offset in spans), max, initial=-math.inf))
        for line, onset, offset in zip(events[::3], events[1::3], events[2::3], strict=True):
            # the latest offset of the events that begin no later than this one
            if offset > reached[bisect.bisect_right(onsets, onset + TOLERANCE)] + TOLERANCE:
                faults.add("not nested", Fault(what, "", higher.name, int(line)))
    return faults.all()


def _check_row(
    file: EventFile,
    faults: CountedFaults,
    line: int,
    row: dict[str, str],
    classes: Sequence[str],
    filename: re.Pattern[str],
) -> None:
    clip, label = row["filename"], row["event_label"]

    def add(kind: str, what: str) -> None:
        faults.add(kind, Fault(what, "", file.name, line))

    known = label in classes
    if not known:
        add(f"label '{label[:80]}'", f"label '{label[:80]}' is none of {', '.join(classes)[:1000]}")
    if not filename.fullmatch(clip):
        add("filename", f"filename '{clip[:80]}': expected a plain audio file name with its extension")
    onset, offset = _seconds(row["onset"]), _seconds(row["offset"])
    for column, value in (("onset", onset), ("offset", offset)):
        text = row[column]
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
