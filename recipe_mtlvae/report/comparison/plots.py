"""The charts of the page, drawn by matplotlib: bars, curves, points."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from markupsafe import Markup
from matplotlib.axes import Axes

from recipe_mtlvae.report.latents import Latents, main_directions
from recipe_mtlvae.report.palette import palette
from recipe_mtlvae.report.theme import (
    INK,
    LINE,
    MARKERS,
    chart,
    colour_bar,
    frequency_axis,
    legend,
    log_axis,
    svg,
    system_look,
    wrapped,
)


def bars(
    values: Mapping[str, Mapping[str, float | None]],
    intervals: Mapping[str, Mapping[str, tuple[float, float]]],
    colours: Mapping[str, str],
    title: str,
    axis: str,
    limit: float,
) -> Markup:
    """Horizontal bars with whiskers, one per class and system; a value of None is written as "no truth".

    values, intervals: by system, then class. colours: by class if there is one system, else by system. limit: end of
    the axis.
    """
    systems, classes = list(values), list(next(iter(values.values())))
    height = 0.72 / len(systems)
    inches = len(classes) * (0.27 if len(systems) == 1 else 0.1 + 0.14 * len(systems))
    with chart(title, axis, "", 0.75 + inches + 0.25 * (len(systems) > 1)) as axes:
        for i, system in enumerate(systems):
            rows = np.arange(len(classes)) + (i - (len(systems) - 1) / 2) * height
            colour = [colours[name] for name in classes] if len(systems) == 1 else colours[system]
            axes.barh(
                rows, [values[system][name] or 0.0 for name in classes], height * 0.94, color=colour, label=system
            )
            for row, name in zip(rows, classes, strict=True):
                _end_of_bar(
                    axes, row, values[system][name], intervals.get(system, {}).get(name), limit, len(systems) > 1
                )
        axes.set_yticks(range(len(classes)), [wrapped(name, 22) for name in classes])
        axes.set_xlim(0.0, limit * 1.14)  # room for the value behind the longest bar
        axes.set_xticks(np.linspace(0.0, limit, 6))
        axes.set_ylim(len(classes) - 0.5, -0.5)
        axes.grid(axis="y", visible=False)
        axes.tick_params(axis="y", length=0)
        if len(systems) > 1:
            legend(axes)
        return svg(axes.figure, title)


def _end_of_bar(
    axes: Axes, row: float, value: float | None, interval: tuple[float, float] | None, limit: float, crowded: bool
) -> None:
    """Draw the whisker and, if there is room, write the value."""
    if value is not None and interval is not None and np.isfinite(interval).all():
        axes.plot(interval, (row, row), color=INK, linewidth=1.1, solid_capstyle="butt")
    if crowded and value is not None:
        return
    text = "no truth" if value is None else f"{value:.{1 if limit > 1 else 3}f}"
    place = (0.0 if value is None else limit) + 0.02 * limit
    axes.text(place, row, text, va="center", fontsize=8.5 if not crowded else 7)


def roc(curves: Mapping[str, tuple[Sequence[float], Sequence[float]]], title: str, limit: float, axis: str) -> Markup:
    """PSD-ROC: effective true positive rate over effective false positives an hour, one step line per name."""
    with chart(title, axis, "effective true positive rate") as axes:
        for i, (name, (x, y)) in enumerate(curves.items()):
            x, y = np.append(x, max(limit, x[-1])), np.append(y, y[-1])  # the last rate continues to the limit
            axes.step(x, y, where="post", linewidth=1.8, label=name, **system_look(i))
            if len(curves) == 1:
                axes.fill_between(x, y, step="post", color=system_look(i)["color"], alpha=0.12, linewidth=0)
        axes.set_xlim(0.0, limit)
        axes.set_ylim(0.0, 1.0)
        if len(curves) > 1:
            legend(axes, length=2.2)
        return svg(axes.figure, title)


def precision_recall(
    curves: Mapping[str, tuple[Sequence[float], Sequence[float]]], colours: Mapping[str, str], title: str
) -> Markup:
    """One line per class through its (recall, precision) at each threshold, except those without detections."""
    with chart(title, "recall", "precision") as axes:
        for i, (name, (recall, precision)) in enumerate(curves.items()):
            there = np.isfinite(recall) & np.isfinite(precision)
            look = {"color": colours[name], "marker": MARKERS[i % len(MARKERS)], "markersize": 4, "linewidth": 1.4}
            axes.plot(np.asarray(recall)[there], np.asarray(precision)[there], label=name, **look)
        axes.set_xlim(0.0, 1.02)
        axes.set_ylim(0.0, 1.02)
        legend(axes, length=2.2)
        return svg(axes.figure, title)


def lines(
    epochs: Sequence[float],
    series: Mapping[str, Sequence[float]],
    title: str,
    axis: str,
    log: bool = False,
    best: str | None = None,
) -> Markup:
    """One line per name over the epochs, with gaps where a value is nan.

    log: use a log scale if any value is above 0, and say so at the axis.
    best: name of the line whose maximum is marked by a vertical line.
    """
    log = log and any(value > 0 for values in series.values() for value in values)
    with chart(title, "epoch", f"{axis} (log)" if log else axis) as axes:
        for name, colour in palette(list(series)).items():
            marker = "o" if len(epochs) < 3 else None
            axes.plot(epochs, series[name], color=colour, linewidth=1.8, marker=marker, markersize=4, label=name)
        if log:
            axes.set_yscale("log")
            log_axis(axes.yaxis, 8)
        if best is not None and np.isfinite(series[best]).any():
            axes.axvline(epochs[int(np.nanargmax(series[best]))], color=LINE, linewidth=1.0, linestyle="--", zorder=0)
        axes.xaxis.get_major_locator().set_params(integer=True)
        if len(series) > 1:
            legend(axes, 3, 1.4, columnspacing=1.2)
        return svg(axes.figure, title)


def selections(histories: Mapping[str, Mapping[str, Sequence[float]]], title: str, axis: str) -> Markup:
    """The selection score of each system over the epochs, from histories by name."""
    with chart(title, "epoch", axis) as axes:
        for i, (name, history) in enumerate(histories.items()):
            epochs = np.asarray(history["epoch"]) + 1
            axes.plot(epochs, history["val/selection"], linewidth=1.8, label=name, **system_look(i))
        axes.xaxis.get_major_locator().set_params(integer=True)
        legend(axes, length=2.2)
        return svg(axes.figure, title)


def scatter(
    points: Mapping[str, tuple[float, float, tuple[float, float] | None]], title: str, x: str, y: str
) -> Markup:
    """One point per system: (x above 0, y, interval of y), with x on a log scale."""
    with chart(title, x, y) as axes:
        for i, (name, (cost, score, interval)) in enumerate(points.items()):
            colour = system_look(i)["color"]
            if interval is not None:
                axes.plot((cost, cost), interval, color=colour, linewidth=1.4)
            axes.plot(cost, score, MARKERS[i % len(MARKERS)], color=colour, markersize=8, label=name)
        axes.set_xscale("log")
        log_axis(axes.xaxis, 6)
        axes.margins(x=0.2)
        axes.set_ylim(bottom=0.0)
        legend(axes)
        return svg(axes.figure, title)


def latent_points(latents: Latents, colours: Mapping[str, str], title: str) -> Markup:
    """mu projected on its two main directions, coloured by class."""
    directions, shares = main_directions(latents.mu)
    places = (latents.mu - latents.mu.mean(axis=0)) @ directions.T
    names = [f"direction {i + 1} ({100 * share:.0f} % of the variance)" for i, share in enumerate(shares)]
    with chart(title, names[0], names[-1], 4.0) as axes:
        for i, (name, colour) in enumerate(colours.items()):
            mine = places[latents.label == name]
            if len(mine):
                marker = MARKERS[i % len(MARKERS)]
                axes.scatter(
                    mine[:, 0], mine[:, -1], s=14, c=colour, marker=marker, alpha=0.7, linewidths=0, label=name
                )
        legend(axes, length=0.8, markerscale=1.6, columnspacing=1.0)
        return svg(axes.figure, title)


def traversal(latents: Latents, frequencies: np.ndarray, title: str) -> Markup:
    """The output of the decoder for a walk along the main direction of the latent space."""
    with chart(title, "position (standard deviations)", "kHz") as axes:
        extent = (latents.positions[0], latents.positions[-1], -0.5, latents.traversal.shape[1] - 0.5)
        image = axes.imshow(
            latents.traversal.T, origin="lower", aspect="auto", extent=extent, cmap="magma", interpolation="none"
        )
        frequency_axis(axes, frequencies)
        axes.grid(visible=False)
        colour_bar(axes.figure, image, axes, "level, scaled")
        return svg(axes.figure, title)
