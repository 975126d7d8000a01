"""Charts and sections of them, as charts.html writes them into a page."""

from __future__ import annotations

from dataclasses import dataclass

from markupsafe import Markup


@dataclass(frozen=True)
class Chart:
    """An SVG chart; where its title holds a name, the page writes it."""

    svg: Markup
    title: str = ""
    note: str = ""
    audio: str | None = None  # data URI


@dataclass(frozen=True)
class ChartSection:
    title: str
    text: str
    charts: tuple[Chart, ...]
