from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

import local.stage
from local import score
from recipe_mtlvae.data.corpus import open_split
from recipe_mtlvae.errors import RecipeError
from recipe_mtlvae.labels import Grid
from recipe_mtlvae.scoring.scores import write_scores
from tests.tiny import SETTINGS, make_tiny_corpus, tiny_conf


@pytest.fixture
def run(tmp_path, monkeypatch):
    """A corpus, perfect score folders of validation and public, and stage 3 to be called with settings."""
    conf = tiny_conf()
    root = make_tiny_corpus(tmp_path / "corpus", conf)
    grid = Grid(steps=40, step_seconds=0.05)
    for name in ("validation", "public"):
        for clip in open_split(conf, root, name).clips:
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
    assert "is there already" in capsys.readouterr().out
    assert json.loads((run("postprocess.threshold=0.3") / "metrics.json").read_text())["threshold"] == 0.3
    next((folder / "scores/public").iterdir()).write_text("broken")
    with pytest.raises(RecipeError, match="expected columns onset, offset"):
        run("postprocess.threshold=0.3")


def test_a_clip_without_scores_is_an_error(run):
    folder = run()
    next((folder / "scores/validation").iterdir()).unlink()
    with pytest.raises(RecipeError, match="1 of 4 clips have audio but no scores"):
        run()


def test_a_run_without_scores_says_what_to_do(run, tmp_path):
    (tmp_path / "exp/t/scores").rename(tmp_path / "elsewhere")
    with pytest.raises(RecipeError, match="no scores to measure; run stage 2 first"):
        run()
