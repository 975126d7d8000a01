"""The tables of a data check: one row per split, and one row per class."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from recipe_mtlvae.corpus import problems
from recipe_mtlvae.corpus.check import CorpusCheck, SplitCheck
from recipe_mtlvae.files import write_json
from recipe_mtlvae.text_table import text_table

NONE = "-"
LISTED = 1000  # most clips of one kind that data_report.json lists by name


@dataclass(frozen=True)
class Table:
    """Text cells, in rows as long as the header. The first column holds names, the others hold figures."""

    header: tuple[str, ...]
    rows: list[tuple[str, ...]]

    def as_text(self) -> str:
        return text_table([self.header, *self.rows])


def split_table(check: CorpusCheck) -> Table:
    """Return one row per split: its clips, hours and events, and the number of clips that are missing or odd."""
    header = ("split", "expected", "usable", "coverage", "missing", "unreadable", "faulty rows", "silent", "clipped")
    header += ("short", "long", "hours", "events", "kHz")
    return Table(header, [_split_row(split) for split in check.splits])


def _split_row(split: SplitCheck) -> tuple[str, ...]:
    counts = [len(split.files.missing), len(split.unreadable), split.faulty_rows]
    counts += [len(split.flagged.get(kind, ())) for kind in ("silent", "clipped", "short", "long")]
    return (
        split.name,
        f"{split.files.expected:,}",
        f"{split.usable:,}",
        f"{100 * split.coverage:.1f} %",
        *(f"{count:,}" if count else NONE for count in counts),
        f"{sum(split.durations.values()) / 3600:.2f}",
        f"{split.events:,}" if split.labels == "strong" else NONE,
        _rates_text(split),
    )


def _rates_text(split: SplitCheck) -> str:
    """Format the sample rates in kHz, the most common first: `44.1`, or `44.1 (98 %), 16 (2 %)`."""
    rates = sorted(split.rates, key=lambda rate: -len(split.rates[rate]))
    if len(rates) < 2:
        return "".join(f"{rate / 1000:g}" for rate in rates) or NONE
    shown = [f"{rate / 1000:g} ({_share_text(len(split.rates[rate]), split.usable)})" for rate in rates[:3]]
    return ", ".join(shown + ["..."] * (len(rates) > 3))


def _share_text(count: float, whole: float) -> str:
    """Format a percentage: only exactly none is `0 %`, only exactly all is `100 %`."""
    percent = 100 * count / whole
    if 0 < percent < 1:
        return "<1 %"
    return ">99 %" if 99 < percent < 100 else f"{percent:.0f} %"


def class_table(check: CorpusCheck) -> Table | None:
    """Return one row per class: events and seconds in strong splits, clips in weak splits.

    None if no split has labels.
    """
    labelled = [split for split in check.splits if split.labels != "none"]
    if not labelled:
        return None
    rows = [(label, *(_class_cell(split, label) for split in labelled)) for label in check.classes]
    busiest = [f"{max(split.polyphony, default=0)}" if split.labels == "strong" else NONE for split in labelled]
    return Table(
        ("class", *(split.name for split in labelled)),
        [
            *rows,
            ("event-free clips", *(f"{split.event_free:,}" for split in labelled)),
            ("most simultaneous", *busiest),
        ],
    )


def _class_cell(split: SplitCheck, label: str) -> str:
    found = split.classes[label]
    if split.labels == "weak":
        return f"{found.clips:,} clips" if found.clips else NONE
    return f"{found.events:,}, {found.seconds:,.0f} s" if found.events else NONE


def check_text(check: CorpusCheck) -> str:
    """Return the tables as text for the terminal."""
    tables = [split_table(check), class_table(check)]
    return "\n\n".join(table.as_text() for table in tables if table)


def write_check(check: CorpusCheck, file: Path) -> None:
    """Write data_report.json: everything that the page shows, as figures."""
    write_json(
        file,
        {
            "root": str(check.root),
            "clip_seconds": check.conf.data.clip_seconds,
            "classes": list(check.classes),
            "errors": [str(fault) for fault in problems.errors(check)],
            "warnings": problems.warnings(check),
            "notes": problems.notes(check),
            "splits": {split.name: _split_content(split) for split in check.splits},
            "same_audio": [[f"{split}/{name}" for split, name in same] for same in check.twins[:LISTED]],
        },
    )


def _split_content(split: SplitCheck) -> dict[str, Any]:
    lists = {"missing": split.files.missing, "not_in_metadata": split.files.unnamed, **split.flagged}
    return {
        "labels": split.labels,
        "expected": split.files.expected,
        "usable": split.usable,
        "coverage": split.coverage,
        "unreadable": len(split.unreadable),
        "faulty_rows": split.faulty_rows,
        "seconds": sum(split.durations.values()),
        "rates": {str(rate): len(names) for rate, names in sorted(split.rates.items())},
        "clips": {kind: {"count": len(names), "names": names[:LISTED]} for kind, names in lists.items()},
        "event_free": split.event_free,
        "merged_events": split.merged,
        "events_past_the_end": split.events_past_end,
        "polyphony_seconds": {str(count): seconds for count, seconds in sorted(split.polyphony.items())},
        "classes": {
            label: {"clips": found.clips, "events": found.events, "seconds": found.seconds}
            for label, found in split.classes.items()
        },
    }
