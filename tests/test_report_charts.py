"""Charts of a report: labels are text, classes keep their colours, and very long charts are cut."""

from __future__ import annotations

import math
import warnings
from pathlib import Path

import numpy as np
import pytest

from recipe_mtlvae.labels import Event
from recipe_mtlvae.report import theme
from recipe_mtlvae.report.comparison import chart_sections, plots, tables
from recipe_mtlvae.report.comparison.clip_plot import clip_chart
from recipe_mtlvae.report.comparison.compared import ComparedSystem, Result
from recipe_mtlvae.report.palette import palette
from recipe_mtlvae.report.runs import bare_run
from recipe_mtlvae.scoring.scenarios import METRICS, metric_keys
from tests.reported import HOSTILE


def test_labels_in_charts_are_text_not_markup() -> None:
    names = [HOSTILE, "a$b$"]
    svg = plots.bars({"run": {HOSTILE: 0.5, "a$b$": None}}, {}, palette(names), "T", "F1", 1.0)
    assert "&lt;script&gt;" in svg and "<script" not in svg
    assert "a$b$" in svg


def test_labels_that_the_font_lacks_cause_no_warning() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        svg = plots.bars({"run": {"犬": 0.5, "\x1b[31m": 0.5}}, {}, palette(["犬", "\x1b[31m"]), "T", "F1", 1.0)
    assert "犬" in svg


@pytest.mark.filterwarnings("error")
def test_values_that_are_all_0_are_drawn_on_a_linear_scale() -> None:
    """A deterministic encoder has a KL divergence of exactly 0, which a log scale cannot show."""
    assert "nats (log)" in plots.lines([1, 2], {"mean": [0.0, 0.5]}, "KL divergence", "nats", log=True)
    assert "(log)" not in plots.lines([1, 2], {"mean": [0.0, 0.0]}, "KL divergence", "nats", log=True)


def test_class_keeps_its_colour_in_bars_and_clips() -> None:
    colours = palette(list("abcdefgh"))
    clip = clip_chart(None, 0.016, np.ones(1), 10.0, [("truth", [Event(1.0, 2.0, "c")])], colours, "clip")
    bars = plots.bars({"run": dict.fromkeys(colours, 0.5)}, {}, colours, "T", "F1", 1.0)
    assert colours["c"] in clip and colours["c"] in bars
    assert colours["a"] not in clip


def test_charts_take_their_text_colour_from_the_page() -> None:
    svg = plots.lines([1, 2], {"weak": [0.5, math.nan]}, "Loss", "mean", log=True)
    assert "var(--ink)" in svg and theme.INK not in svg


def test_charts_of_very_many_classes_show_the_first(monkeypatch: pytest.MonkeyPatch) -> None:
    shown = []
    monkeypatch.setattr(plots, "bars", lambda values, *rest: shown.append(list(values["x"])) or "")
    per_class = {f"{i:03d}": dict.fromkeys(metric_keys(), 0.5) for i in range(theme.ROWS + 1)}
    result = Result(macro={}, per_class=per_class, scored=1, expected=1)
    system = ComparedSystem("x", (bare_run(Path(), "x"),), {"v": result}, None)
    (section,) = chart_sections.sections([system], ["v"], [], None)
    assert shown == [[f"{i:03d}" for i in range(theme.ROWS)]] * len(METRICS)
    assert f"Only the first {theme.ROWS} classes are shown; the table has all." in section.text
    assert len(tables.class_groups([system], "v")[0].rows) == theme.ROWS + 1


def test_charts_of_classes_show_only_classes_that_all_systems_know(monkeypatch: pytest.MonkeyPatch) -> None:
    shown = []
    monkeypatch.setattr(plots, "bars", lambda values, *rest: shown.append([list(own) for own in values.values()]) or "")
    systems = [
        ComparedSystem(
            name, (bare_run(Path(), name),), {"v": Result(macro={}, per_class=own, scored=1, expected=1)}, None
        )
        for name in "xy"
        for own in [{label: dict.fromkeys(metric_keys(), 0.5) for label in ("Common", name)}]
    ]
    chart_sections.sections(systems, ["v"], [], None)
    assert shown == [[["Common"], ["Common"]]] * len(METRICS)
