"""Stage 3: which splits are scored, tuned figures beside the fixed ones, and when it measures again."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

import local.stage
from local import score
from recipe_mtlvae.corpus.splits import Corpus
from recipe_mtlvae.errors import RecipeError
from recipe_mtlvae.inputs.prepared import open_split
from recipe_mtlvae.labels import Grid
from recipe_mtlvae.scoring.scores import write_scores
from tests.tiny import SETTINGS, make_tiny_corpus, tiny_conf


@pytest.fixture
def run(tmp_path, monkeypatch):
    """Make a corpus and perfect scores of validation and public; return a function that runs stage 3 with settings."""
    conf = tiny_conf()
    root = make_tiny_corpus(tmp_path / "corpus", conf)
    grid = Grid(steps=40, step_seconds=0.05)
    for name in ("validation", "public"):
        for clip in open_split(Corpus(conf, root), name).clips:
            targets = grid.encode(clip.events, conf.data.classes)
            write_scores(tmp_path / "exp/t/scores" / name, Path(clip.name).stem, targets, 0.05, conf.data.classes)
    monkeypatch.setattr(local.stage, "PROJECT", tmp_path)

    def call(*settings: str) -> Path:
        options = [option for setting in (*SETTINGS, *settings) for option in ("--set", setting)]
        monkeypatch.setattr(sys, "argv", ["score", "--data_root", str(root), "--tag", "t", *options])
        score.main()
        return tmp_path / "exp" / "t"

    return call


def test_both_splits_are_scored(run, capsys):
    folder = run()
    metrics = json.loads((folder / "metrics.json").read_text())
    assert (metrics["split"], metrics["event_f1"], metrics["psds1"]) == ("validation", 1.0, 1.0)
    assert metrics["median_filter_seconds"] == pytest.approx(0.15)
    assert metrics["coverage"] == {"scored": 4, "expected": 4}
    assert json.loads((folder / "metrics_public.json").read_text())["coverage"]["expected"] == 3
    assert json.loads((folder / "psd_roc_validation.json").read_text())["psds1"]["efpr"][-1] == 100.0
    assert capsys.readouterr().out.count("macro") == 2


def test_the_stage_is_skipped_until_something_changes(run, capsys):
    folder = run()
    capsys.readouterr()
    run()
    assert "is up to date" in capsys.readouterr().out
    assert json.loads((run("postprocess.threshold=0.3") / "metrics.json").read_text())["threshold"] == 0.3
    next((folder / "scores/public").iterdir()).write_text("broken")
    with pytest.raises(RecipeError, match="expected columns onset, offset"):
        run("postprocess.threshold=0.3")


def test_a_clip_without_scores_is_an_error(run):
    folder = run()
    next((folder / "scores/validation").iterdir()).unlink()
    with pytest.raises(RecipeError, match="1 of 4 clips have audio but no scores"):
        run()


def test_for_a_run_without_scores_the_message_says_what_to_do(run, tmp_path):
    (tmp_path / "exp/t/scores").rename(tmp_path / "elsewhere")
    with pytest.raises(RecipeError, match="no scores to measure; run stage 2 first"):
        run()


def decoding(beep: float) -> str:
    tuned = {"thresholds": {"Hum": 0.5, "Beep": beep}, "median_filters": {"Hum": 1, "Beep": 3}}
    return json.dumps({"decoding": tuned})


def test_tuned_figures_stand_beside_the_fixed_ones(run, tmp_path):
    """Beep's tuned threshold of 1 is never exceeded: no Beep is found, and Hum is as before."""
    (tmp_path / "exp/t").mkdir(parents=True, exist_ok=True)
    (tmp_path / "exp/t/model.json").write_text(decoding(1.0))
    metrics = json.loads((run() / "metrics.json").read_text())
    assert metrics["event_f1"] == 1.0 and metrics["threshold"] == 0.5
    tuned = metrics["tuned"]
    assert (tuned["event_f1"], tuned["segment_f1"], tuned["intersection_f1"]) == (0.5, 0.5, 0.5)
    assert tuned["psds1"] == 1.0  # PSDS has no threshold
    assert tuned["per_class"]["Hum"]["event_f1"] == 1.0 and tuned["per_class"]["Beep"]["event_f1"] == 0.0
    assert tuned["thresholds"] == {"Hum": 0.5, "Beep": 1.0}
    assert tuned["median_filters_seconds"] == pytest.approx({"Hum": 0.05, "Beep": 0.15})


def test_the_median_reference_of_boxes_has_filters_for_psds_and_for_events(run, tmp_path, capsys):
    """Beep's threshold of 1 is never exceeded; PSDS has no threshold."""
    by_class = {"psds": {"Hum": 1, "Beep": 5}, "events": {"Hum": 1, "Beep": 3}, "thresholds": {"Hum": 0.5, "Beep": 1.0}}
    (tmp_path / "exp/t/model.json").write_text(json.dumps({"median_reference": by_class}))
    found = json.loads((run() / "metrics.json").read_text())["median_reference"]
    assert (found["psds1"], found["event_f1"]) == (1.0, 0.5)
    assert found["median_filters_seconds"] == pytest.approx({"Hum": 0.05, "Beep": 0.15})
    assert "macro, median reference" in capsys.readouterr().out


def test_scores_are_measured_again_when_the_tuning_changes(run, tmp_path, capsys):
    folder = run()
    assert "tuned" not in json.loads((folder / "metrics.json").read_text())
    for beep in (1.0, 0.5):
        (folder / "model.json").write_text(decoding(beep))
        tuned = json.loads((run() / "metrics.json").read_text())["tuned"]
        assert tuned["thresholds"]["Beep"] == beep
    capsys.readouterr()
    run()
    assert "is up to date" in capsys.readouterr().out
