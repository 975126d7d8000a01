"""summary.html of an archive: how much there is, what was found over time, and what is wrong."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from recipe_mtlvae.inference.archive.parts import BINS, Totals
from recipe_mtlvae.report.pages import write_page
from recipe_mtlvae.report.palette import palette

REASONS = 20  # of faults; a page's worth


@dataclass(frozen=True)
class ClassCurve:
    """One class: its events in all, and as a curve over the archive's audio."""

    label: str
    colour: str
    events: int
    seconds: float
    most: int  # events in the fullest bin
    curve: list[float]  # height of each bin, 0 to 1


def write_archive_page(file: Path, totals: Totals) -> None:
    """Write the page, of the same size for any number of recordings."""
    width = totals.timeline.width
    bins = min(max(int(totals.seconds // width) + 1, 1), BINS)  # those that the audio reaches
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
    """The class with most events first."""
    colours = palette(sorted(totals.events))
    rows = []
    for label, events in sorted(totals.events.items(), key=lambda item: (-item[1], item[0])):
        counts = totals.timeline.counts[label][:bins]
        most = max(counts)
        curve = [count / most for count in counts]
        rows.append(ClassCurve(label, colours[label], events, totals.active[label], most, curve))
    return rows
