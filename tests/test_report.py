"""The content of a report: its tables, what is missing, and when stage 4 writes it again."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
import yaml

import local.compare
import local.stage
from recipe_mtlvae.conf import conf_to_dict
from recipe_mtlvae.corpus.splits import Corpus
from recipe_mtlvae.errors import RecipeError
from recipe_mtlvae.report.comparison import tables
from recipe_mtlvae.report.comparison.compared import ComparedSystem
from recipe_mtlvae.report.comparison.measuring import systems_of_runs
from recipe_mtlvae.report.runs import open_run, read_published
from recipe_mtlvae.scoring.reference import read_written_reference, reference_path, write_reference
from recipe_mtlvae.scoring.scenarios import metric_keys
from tests.reported import CLASSES, html_conf, report


@pytest.fixture
def run_dir(html_run: Path, tmp_path: Path) -> Path:
    return shutil.copytree(html_run, tmp_path / html_run.name)


@pytest.mark.parametrize(("data", "note"), [("mini", "on other data: DESED"), ("desed", "its authors' copy of DESED")])
def test_published_figures_state_their_data(run_dir: Path, data: str, note: str) -> None:
    conf = yaml.safe_load((run_dir / "conf.yaml").read_text())
    conf["data"]["name"] = data
    (run_dir / "conf.yaml").write_text(yaml.safe_dump(conf, sort_keys=False))
    groups = tables.score_groups(systems_of_runs({"run": run_dir}), read_published())
    assert all(row.note.endswith(note) for group in groups for row in group.rows if not row.own)


def test_a_note_says_that_the_report_is_below_the_official_baseline() -> None:
    assert "(32.5 % event-based F1 on DESED validation) is below the official 2022 baseline (40.1 %)" in (
        tables.published_note(read_published())
    )


def test_published_table_holds_the_reports_six_systems() -> None:
    report_rows = [row for row in read_published() if row.group == "report"]
    assert len(report_rows) == 6
    assert all(
        {"event_f1", "segment_f1"} == set(row.scores(split))
        for row in report_rows
        for split in ("validation", "public")
    )


def test_tuned_figures_have_their_own_rows_after_the_official_ones(run_dir: Path, html_corpus: Path) -> None:
    metrics = json.loads((run_dir / "metrics.json").read_text())
    tuned = dict.fromkeys(metric_keys(), 0.875)
    tuned |= {"per_class": {label: dict.fromkeys(metric_keys(), 0.75) for label in CLASSES}}
    tuned |= {"thresholds": dict.fromkeys(CLASSES, 0.35), "median_filters_seconds": dict.fromkeys(CLASSES, 0.192)}
    (run_dir / "metrics.json").write_text(json.dumps(metrics | {"tuned": tuned}))
    systems = systems_of_runs({"run": run_dir})
    official, own, *_ = tables.score_groups(systems, [])[0].rows
    assert official.cells[2].value == metrics["event_f1"] and own.cells[2].text == "87.5"
    assert own.name == "run, tuned" and "not the official figures" in own.note
    group = tables.class_groups(systems, "validation")[1]
    assert group.title == "run, tuned"
    assert group.rows[0].note == "threshold 0.35, median filter of 0.19 s" and group.rows[0].cells[0].text == "0.750"
    assert "not the official figures" in report(run_dir, html_corpus).page
    written = read_written_reference(reference_path(run_dir, "validation"))
    corrected = {clip: [] if i == 0 else events for i, (clip, events) in enumerate(written.truth.items())}
    write_reference(reference_path(run_dir, "validation"), replace(written, truth=corrected))
    (_, *others) = tables.score_groups(systems_of_runs({"run": run_dir}), [])[0].rows
    assert others == []  # metrics.json was computed with the truth of before


# --- what is missing


OPTIONAL = ["energy.json", "history.csv", "model.json", "psd_roc_validation.json", "metrics_public.json", "conf.yaml"]


@pytest.mark.parametrize("name", OPTIONAL)
def test_a_missing_file_is_listed_as_a_gap(run_dir: Path, name: str) -> None:
    (run_dir / name).unlink()
    assert f"{name} is missing." in open_run(run_dir).gaps


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("energy.json", "{"),
        ("energy.json", '{"training": [1]}'),
        ("energy.json", '{"training": {"kwh": "much"}}'),
        ("history.csv", "loss/weak\n0.1\n"),
        ("conf.yaml", "{"),
        ("conf.yaml", "seed: !!bool x"),
    ],
)
def test_a_damaged_file_is_listed_as_a_gap(run_dir: Path, name: str, text: str) -> None:
    (run_dir / name).write_text(text)
    gap = next(gap for gap in open_run(run_dir).gaps if gap.startswith(f"{name} cannot be read"))
    assert str(run_dir) not in gap  # a page may be passed on to others


def test_the_page_of_a_run_with_only_scores_states_its_gaps(run_dir: Path, html_corpus: Path) -> None:
    for name in [*OPTIONAL, "truth_validation.json"]:
        (run_dir / name).unlink()
    written = report(run_dir, html_corpus)
    assert all(f"{name} is missing." in written.page for name in OPTIONAL)
    assert "No test clips are shown" in written.page
    assert any(line.split() == ["Energy,", "training", "not", "measured"] for line in written.text.splitlines())


def test_run_without_scores_is_refused(tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match="found no scores; run stage 3"):
        open_run(tmp_path)


@pytest.mark.parametrize(
    "model",
    [
        {"parameters": "many", "training": {"seconds": "long", "clips_seen": 5}, "prediction": {"validation": 3}},
        {"parameters": float("nan"), "training": [1], "prediction": "fast"},
    ],
    ids=["texts", "no sections"],
)
def test_values_of_model_json_that_are_no_numbers_count_as_missing(
    run_dir: Path, html_corpus: Path, model: dict
) -> None:
    (run_dir / "model.json").write_text(json.dumps(model))
    assert "Parameters" not in report(run_dir, html_corpus).text


@pytest.mark.parametrize("coverage", ["", ', "coverage": {"scored": 3}', ', "coverage": [3, 4]'])
def test_metrics_without_coverage_are_refused(run_dir: Path, coverage: str) -> None:
    (run_dir / "truth_validation.json").unlink()
    (run_dir / "metrics.json").write_text(f'{{"psds1": 0.5{coverage}}}')
    with pytest.raises(RecipeError, match="metrics of validation hold no coverage; run stage 3"):
        systems_of_runs({"run": run_dir})


# --- stage 4


def test_stage_is_skipped_while_its_inputs_are_the_same(
    html_run: Path,
    html_corpus: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    conf = tmp_path / "tiny.yaml"
    conf.write_text(yaml.safe_dump(conf_to_dict(html_conf()), sort_keys=False))
    run_dir = shutil.copytree(html_run, tmp_path / "exp" / "tiny-tiny")
    (run_dir / "conf.yaml").unlink()  # the stage writes its own, with the splits of --data too
    monkeypatch.setattr(local.stage, "PROJECT", tmp_path)
    argv = ["compare", "--conf", str(conf), "--data", str(conf), "--data_root", str(html_corpus)]
    monkeypatch.setattr("sys.argv", argv)
    monkeypatch.setattr("recipe_mtlvae.report.comparison.page.write_report", _write_no_charts)

    local.compare.main()
    assert "measured here" in capsys.readouterr().out
    assert json.loads((run_dir / "corpus.json").read_text()) == {"root": str(html_corpus)}
    local.compare.main()
    assert "is up to date" in capsys.readouterr().out
    (run_dir / "energy.json").unlink()
    local.compare.main()
    assert "measured here" in capsys.readouterr().out


def _write_no_charts(systems: list[ComparedSystem], corpus: Corpus, title: str, file: Path) -> str:
    file.write_text(f"{title} on {corpus.root}")
    return "measured here"
