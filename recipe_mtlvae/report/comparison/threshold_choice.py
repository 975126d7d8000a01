"""Choosing between missed events and false alarms: precision and recall of each class on the select split."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from recipe_mtlvae.report.charts import Chart
from recipe_mtlvae.report.comparison import plots
from recipe_mtlvae.report.comparison.compared import ComparedSystem
from recipe_mtlvae.report.palette import palette
from recipe_mtlvae.report.theme import ROWS
from recipe_mtlvae.scoring.precision_recall import Chosen, OperatingPoint, PrecisionRecall

POINTS = ("precision=0.9", "recall=0.9", "f1")  # shown, as `detect --operating_point` takes them
CLASSES_EACH = 5  # lines in one chart


@dataclass(frozen=True)
class ClassPoints:
    """A row of the table."""

    label: str
    events: int  # true events on the select split
    chosen: tuple[Chosen | None, ...]  # in the order of POINTS


@dataclass(frozen=True)
class ThresholdChoice:
    """Charts and rows of the first run of a system."""

    system: str
    charts: tuple[Chart, ...]
    rows: tuple[ClassPoints, ...]


def threshold_choices(systems: Sequence[ComparedSystem]) -> list[ThresholdChoice]:
    """Return the choices of each system whose model.json holds the counts of precision and recall."""
    found = []
    for system in systems:
        model = system.runs[0].model
        try:
            counts, classes = PrecisionRecall.from_dict(model["precision_recall"]), [*map(str, model["classes"])]
            tuned = model.get("bounding_boxes") or model.get("decoding") or {}  # used by `detect`
            own = [float(tuned["thresholds"][label]) for label in classes]
        except (KeyError, TypeError, ValueError):  # not tuned, or tuned by an earlier version
            continue
        if len(classes) == len(counts.references):
            points = [OperatingPoint.parse(text) for text in POINTS]
            rows = tuple(
                ClassPoints(label, int(counts.references[i]), tuple(counts.choose(i, one, own[i]) for one in points))
                for i, label in enumerate(classes)
            )
            found.append(ThresholdChoice(system.name, _charts(counts, classes), rows))
    return found


def _charts(counts: PrecisionRecall, classes: Sequence[str]) -> tuple[Chart, ...]:
    colours = palette(sorted(classes))
    shown = sorted(classes)[:ROWS]
    charts = []
    for first in range(0, len(shown), CLASSES_EACH):
        part = {label: classes.index(label) for label in shown[first : first + CLASSES_EACH]}
        curves = {label: (counts.recall[i], counts.precision[i]) for label, i in part.items()}
        charts.append(Chart(plots.precision_recall(curves, colours, "Precision and recall")))
    return tuple(charts)
