"""The charts of the data report: splits and classes side by side, drawn by matplotlib."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping, Sequence

import numpy as np
from markupsafe import Markup
from matplotlib import ticker
from matplotlib.axes import Axes

from recipe_mtlvae.report.theme import (
    INK,
    MARKERS,
    SYSTEM_COLOURS,
    chart,
    legend,
    log_axis,
    svg,
    system_look,
    wrapped,
)

ROW = 0.27  # inches, height of one row


def stacked(shares: Mapping[str, Mapping[str, float]], colours: Mapping[str, str], title: str, axis: str) -> Markup:
    """A stacked bar for each row: the percentages of its parts.

    shares: by row, then part. colours: by part, in the order of drawing.
    """
    with _rows(list(shares), title, axis, 0.45) as axes:
        left = np.zeros(len(shares))
        for part, colour in colours.items():
            widths = np.array([row.get(part, 0.0) for row in shares.values()])
            axes.barh(range(len(shares)), widths, 0.68, left=left, color=colour, label=part)
            left += widths
        axes.set_xlim(0.0, 100.0)
        legend(axes, min(len(colours), 4), 1.0, columnspacing=1.0)
        return svg(axes.figure, title)


def dots(values: Mapping[str, Mapping[str, float]], rows: Sequence[str], title: str, axis: str) -> Markup:
    """One mark for each row and series, on a log scale; zeros are hollow marks at the left edge.

    values: by series, then row.
    """
    above = [value for series in values.values() for value in series.values() if value > 0]
    with _rows(rows, title, axis, 0.45) as axes:
        low, high = (min(above), max(above)) if above else (1.0, 10.0)
        edge = low / (high / low * 10) ** 0.1
        for i, (name, series) in enumerate(values.items()):
            colour, marker = SYSTEM_COLOURS[i % len(SYSTEM_COLOURS)], MARKERS[i % len(MARKERS)]
            places = np.arange(len(rows)) + (i - (len(values) - 1) / 2) * 0.6 / max(len(values), 1)
            found = np.array([series.get(row, 0.0) for row in rows])
            axes.plot(np.where(found > 0, found, np.nan), places, marker, color=colour, markersize=5.5, label=name)
            none = found <= 0
            axes.plot(np.full(none.sum(), edge), places[none], marker, color=colour, markersize=5.5, fillstyle="none")
        axes.set_xscale("log")
        axes.set_xlim(edge / 1.15, high * 1.4)
        subs = (1.0, 2.0, 5.0) if high / low < 300 else (1.0,)
        log_axis(axes.xaxis, subs=subs, text="{x:,g}")
        axes.grid(axis="y", visible=True)
        legend(axes, length=0.8, columnspacing=1.0)
        return svg(axes.figure, title)


def spans(values: Mapping[str, Sequence[float]], colours: Mapping[str, str], title: str, axis: str) -> Markup:
    """For each row the middle half of its values as a bar, 5 to 95 % as a line, the median as a mark; log scale."""
    with _rows(list(values), title, axis) as axes:
        for place, (name, row) in enumerate(values.items()):
            if len(row):
                low, first, median, third, high = np.quantile(row, (0.05, 0.25, 0.5, 0.75, 0.95))
                axes.plot((low, high), (place, place), color=colours[name], linewidth=1.6)
                axes.barh(place, third - first, 0.5, left=first, color=colours[name])
                axes.plot(median, place, "|", color=INK, markersize=11, markeredgewidth=1.8)
        axes.set_xscale("log")
        log_axis(axes.xaxis)
        return svg(axes.figure, title)


def histograms(
    values: Mapping[str, Sequence[float]], bins: np.ndarray, title: str, axis: str, log: bool = False
) -> Markup:
    """One stepped line per series: the percentage of its values in each bin."""
    with chart(title, axis, "% of the clips", 3.0 + 0.2 * ((len(values) + 1) // 2)) as axes:
        for i, (name, series) in enumerate(values.items()):
            counts, _ = np.histogram(np.clip(series, bins[0], bins[-1]), bins)
            axes.stairs(100 * counts / max(len(series), 1), bins, linewidth=1.6, label=name, **system_look(i))
        if log:
            axes.set_yscale("log")
            axes.set_ylim(50.0 / max(len(series) for series in values.values()), 130.0)  # half a clip of the largest
            axes.yaxis.set_major_formatter("{x:g}")
            axes.yaxis.set_minor_locator(ticker.NullLocator())
        else:
            axes.set_ylim(bottom=0.0)
        legend(axes, length=1.6, columnspacing=1.0)
        return svg(axes.figure, title)


@contextlib.contextmanager
def _rows(names: Sequence[str], title: str, axis: str, below: float = 0.0) -> Iterator[Axes]:
    """A chart with one row per name, from top to bottom; `below`: inches for the legend."""
    with chart(title, axis, "", 0.85 + ROW * len(names) + below) as axes:
        axes.set_yticks(range(len(names)), [wrapped(name, 22) for name in names])
        axes.set_ylim(len(names) - 0.5, -0.5)
        axes.grid(axis="y", visible=False)
        axes.tick_params(axis="y", length=0)
        yield axes
