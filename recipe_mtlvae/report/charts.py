"""Charts and sections of charts, which charts.html writes into a page."""

from __future__ import annotations

from dataclasses import dataclass

from markupsafe import Markup


@dataclass(frozen=True)
class Chart:
    """An SVG chart. `title` and `note` form its caption; without a title there is none."""

    svg: Markup
    title: str = ""
    note: str = ""
    audio: str | None = None  # data URI


@dataclass(frozen=True)
class ChartSection:
    title: str
    text: str
    charts: tuple[Chart, ...]
