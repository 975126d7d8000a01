"""A made-up metric is added in one place and appears in every table."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from recipe_mtlvae.commands import compare
from recipe_mtlvae.scoring import scenarios
from recipe_mtlvae.scoring.evaluation import measure, prepare
from recipe_mtlvae.scoring.metrics import Counts, Detections, count
from recipe_mtlvae.scoring.reference import read_written_reference, reference_path
from recipe_mtlvae.scoring.scenarios import METRICS, Metric
from recipe_mtlvae.scoring.scores import read_scores
from tests.simulated import simulated_run

pytestmark = pytest.mark.usefixtures("few_resamples")


@dataclass(frozen=True)
class Tagging:
    """A made-up scenario: F1 of the classes present in each clip."""


@count.register
def _(scenario: Tagging, clips: Detections) -> Counts:
    found, there = (
        np.array([[any(e.label == label for e in events[clip]) for label in clips.classes] for clip in clips.truth])
        for events in (clips.detected, clips.truth)
    )
    return Counts((found & there).astype(int), (found & ~there).astype(int), there.astype(int))


def test_a_metric_added_in_one_place_appears_in_every_table_and_on_the_page(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys
) -> None:
    added = Metric(key="tag_f1", title="clip tagging F1", short="Tag-F1", percent=True, scenario=Tagging())
    monkeypatch.setattr(scenarios, "METRICS", (*METRICS, added))
    run, other = simulated_run(tmp_path / "run"), simulated_run(tmp_path / "other", seed=2)
    reference = read_written_reference(reference_path(run, "validation"))
    output = prepare(read_scores(run / "scores" / "validation"), reference, 0.5)
    measure(output, "validation", run / "metrics.json", run / "psd_roc_validation.json")
    assert capsys.readouterr().out.splitlines()[0].endswith("IB-F1 %  Tag-F1 %")
    figures = json.loads((run / "metrics.json").read_text())
    assert list(figures["per_class"]["Dog"]) == [*(metric.key for metric in METRICS), "tag_f1"]
    assert 0.5 < figures["tag_f1"] <= 1.0

    compare.main([str(run), str(other), "--out", str(tmp_path / "out")])
    content = json.loads((tmp_path / "out" / "comparison.json").read_text())["validation"]
    assert content["systems"]["run"]["tag_f1"] == pytest.approx(figures["tag_f1"])
    low, high = content["systems"]["run"]["intervals"]["tag_f1"]
    assert low <= figures["tag_f1"] <= high
    assert "tag_f1" in content["differences"][0] and "tag_f1" in content["better_than_all_others"]
    page = (tmp_path / "out" / "report.html").read_text()
    assert '<th scope="col" title="clip tagging F1">Tag-F1 %</th>' in page and "Clip tagging F1" in page
    assert "Tag-F1 %" in capsys.readouterr().out
