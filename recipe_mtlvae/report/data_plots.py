"""The data page's charts: splits and classes side by side, drawn by matplotlib."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import matplotlib
import numpy as np
from matplotlib import ticker
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from recipe_mtlvae.report.theme import (
    DASHES,
    INK,
    MARKERS,
    STYLE,
    SYSTEM_COLOURS,
    WIDTH,
    plain_axes,
    svg,
    wrapped,
)

ROW = 0.27  # inches


def stacked(shares: Mapping[str, Mapping[str, float]], colours: Mapping[str, str], title: str, axis: str) -> str:
    """For each row the percentages of its parts, side by side. SVG text.

    shares: by row, then part. colours: of the parts, in their order.
    """
    with matplotlib.rc_context(STYLE):
        figure, axes = _rows(list(shares), title, axis, legend=True)
        left = np.zeros(len(shares))
        for part, colour in colours.items():
            widths = np.array([row.get(part, 0.0) for row in shares.values()])
            axes.barh(range(len(shares)), widths, 0.68, left=left, color=colour, label=part)
            left += widths
        axes.set_xlim(0.0, 100.0)
        figure.legend(loc="outside lower left", ncols=min(len(colours), 4), handlelength=1.0, columnspacing=1.0)
        return svg(figure, title)


def dots(values: Mapping[str, Mapping[str, float]], rows: Sequence[str], title: str, axis: str) -> str:
    """For each row a mark a series, on a log scale; zeros stand at the left edge, hollow. SVG text.

    values: by series, then row.
    """
    above = [value for series in values.values() for value in series.values() if value > 0]
    with matplotlib.rc_context(STYLE):
        figure, axes = _rows(rows, title, axis, legend=True)
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
        axes.xaxis.set_major_locator(ticker.LogLocator(subs=subs, numticks=9))
        axes.xaxis.set_major_formatter("{x:,g}")
        axes.xaxis.set_minor_locator(ticker.NullLocator())
        axes.grid(axis="y", visible=True)
        figure.legend(loc="outside lower left", ncols=2, handlelength=0.8, columnspacing=1.0)
        return svg(figure, title)


def spans(values: Mapping[str, Sequence[float]], colours: Mapping[str, str], title: str, axis: str) -> str:
    """For each row the middle half of its values as a bar, 5 to 95 % as a line, the median as a mark; log. SVG text."""
    with matplotlib.rc_context(STYLE):
        figure, axes = _rows(list(values), title, axis)
        for place, (name, row) in enumerate(values.items()):
            if len(row):
                low, first, median, third, high = np.quantile(row, (0.05, 0.25, 0.5, 0.75, 0.95))
                axes.plot((low, high), (place, place), color=colours[name], linewidth=1.6)
                axes.barh(place, third - first, 0.5, left=first, color=colours[name])
                axes.plot(median, place, "|", color=INK, markersize=11, markeredgewidth=1.8)
        axes.set_xscale("log")
        axes.xaxis.set_major_locator(ticker.LogLocator(subs=(1.0, 2.0, 5.0), numticks=9))
        axes.xaxis.set_major_formatter("{x:g}")
        axes.xaxis.set_minor_locator(ticker.NullLocator())
        return svg(figure, title)


def histograms(
    values: Mapping[str, Sequence[float]], bins: np.ndarray, title: str, axis: str, log: bool = False
) -> str:
    """One stepped line a series: the percentage of its values in each bin. SVG text."""
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(WIDTH, 3.0 + 0.2 * ((len(values) + 1) // 2)), layout="constrained")
        axes = plain_axes(figure.subplots(), title, axis, "% of the clips")
        for i, (name, series) in enumerate(values.items()):
            counts, _ = np.histogram(np.clip(series, bins[0], bins[-1]), bins)
            look = {"color": SYSTEM_COLOURS[i % len(SYSTEM_COLOURS)], "linestyle": DASHES[i % len(DASHES)]}
            axes.stairs(100 * counts / max(len(series), 1), bins, linewidth=1.6, label=name, **look)
        if log:
            axes.set_yscale("log")
            axes.set_ylim(50.0 / max(len(series) for series in values.values()), 130.0)  # half a clip of the largest
            axes.yaxis.set_major_formatter("{x:g}")
            axes.yaxis.set_minor_locator(ticker.NullLocator())
        else:
            axes.set_ylim(bottom=0.0)
        figure.legend(loc="outside lower left", ncols=2, handlelength=1.6, columnspacing=1.0)
        return svg(figure, title)


def _rows(names: Sequence[str], title: str, axis: str, legend: bool = False) -> tuple[Figure, Axes]:
    """A chart of one row a name, from the top."""
    figure = Figure(figsize=(WIDTH, 0.85 + ROW * len(names) + 0.45 * legend), layout="constrained")
    axes = plain_axes(figure.subplots(), title, axis, "")
    axes.set_yticks(range(len(names)), [wrapped(name, 22) for name in names])
    axes.set_ylim(len(names) - 0.5, -0.5)
    axes.grid(axis="y", visible=False)
    axes.tick_params(axis="y", length=0)
    return figure, axes
