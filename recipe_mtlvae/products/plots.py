"""The page's charts, drawn by matplotlib as SVG that takes its text and line colours from the page's theme.

A chart is some 330 points wide, so that its text stays legible on a phone; the page sets charts side by side.
"""

from __future__ import annotations

import base64
import io
import re
from collections.abc import Mapping, Sequence

import matplotlib
import numpy as np
from matplotlib import ticker
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from recipe_mtlvae.labels import Event

# M. A. Petroff, "Accessible color sequences for data visualization", 2021: ten colours that the colour-blind can tell
# apart, in an order that keeps neighbours far from each other; all visible on white and on near-black.
PALETTE = (
    "#3f90da", "#ffa90e", "#bd1f01", "#94a4a2", "#832db6", "#a96b59", "#e76300", "#b9ac70", "#717581", "#92dadd",
)  # fmt: skip
INK, LINE, FAINT = "#0a0b0c", "#0d0e0f", "#0c0d0e"  # stand-ins that svg() turns into the theme's variables
THEME = {INK: "var(--ink)", LINE: "var(--line)", FAINT: "var(--faint)"}
WIDTH = 4.6  # inches
STYLE = {
    "svg.fonttype": "none",  # text stays text: small, selectable, escaped by matplotlib
    "text.parse_math": False,  # a label may hold a dollar sign
    "font.size": 9.5,
    "axes.titlesize": 10.5,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.labelsize": 9.5,
    "xtick.labelsize": 9,
    "ytick.labelsize": 9,
    "legend.fontsize": 9,
    "legend.frameon": False,
    "text.color": INK,
    "axes.labelcolor": INK,
    "axes.edgecolor": LINE,
    "xtick.color": LINE,
    "ytick.color": LINE,
    "xtick.labelcolor": INK,
    "ytick.labelcolor": INK,
    "grid.color": FAINT,
    "hatch.linewidth": 1.2,
}


def palette(names: Sequence[str]) -> dict[str, str]:
    """A colour for each name, the same for the same list; from the eleventh on colours come again."""
    return {name: PALETTE[i % len(PALETTE)] for i, name in enumerate(names)}


def bars(values: Mapping[str, float | None], colours: Mapping[str, str], title: str, axis: str, limit: float) -> str:
    """Horizontal bars, one a class, each with its value; `None` is written as "no truth". SVG text."""
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(WIDTH, 0.75 + 0.27 * len(values)), layout="constrained")
        axes = _axes(figure.subplots(), title, axis, "")
        names = list(values)
        lengths = [values[name] or 0.0 for name in names]
        shown = axes.barh(range(len(names)), lengths, color=[colours[name] for name in names], height=0.72)
        labels = ["no truth" if values[name] is None else f"{values[name]:.{1 if limit > 1 else 3}f}" for name in names]
        axes.bar_label(shown, labels, padding=3, fontsize=8.5)
        axes.set_yticks(range(len(names)), [_wrapped(name, 22) for name in names])
        axes.set_xlim(0.0, limit * 1.12)  # room for the value after the longest bar
        axes.set_xticks(np.linspace(0.0, limit, 6))
        axes.invert_yaxis()
        axes.grid(axis="y", visible=False)
        axes.tick_params(axis="y", length=0)
        return svg(figure, title)


def roc(curves: Mapping[str, tuple[Sequence[float], Sequence[float]]], title: str, limit: float, axis: str) -> str:
    """PSD-ROC: effective true positive rate over effective false positives an hour, one step line a name. SVG text."""
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(WIDTH, 3.0), layout="constrained")
        axes = _axes(figure.subplots(), title, axis, "effective true positive rate")
        for (name, (x, y)), colour in zip(curves.items(), PALETTE * len(curves), strict=False):
            x, y = np.append(x, max(limit, x[-1])), np.append(y, y[-1])  # the rate holds until the limit
            axes.step(x, y, where="post", color=colour, linewidth=1.8, label=name)
            axes.fill_between(x, y, step="post", color=colour, alpha=0.12, linewidth=0)
        axes.set_xlim(0.0, limit)
        axes.set_ylim(0.0, 1.0)
        if len(curves) > 1:
            axes.legend(loc="upper left")
        return svg(figure, title)


def lines(
    epochs: Sequence[float],
    series: Mapping[str, Sequence[float]],
    title: str,
    axis: str,
    log: bool = False,
    best: str | None = None,
) -> str:
    """One line a name over the epochs; gaps where a value is nan. SVG text.

    `best` names the line whose highest point is marked by an upright.
    """
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(WIDTH, 3.0), layout="constrained")
        axes = _axes(figure.subplots(), title, "epoch", axis)
        for name, colour in palette(list(series)).items():
            marker = "o" if len(epochs) < 3 else None
            axes.plot(epochs, series[name], color=colour, linewidth=1.8, marker=marker, markersize=4, label=name)
        if log:
            axes.set_yscale("log")
            axes.yaxis.set_major_locator(ticker.LogLocator(subs=(1.0, 2.0, 5.0), numticks=8))
            axes.yaxis.set_major_formatter("{x:g}")  # plain numbers: powers of ten would need math text
            axes.yaxis.set_minor_locator(ticker.NullLocator())
        if best is not None and np.isfinite(series[best]).any():
            axes.axvline(epochs[int(np.nanargmax(series[best]))], color=LINE, linewidth=1.0, linestyle="--", zorder=0)
        axes.xaxis.get_major_locator().set_params(integer=True)
        if len(series) > 1:
            figure.legend(loc="outside lower left", ncols=3, handlelength=1.4, columnspacing=1.2)
        return svg(figure, title)


def clip(
    log_mel: np.ndarray | None,
    frame_seconds: float,
    frequencies: np.ndarray,
    seconds: float,
    lanes: Mapping[str, Sequence[Event]],
    colours: Mapping[str, str],
    title: str,
) -> str:
    """A clip's spectrogram above its events, on one time axis. SVG text.

    `log_mel` (mels, frames) in dB or None, a frame every `frame_seconds`; `frequencies` (mels,) the bands' centres in
    Hz; `lanes` the events of the truth and of each system by name, drawn below each other within the row of their
    class; the rows are in the order of `colours`, which names every class.
    """
    present = {event.label for events in lanes.values() for event in events}
    rows = [label for label in colours if label in present]
    row_inches = 0.12 + 0.14 * len(lanes)
    heights = [1.35] * (log_mel is not None) + [max(1, len(rows)) * row_inches]
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(WIDTH, sum(heights) + 1.15), layout="constrained")
        grid = figure.add_gridspec(len(heights), 1, height_ratios=heights)
        bottom = figure.add_subplot(grid[-1, 0])
        _draw_events(bottom, lanes, rows, colours)
        if log_mel is not None:
            top = figure.add_subplot(grid[0, 0], sharex=bottom)
            _draw_spectrogram(figure, top, log_mel, frequencies, frame_seconds)
            bottom.set_xlim(0.0, seconds)
        handles = [Patch(**_look(i, INK), label=name) for i, name in enumerate(lanes)]
        figure.legend(handles=handles, loc="outside lower left", ncols=3, handlelength=2.2, columnspacing=1.2)
        return svg(figure, title)


def _draw_spectrogram(
    figure: Figure, axes: Axes, log_mel: np.ndarray, frequencies: np.ndarray, frame_seconds: float
) -> None:
    high = float(np.percentile(log_mel, 99.8))
    low = max(float(np.percentile(log_mel, 2.0)), high - 80.0)  # dB: more would drown the events in the noise floor
    extent = (0.0, log_mel.shape[1] * frame_seconds, -0.5, len(log_mel) - 0.5)
    image = axes.imshow(
        log_mel, origin="lower", aspect="auto", extent=extent, cmap="magma", vmin=low, vmax=high, interpolation="none"
    )
    ticks = [tick for tick in (500, 1000, 2000, 4000, 8000) if tick <= frequencies[-1] * 1.05]
    axes.set_yticks(np.interp(ticks, frequencies, np.arange(len(frequencies))), [f"{tick / 1000:g}" for tick in ticks])
    axes.set_ylabel("kHz")
    axes.tick_params(labelbottom=False)
    bar = figure.colorbar(image, ax=axes, pad=0.015, fraction=0.035, aspect=12)
    bar.set_label("dB", labelpad=1)
    bar.outline.set_visible(False)
    bar.locator = ticker.MaxNLocator(3)
    bar.update_ticks()


def _draw_events(
    axes: Axes, lanes: Mapping[str, Sequence[Event]], rows: Sequence[str], colours: Mapping[str, str]
) -> None:
    height = 0.8 / len(lanes)
    for i, events in enumerate(lanes.values()):
        for event in events:
            top = rows.index(event.label) - 0.4 + i * height
            span = [(event.onset, event.offset - event.onset)]
            axes.broken_barh(span, (top + 0.08 * height, 0.84 * height), **_look(i, colours[event.label]))
    axes.set_ylim(max(1, len(rows)) - 0.5, -0.5)
    axes.set_yticks(range(len(rows)), [_wrapped(label, 16) for label in rows])
    axes.set_yticks(np.arange(0.5, len(rows) - 1), minor=True)
    axes.tick_params(axis="y", which="both", length=0)
    axes.grid(axis="x", linewidth=0.7)
    axes.grid(axis="y", which="minor", linewidth=0.7)
    axes.set_axisbelow(True)
    axes.set_xlabel("time (s)")
    if not rows:
        axes.text(0.5, 0.5, "no event, true or detected", transform=axes.transAxes, ha="center", va="center")


def _look(lane: int, colour: str) -> dict[str, object]:
    """The truth is solid, each system has its own hatching: told apart without colour."""
    if lane == 0:
        return {"facecolor": colour, "edgecolor": colour, "linewidth": 0.8}
    return {
        "facecolor": "none",
        "edgecolor": colour,
        "linewidth": 1.2,
        "hatch": ("////", "....", "----", "xxxx")[(lane - 1) % 4],
    }


def _axes(axes: Axes, title: str, x: str, y: str) -> Axes:
    axes.set_title(title)
    axes.set_xlabel(x)
    axes.set_ylabel(y)
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(linewidth=0.7)
    axes.set_axisbelow(True)
    return axes


def _wrapped(name: str, width: int) -> str:
    """The name on two lines where it is long, cut after an underscore or a space if it can be."""
    if len(name) <= width:
        return name
    breaks = [match.end() for match in re.finditer(r"[_ ]", name) if match.end() <= width]
    cut = breaks[-1] if breaks else width
    rest = name[cut:]
    return name[:cut].rstrip() + "\n" + (rest if len(rest) <= width else rest[: width - 1] + "…")


def svg(figure: Figure, title: str) -> str:
    """The figure as an <svg> element: themed, as wide as its place, images as JPEG, its ids its own."""
    text = io.StringIO()
    with matplotlib.rc_context({"svg.hashsalt": title}):
        figure.savefig(
            text, format="svg", transparent=True, metadata=dict.fromkeys(("Date", "Creator", "Format", "Type"))
        )
    content = text.getvalue()
    content = content[content.index("<svg") :]
    content = re.sub(r'<g id="[^"]*"', "<g", content)  # axes_1 and its like would stand on the page once a chart
    content = re.sub(r'(<svg[^>]*?) width="[^"]*"', r"\1", content, count=1)
    content = re.sub(r'(<svg[^>]*?) height="[^"]*"', r"\1", content, count=1)
    content = re.sub(r"data:image/png;base64,([A-Za-z0-9+/=\s]+)", lambda match: _as_jpeg(match[1]), content)
    for colour, variable in THEME.items():
        content = content.replace(colour, variable)
    return content.replace("<svg", '<svg role="img"', 1)


def _as_jpeg(png: str) -> str:
    """A quarter of the size, and no difference to see in a spectrogram."""
    from PIL import Image  # matplotlib depends on it

    image = Image.open(io.BytesIO(base64.b64decode(png))).convert("RGB")
    data = io.BytesIO()
    image.save(data, format="jpeg", quality=82)
    return "data:image/jpeg;base64," + base64.b64encode(data.getvalue()).decode()
