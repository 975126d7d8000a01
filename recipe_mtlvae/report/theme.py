"""The style of charts: colours, fonts, and SVG that takes its colours from the theme of the page.

A chart is about 330 points wide, so that its text is legible on a phone. The page places charts side by side.
"""

from __future__ import annotations

import base64
import contextlib
import html
import io
import re
import warnings
from collections.abc import Iterator, Sequence
from typing import Any

import matplotlib
import numpy as np
from markupsafe import Markup
from matplotlib import ticker
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.figure import Figure
from matplotlib.image import AxesImage

from recipe_mtlvae.report.palette import SYSTEM_COLOURS

DASHES = ("-", "--", "-.", ":")
MARKERS = ("o", "s", "^", "D", "v", "P", "X", "p", "*", "h")
INK, LINE, FAINT = "#0a0b0c", "#0d0e0f", "#0c0d0e"  # placeholders: svg() writes the CSS variables of the page instead
THEME = {INK: "var(--ink)", LINE: "var(--line)", FAINT: "var(--faint)"}
WIDTH = 4.6  # inches
ROWS = 60  # most rows of a chart with one row per class: more are slow to draw and hard to read
STYLE = {
    "svg.fonttype": "none",  # text is written as text, not as paths: small, selectable, escaped by matplotlib
    "text.parse_math": False,  # a label may contain a dollar sign
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


@contextlib.contextmanager
def chart(title: str, x: str, y: str, height: float = 3.0) -> Iterator[Axes]:
    """Axes in the style of the page, `height` in inches. Call svg() within the `with` block."""
    with matplotlib.rc_context(STYLE):
        axes = Figure(figsize=(WIDTH, height), layout="constrained").subplots()
        axes.set(title=title, xlabel=x, ylabel=y, axisbelow=True)
        axes.spines[["top", "right"]].set_visible(False)
        axes.grid(linewidth=0.7)
        yield axes


def system_look(number: int) -> dict[str, str]:
    """Return the colour and line style of the system with this number."""
    return {"color": SYSTEM_COLOURS[number % len(SYSTEM_COLOURS)], "linestyle": DASHES[number % len(DASHES)]}


def log_axis(axis: Axis, ticks: int = 9, subs: Sequence[float] = (1.0, 2.0, 5.0), text: str = "{x:g}") -> None:
    """Label a logarithmic axis with plain numbers; powers of ten would need math text."""
    axis.set_major_locator(ticker.LogLocator(subs=subs, numticks=ticks))
    axis.set_major_formatter(text)
    axis.set_minor_locator(ticker.NullLocator())


def legend(axes: Axes, columns: int = 2, length: float = 1.2, **look: float) -> None:
    axes.figure.legend(loc="outside lower left", ncols=columns, handlelength=length, **look)


def frequency_axis(axes: Axes, frequencies: np.ndarray) -> None:
    ticks = [tick for tick in (500, 1000, 2000, 4000, 8000) if tick <= frequencies[-1] * 1.05]
    axes.set_yticks(np.interp(ticks, frequencies, np.arange(len(frequencies))), [f"{tick / 1000:g}" for tick in ticks])


def colour_bar(figure: Figure, image: AxesImage, axes: Axes, label: str) -> None:
    bar = figure.colorbar(image, ax=axes, pad=0.015, fraction=0.035, aspect=12)
    bar.set_label(label, labelpad=1)
    bar.outline.set_visible(False)
    bar.locator = ticker.MaxNLocator(3)
    bar.update_ticks()


def draw_spectrogram(
    figure: Figure,
    axes: Axes,
    log_mel: np.ndarray,
    frequencies: np.ndarray,
    frame_seconds: float,
    begin: float = 0.0,
) -> None:
    """Draw `log_mel` (mels, frames) in dB, which starts at `begin` (s); `frequencies` (mels,) in Hz."""
    high = float(np.percentile(log_mel, 99.8))
    low = max(float(np.percentile(log_mel, 2.0)), high - 80.0)  # dB: more would show the noise floor, not events
    extent = (begin, begin + log_mel.shape[1] * frame_seconds, -0.5, len(log_mel) - 0.5)
    image = axes.imshow(
        log_mel, origin="lower", aspect="auto", extent=extent, cmap="magma", vmin=low, vmax=high, interpolation="none"
    )
    frequency_axis(axes, frequencies)
    axes.set_ylabel("kHz")
    axes.tick_params(labelbottom=False)
    colour_bar(figure, image, axes, "dB")


def wrapped(name: str, width: int) -> str:
    """Split a long name into two lines, after an underscore or a space if possible, and shorten the second line."""
    if len(name) <= width:
        return name
    breaks = [match.end() for match in re.finditer(r"[_ ]", name) if match.end() <= width]
    cut = breaks[-1] if breaks else width
    rest = name[cut:]
    return name[:cut].rstrip() + "\n" + (rest if len(rest) <= width else rest[: width - 1] + "…")


def svg(figure: Figure, title: str) -> Markup:
    """Return the figure as an <svg> element in the colours of the page, as wide as its container, with images as JPEG.

    The element can be put into a page as it is: matplotlib escapes its text, and its ids do not clash with those of
    other charts.
    """
    text = io.StringIO()
    with matplotlib.rc_context({"svg.hashsalt": title}):
        save(
            figure, text, format="svg", transparent=True, metadata=dict.fromkeys(("Date", "Creator", "Format", "Type"))
        )
    content = text.getvalue()
    content = content[content.index("<svg") :]
    content = re.sub(r'<g id="[^"]*"', "<g", content)  # ids such as axes_1 would occur in every chart
    content = re.sub(r'(<svg[^>]*?) width="[^"]*"', r"\1", content, count=1)
    content = re.sub(r'(<svg[^>]*?) height="[^"]*"', r"\1", content, count=1)
    content = re.sub(r"data:image/png;base64,([A-Za-z0-9+/=\s]+)", lambda match: _as_jpeg(match[1]), content)
    for colour, variable in THEME.items():
        content = content.replace(colour, variable)
    return Markup(content.replace("<svg", f'<svg role="img" aria-label="{html.escape(title)}"', 1))


def save(figure: Figure, file: Any, **options: Any) -> None:
    """Call savefig without its warning for each character that the font lacks: a browser has other fonts."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Glyph")
        figure.savefig(file, **options)


def _as_jpeg(png: str) -> str:
    """Re-encode a PNG image: JPEG takes a quarter of the size, without a visible difference in a spectrogram."""
    from PIL import Image  # matplotlib depends on it

    image = Image.open(io.BytesIO(base64.b64decode(png))).convert("RGB")
    data = io.BytesIO()
    image.save(data, format="jpeg", quality=82)
    return "data:image/jpeg;base64," + base64.b64encode(data.getvalue()).decode()
