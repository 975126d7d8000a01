"""summary.html of an archive: the amount of audio, the events over time, and the faults."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from recipe_mtlvae.inference.archive.parts import BINS, Totals
from recipe_mtlvae.report.pages import write_page
from recipe_mtlvae.report.palette import palette

REASONS = 20  # most reasons of faults that the page lists


@dataclass(frozen=True)
class ClassCurve:
    """One class: the number of its events, and a curve of them over the audio of the archive."""

    label: str
    colour: str
    events: int
    seconds: float
    most: int  # events in the fullest bin
    curve: list[float]  # height of each bin, 0 to 1


def write_archive_page(file: Path, totals: Totals) -> None:
    """Write the page. Its size does not grow with the number of recordings."""
    width = totals.timeline.width
    bins = min(max(int(totals.seconds // width) + 1, 1), BINS)  # those that contain audio
    write_page(
        file,
        "archive_page.html",
        totals=totals,
        events=sum(totals.events.values()),
        classes=_rows(totals, bins),
        bins=bins,
        minutes=width / 60,
        reasons=totals.reasons.most_common(REASONS),
    )


def _rows(totals: Totals, bins: int) -> list[ClassCurve]:
    """Return one row per class, the class with the most events first."""
    colours = palette(sorted(totals.events))
    rows = []
    for label, events in sorted(totals.events.items(), key=lambda item: (-item[1], item[0])):
        counts = totals.timeline.counts[label][:bins]
        most = max(counts)
        curve = [count / most for count in counts]
        rows.append(ClassCurve(label, colours[label], events, totals.active[label], most, curve))
    return rows
