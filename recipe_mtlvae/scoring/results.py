"""Write metrics.json and the PSD-ROCs, and format the table for the terminal."""

from __future__ import annotations

import platform
from importlib.metadata import version
from pathlib import Path
from typing import Any

from recipe_mtlvae.errors import printable
from recipe_mtlvae.files import write_json
from recipe_mtlvae.scoring import scenarios
from recipe_mtlvae.scoring.metrics import Metrics
from recipe_mtlvae.text_table import text_table

PACKAGES = ("sed_scores_eval", "numpy", "scipy", "pandas")  # whose versions affect the results

ZERO_F1 = (
    "F1 of a class that occurs but is never detected counts as 0, as in sed_scores_eval; "
    "sed_eval and psds_eval leave the class out of the mean"
)


def versions() -> dict[str, str]:
    return {**{name: version(name) for name in PACKAGES}, "python": platform.python_version()}


def write(metrics_file: Path, curves_file: Path, content: dict[str, Any], metrics: Metrics) -> None:
    """Write `content`, and {psds1: {efpr, etpr}, psds2: ...}: staircases, effective false positives per hour."""
    curves = {
        name: {"efpr": curve.efpr.round(6).tolist(), "etpr": curve.etpr.round(6).tolist()}
        for name, curve in metrics.psd_roc.items()
    }
    write_json(curves_file, curves)
    write_json(metrics_file, content)


def table(content: dict[str, Any]) -> str:
    """Format the content of metrics.json as a table for the terminal."""
    rows = [["", *(metric.heading for metric in scenarios.METRICS)], ["macro", *_cells(content)]]
    beside = {key: named for key, named in scenarios.UNOFFICIAL.items() if key in content}
    rows += [[f"macro, {name}", *_cells(content[key])] for key, (name, _) in beside.items()]
    rows += [[label, *_cells(figures)] for label, figures in content["per_class"].items()]
    coverage = content["coverage"]
    share = coverage["scored"] / coverage["expected"]
    filtered = content["median_filter_seconds"]
    notes = [
        f"{content['split']}: {coverage['scored']} of {coverage['expected']} clips scored, coverage {share:.3f}, "
        f"clip list {content['clip_list_hash']}",
        f"threshold of F1 {content['threshold']:g}, " + (f"median filter {filtered:g} s" if filtered else "unfiltered"),
    ]
    notes += [f"{name}: {note}, not the official figures" for name, note in beside.values()]
    if content["absent_classes"]:
        notes.append(f"without truth, left out: {', '.join(content['absent_classes'])}")
    notes.append(", ".join(f"{name} {number}" for name, number in content["versions"].items()))
    return "\n".join([text_table(rows), *map(printable, notes)])


def _cells(figures: dict[str, float | None]) -> list[str]:
    return [metric.text(figures[metric.key], 4) for metric in scenarios.METRICS]
