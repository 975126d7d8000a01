"""data_report.html and data_report.json: the result of a data check as a self-contained page, and as figures."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
from markupsafe import Markup

from recipe_mtlvae.corpus import problems
from recipe_mtlvae.corpus.audio_stats import SILENT_PEAK
from recipe_mtlvae.corpus.check import CorpusCheck, SplitCheck
from recipe_mtlvae.errors import SHOWN_FAULTS
from recipe_mtlvae.report import data_plots
from recipe_mtlvae.report.charts import Chart, ChartSection
from recipe_mtlvae.report.data_tables import class_table, split_table, write_check
from recipe_mtlvae.report.pages import write_page
from recipe_mtlvae.report.palette import PALETTE, palette
from recipe_mtlvae.report.theme import ROWS

SHOWN_CLIPS = 200  # most missing clips of a split, and most groups of identical clips, that the page lists
GOOD, GAP, BAD = PALETTE[0], PALETTE[3], PALETTE[2]
MOST = 4  # this many simultaneous events and more share one colour


def write_data_report(check: CorpusCheck, folder: Path) -> Path:
    """Write both files to `folder`. Returns the path of the page."""
    errors, warnings, notes = problems.errors(check), problems.warnings(check), problems.notes(check)
    page = folder / "data_report.html"
    write_page(
        page,
        "data_report.html",
        title=check.root.name or str(check.root),
        root=str(check.root),
        clip_seconds=check.conf.data.clip_seconds,
        errors=[str(fault) for fault in errors[:SHOWN_FAULTS]],
        more_errors=max(0, len(errors) - SHOWN_FAULTS),
        warnings=warnings,
        notes=notes,
        splits=split_table(check),
        classes=class_table(check),
        sections=[section for section in (_audio(check), _labels(check)) if section.charts],
        missing=[(split.name, split.files.missing) for split in check.splits if split.files.missing],
        twins=check.twins,
        shown=SHOWN_CLIPS,
    )
    write_check(check, folder / "data_report.json")
    return page


def _audio(check: CorpusCheck) -> ChartSection:
    text = "For the clips that the metadata name: how many are on disk, how long they are, and how loud."
    return ChartSection("Recordings", text, tuple(map(Chart, _audio_charts(check))))


def _audio_charts(check: CorpusCheck) -> Iterator[Markup]:
    expected = [split for split in check.splits if split.files.expected]
    if expected:
        shares = {split.name: _presence(split) for split in expected}
        colours = {"usable": GOOD, "not on disk": GAP, "unreadable or faulty rows": BAD}
        yield data_plots.stacked(shares, colours, "Clips on disk", "% of the clips that the metadata name")
    readable = [split for split in check.splits if split.durations]
    if readable:
        lengths = {split.name: list(split.durations.values()) for split in readable}
        longest = max(check.conf.data.clip_seconds * 1.25, *(np.quantile(row, 0.99) for row in lengths.values()))
        title = "Lengths of the recordings"
        yield data_plots.histograms(
            lengths, np.linspace(0.0, longest, 41), title, "s; longer ones at the right edge", log=True
        )
        peaks = {split.name: 20 * np.log10(np.maximum(split.peaks, SILENT_PEAK)) for split in readable}
        floor = 20 * np.log10(SILENT_PEAK)
        title = "Loudest sample of each recording"
        yield data_plots.histograms(peaks, np.linspace(floor, 2.0, 42), title, "dB of full scale; silence at the left")


def _presence(split: SplitCheck) -> dict[str, float]:
    usable, missing = split.usable, len(split.files.missing)
    counts = {"usable": usable, "not on disk": missing}
    counts["unreadable or faulty rows"] = split.files.expected - usable - missing
    return {part: 100 * count / split.files.expected for part, count in counts.items()}


def _labels(check: CorpusCheck) -> ChartSection:
    text = "Events as used in training: cut at the end of the recording; overlapping events of one class are merged."
    text += f" Only the first {ROWS} classes are shown; the table has all." * (len(check.classes) > ROWS)
    return ChartSection("Labels", text, tuple(map(Chart, _label_charts(check))))


def _label_charts(check: CorpusCheck) -> Iterator[Markup]:
    labelled = [split for split in check.splits if split.labels != "none" and split.usable]
    strong = [split for split in labelled if split.labels == "strong"]
    classes = check.classes[:ROWS]
    if labelled:
        clips = {split.name: {label: split.classes[label].clips for label in classes} for split in labelled}
        yield data_plots.dots(clips, classes, "Clips of each class", "clips; hollow: none")
    if strong:
        seconds = {split.name: {label: split.classes[label].seconds for label in classes} for split in strong}
        yield data_plots.dots(seconds, classes, "Seconds of each class", "s of events; hollow: none")
        lengths = {label: [s for split in strong for s in split.classes[label].lengths] for label in classes}
        title = "Lengths of the events"
        yield data_plots.spans(lengths, palette(classes), title, "s: median, middle half, 5 to 95 %")
        parts = ["none", "one", *map(str, range(2, MOST)), f"{MOST} or more"]
        shares = {split.name: dict(zip(parts, _polyphony(split), strict=True)) for split in strong}
        yield data_plots.stacked(shares, {"none": GAP} | palette(parts[1:]), "Simultaneous events", "% of the time")


def _polyphony(split: SplitCheck) -> list[float]:
    seconds = np.zeros(MOST + 1)
    for count, length in split.polyphony.items():
        seconds[min(count, MOST)] += length
    return (100 * seconds / max(seconds.sum(), 1e-9)).tolist()
