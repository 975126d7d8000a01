"""The chart of a test clip: its spectrogram above its true and detected events."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import matplotlib
import numpy as np
from markupsafe import Markup
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from recipe_mtlvae.labels import Event
from recipe_mtlvae.report.theme import INK, STYLE, WIDTH, draw_spectrogram, svg, wrapped

HATCHES = ("////", "\\\\\\\\", "||||", "xxxx")  # only lines: each dot of a dotted hatch would be a path in the SVG


def clip_chart(
    log_mel: np.ndarray | None,
    frame_seconds: float,
    frequencies: np.ndarray,
    seconds: float,
    lanes: Sequence[tuple[str, Sequence[Event]]],
    colours: Mapping[str, str],
    title: str,
) -> Markup:
    """The spectrogram of a clip above its events, on one time axis.

    log_mel: (mels, frames) in dB, one frame every `frame_seconds`; None: no spectrogram.
    frequencies: (mels,) centres of the bands in Hz.
    lanes: (name, events) of the truth, then of each system, drawn below each other in the row of each class.
    colours: by class, for every class; rows are in this order.
    """
    present = {event.label for _, events in lanes for event in events}
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
            draw_spectrogram(figure, top, log_mel, frequencies, frame_seconds)
            bottom.set_xlim(0.0, seconds)
        handles = [Patch(**_look(i, INK), label=name) for i, (name, _) in enumerate(lanes)]
        figure.legend(handles=handles, loc="outside lower left", ncols=2, handlelength=2.2, columnspacing=1.2)
        return svg(figure, title)


def _draw_events(
    axes: Axes, lanes: Sequence[tuple[str, Sequence[Event]]], rows: Sequence[str], colours: Mapping[str, str]
) -> None:
    height = 0.8 / len(lanes)
    for i, (_, events) in enumerate(lanes):
        for event in events:
            top = rows.index(event.label) - 0.4 + i * height
            span = [(event.onset, event.offset - event.onset)]
            axes.broken_barh(span, (top + 0.08 * height, 0.84 * height), **_look(i, colours[event.label]))
    axes.set_ylim(max(1, len(rows)) - 0.5, -0.5)
    axes.set_yticks(range(len(rows)), [wrapped(label, 16) for label in rows])
    axes.set_yticks(np.arange(0.5, len(rows) - 1), minor=True)
    axes.tick_params(axis="y", which="both", length=0)
    axes.grid(axis="x", linewidth=0.7)
    axes.grid(axis="y", which="minor", linewidth=0.7)
    axes.set_axisbelow(True)
    axes.set_xlabel("time (s)")
    if not rows:
        axes.text(0.5, 0.5, "no event, true or detected", transform=axes.transAxes, ha="center", va="center")


def _look(lane: int, colour: str) -> dict[str, object]:
    """Return the style of a lane: solid for the truth, hatched for systems, to tell them apart without colour too."""
    if lane == 0:
        return {"facecolor": colour, "edgecolor": colour, "linewidth": 0.8}
    return {
        "facecolor": "none",
        "edgecolor": colour,
        "linewidth": 1.2,
        "hatch": HATCHES[(lane - 1) % len(HATCHES)],
    }
