"""Pictures of the detections in a recording: the spectrogram above the scores and events of each class."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, MultipleLocator

from recipe_mtlvae.audio.streaming import open_stream
from recipe_mtlvae.files import atomic_write
from recipe_mtlvae.inference.detector import Detection, Detector
from recipe_mtlvae.inference.windows import value_pieces
from recipe_mtlvae.inputs.log_mel import LogMelInput
from recipe_mtlvae.inputs.mel_scale import band_centres
from recipe_mtlvae.report.palette import palette
from recipe_mtlvae.report.theme import STYLE, draw_spectrogram, save, wrapped

PAGE = 300.0  # s, about the most that one picture shows: events of half a second are still visible
COLUMNS = 1600  # most columns of a spectrogram, about what a printer resolves
ROWS = 12  # most classes in a picture: those with events, then those that exceed half of their threshold
WIDTH, DPI = 7.0, 200  # inches, the text width of a paper; dots per inch
ON_PAPER = {"axes.edgecolor": "#59636e", "xtick.color": "#59636e", "ytick.color": "#59636e", "grid.color": "#dfe3e8"}


def write_pictures(folder: Path, name: str, detection: Detection, detector: Detector) -> list[Path]:
    """Write <name>.png, or <name>_page01.png and so on for a recording longer than PAGE. Returns the paths.

    Pictures of an earlier run that are no longer needed, because the recording had another length, are deleted.
    """
    pages = max(math.ceil(detection.duration / PAGE - 0.1), 1)  # up to half a minute more gets no picture of its own
    seconds = detection.duration / pages
    files = []
    for page in range(pages):
        begin, end = page * seconds, (page + 1) * seconds
        figure = _figure(detection, detector, begin, end)
        number = f"_page{page + 1:0{max(len(str(pages)), 2)}d}" if pages > 1 else ""
        files.append(folder / f"{name}{number}.png")
        with atomic_write(files[-1]) as temporary:
            save(figure, temporary, format="png", dpi=DPI)
    of_this_name = re.compile(re.escape(name) + r"(_page\d{2,})?\.png")
    for file in folder.iterdir():
        if file not in files and of_this_name.fullmatch(file.name):
            file.unlink()
    return files


def spectrogram(path: Path, log_mel: LogMelInput, begin: float, end: float) -> tuple[np.ndarray, float]:
    """Return the log-mel spectrogram (mels, columns) in dB from `begin` to `end` (s), and the seconds per column.

    There are at most COLUMNS columns. Each shows the maximum over its frames.
    """
    conf = log_mel.conf.features
    with open_stream(path, conf.sample_rate, first=begin, seconds=end - begin) as stream:
        blocks = list(stream.blocks)
    short = log_mel.least_samples - sum(map(len, blocks))
    if short > 0:
        blocks.append(np.zeros(short, np.float32))
    frames = np.concatenate(list(value_pieces(blocks, log_mel, log_mel.transform())), axis=1)
    pooled = math.ceil(frames.shape[1] / COLUMNS)
    columns = np.maximum.reduceat(frames, np.arange(0, frames.shape[1], pooled), axis=1)
    return columns, pooled * conf.hop_length / conf.sample_rate


def _figure(detection: Detection, detector: Detector, begin: float, end: float) -> Figure:
    rows = _rows(detection, detector, begin, end)
    with matplotlib.rc_context({**STYLE, **ON_PAPER}):
        heights = [1.6, 0.36 * max(len(rows), 1)]
        figure = Figure(figsize=(WIDTH, sum(heights) + 0.75), layout="constrained", facecolor="white")
        grid = figure.add_gridspec(2, 1, height_ratios=heights)
        below = figure.add_subplot(grid[1, 0])
        above = figure.add_subplot(grid[0, 0], sharex=below)
        columns, seconds = spectrogram(detection.path, LogMelInput(detector.conf), begin, end)
        draw_spectrogram(figure, above, columns, band_centres(detector.conf.features), seconds, begin)
        above.set_title(_title(detection, begin, end), fontsize=9.5)
        _draw_classes(below, detection, detector, rows, begin, end)
        below.set_xlim(begin, end)
        return figure


def _rows(detection: Detection, detector: Detector, begin: float, end: float) -> list[str]:
    """Return the classes to show, in the order of `detector.reported`."""
    steps = slice(int(begin / detection.step_seconds), math.ceil(end / detection.step_seconds))
    highest = dict(zip(detection.classes, detection.scores[steps].max(axis=0), strict=True))
    present = {event.label for event in detection.events if event.onset < end and event.offset > begin}
    order = sorted(detector.reported, key=lambda label: (label not in present, -highest[label]))
    half = dict(zip(detection.classes, (threshold / 2 for threshold in detector.decoding.thresholds), strict=True))
    chosen = {label for label in order[:ROWS] if label in present or highest[label] > half[label]}
    return [label for label in detector.reported if label in chosen]


def _draw_classes(
    axes: Axes, detection: Detection, detector: Detector, rows: Sequence[str], begin: float, end: float
) -> None:
    """Draw one row per class: its scores as a curve, its threshold as a dashed line, and its events as bars below."""
    colours = palette(detection.classes)
    first, last = int(begin / detection.step_seconds), math.ceil(end / detection.step_seconds) + 1
    scores = detection.scores[first:last]
    times = np.arange(first, first + len(scores) + 1) * detection.step_seconds
    for row, label in enumerate(rows):
        column, base = detection.classes.index(label), row + 0.28  # a score of 1 is 0.7 rows high
        curve = base - 0.7 * scores[:, column]
        axes.stairs(curve, times, baseline=base, fill=True, color=colours[label], alpha=0.3, linewidth=0)
        axes.stairs(curve, times, baseline=None, color=colours[label], linewidth=0.8)
        level = base - 0.7 * detector.decoding.thresholds[column]
        axes.plot((begin, end), (level, level), color="#59636e", linewidth=0.6, linestyle=(0, (2, 2)))
        for event in detection.events:
            if event.label == label and event.onset < end and event.offset > begin:
                span = [(event.onset, event.offset - event.onset)]
                axes.broken_barh(span, (row + 0.31, 0.14), facecolor=colours[label], edgecolor=colours[label], lw=0.6)
    axes.set_ylim(max(len(rows), 1) - 0.5, -0.5)
    axes.set_yticks(range(len(rows)), [wrapped(label, 18) for label in rows])
    axes.set_yticks(np.arange(0.5, len(rows) - 1), minor=True)
    axes.tick_params(axis="y", which="both", length=0)
    axes.grid(axis="y", which="minor", linewidth=0.6)
    if not rows:
        axes.text(0.5, 0.5, "no event", transform=axes.transAxes, ha="center", va="center")
    if detection.duration >= 120:
        spacing = next((spacing for spacing in (10, 20, 30) if (end - begin) / spacing <= 9), 60)
        axes.xaxis.set_major_locator(MultipleLocator(spacing))
        axes.xaxis.set_major_formatter(FuncFormatter(lambda second, _: str(timedelta(seconds=round(second)))))
        axes.set_xlabel("time (h:min:s)")
    else:
        axes.set_xlabel("time (s)")


def _title(detection: Detection, begin: float, end: float) -> str:
    name = detection.path.name if len(detection.path.name) <= 60 else detection.path.name[:59] + "…"
    if begin == 0 and end >= detection.duration:
        return name
    return f"{name}, {timedelta(seconds=round(begin))} to {timedelta(seconds=round(end))}"
