"""Comparing systems: their figures beside each other and beside published ones, and the ranking."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import yaml

from recipe_mtlvae.errors import RecipeError
from recipe_mtlvae.labels import Event
from recipe_mtlvae.report.comparison import chart_sections, compared, tables
from recipe_mtlvae.report.comparison.compared_splits import split_name
from recipe_mtlvae.report.comparison.headline import headline
from recipe_mtlvae.report.comparison.json_content import comparison
from recipe_mtlvae.report.runs import read_published
from recipe_mtlvae.scoring.evaluation import measure, prepare
from recipe_mtlvae.scoring.intervals import Interval
from recipe_mtlvae.scoring.metrics import figures
from recipe_mtlvae.scoring.reference import Reference, read_written_reference, reference_path, write_reference
from recipe_mtlvae.scoring.scenarios import METRICS, metric_keys
from recipe_mtlvae.scoring.scores import ClipScores, ScoreFolder, read_scores, write_scores
from tests.simulated import CLASSES, CLIPS, STEP, STEPS, opened, simulate, simulated_run, statistics_of

pytestmark = pytest.mark.usefixtures("few_resamples")


def test_figures_are_those_of_the_metrics(tmp_path: Path) -> None:
    (system,) = opened(("one", simulated_run(tmp_path / "one")))
    expected = figures(statistics_of(*simulate(CLIPS, seed=1)))
    assert system.results["validation"].macro == pytest.approx(expected.macro, abs=1e-6)
    assert all(system.results["validation"].intervals[name].low <= expected.macro[name] for name in metric_keys())


def test_runs_of_the_same_name_give_mean_and_standard_deviation(tmp_path: Path) -> None:
    folders = [simulated_run(tmp_path / str(seed), seed) for seed in (1, 2, 3)]
    alone = [opened(("x", folder))[0].results["validation"].macro["event_f1"] for folder in folders]
    (system,) = opened(*(("seeds", folder) for folder in folders))
    result = system.results["validation"]
    assert result.macro["event_f1"] == pytest.approx(np.mean(alone))
    assert result.deviation["event_f1"] == pytest.approx(np.std(alone, ddof=1))
    assert len(system.runs) == 3


def test_a_curve_has_its_area_in_the_title_only_for_a_single_run(tmp_path: Path) -> None:
    """For several runs, the curve is that of the first run, while the figure is the mean of all."""
    folders = [simulated_run(tmp_path / str(seed), seed) for seed in (1, 2)]
    for runs, is_headed in ((folders[:1], True), (folders, False)):
        section = chart_sections._psd_roc(opened(*(("x", folder) for folder in runs)), "validation")
        assert [" = 0." in chart.svg for chart in section.charts] == [is_headed] * 2


def test_a_split_counts_only_the_runs_that_were_measured_on_it(tmp_path: Path) -> None:
    """One of two runs also has the split public; the result does not depend on which of the two it is."""
    both, one = simulated_run(tmp_path / "both"), simulated_run(tmp_path / "one", seed=2)
    shutil.copytree(both / "scores" / "validation", both / "scores" / "public")
    shutil.copyfile(reference_path(both, "validation"), reference_path(both, "public"))
    for folders in ((both, one), (one, both)):
        systems = opened(*(("seeds", folder) for folder in folders))
        assert {split: entry["systems"]["seeds"]["runs"] for split, entry in comparison(systems).items()} == {
            "validation": 2,
            "public": 1,
        }
        notes = [group.rows[0].note.partition("; ")[2] for group in tables.score_groups(systems, [])]
        assert sorted(notes) == ["", "mean and standard deviation of 2 runs"]


def test_a_system_does_not_differ_from_itself(tmp_path: Path) -> None:
    a, b = opened(("a", simulated_run(tmp_path / "a")), ("b", simulated_run(tmp_path / "b")))
    found = compared.difference(a.results["validation"], b.results["validation"], "psds1")
    assert (found.value, found.interval) == (0.0, Interval(0.0, 0.0))


def test_a_score_folder_is_scored_with_the_truth_of_the_run_beside_it(tmp_path: Path) -> None:
    run = simulated_run(tmp_path / "run")
    folder = simulated_run(tmp_path / "other", seed=2) / "scores" / "validation"
    alone, run_system = opened(("alone", folder), ("run", run))
    assert alone.name == "alone" and alone.results["validation"].expected == CLIPS
    assert run_system.results["validation"].clip_list_hash == alone.results["validation"].clip_list_hash


def test_run_of_other_clips_keeps_its_own_truth_beside_the_given_one(tmp_path: Path) -> None:
    run = simulated_run(tmp_path / "run")
    scores = tmp_path / "elsewhere"
    write_scores(scores, "other", np.full((STEPS, 3), 0.6), STEP, ("Cat", "Dog", "Siren"))
    given = Reference({"other": [Event(0.0, 5.0, "Siren")]}, {"other": STEPS * STEP}, 1)
    ours, theirs = opened(("ours", run), ("theirs", scores), given=given)
    assert ours.results["validation"].macro == opened(("ours", run))[0].results["validation"].macro
    (split,) = theirs.results
    assert split_name(split) == "Validation by the given truth" and theirs.results[split].expected == 1
    assert tables.difference_groups([ours, theirs]) == []
    assert "None of its scores is of the given clips" in ours.runs[0].gaps[-1]
    with pytest.raises(RecipeError, match="no run has scores of the clips in --durations"):
        opened(("ours", run), given=given)


def test_intervals_that_are_likely_too_narrow_are_marked(tmp_path: Path) -> None:
    (system,) = opened(("run", simulated_run(tmp_path / "run", clips=40)))
    result = replace(system.results["validation"], class_clips={"Cat": 9, "Dog": 10})
    psds1, _, event_f1, *_ = METRICS
    marked = {metric.key for metric in METRICS if result.is_narrow(metric)}
    assert marked == {"psds1", "psds2"}
    assert result.is_narrow(event_f1, "Cat") and not result.is_narrow(event_f1, "Dog")
    enough = replace(result, class_clips={"Cat": 10, "Dog": 10})
    assert not any(enough.is_narrow(metric) for metric in METRICS)
    assert replace(enough, macro=result.macro | {"psds1": 0.09}).is_narrow(psds1)
    rows = tables.class_groups([replace(system, results={"validation": result})], "validation")[0].rows
    (cat,) = [row for row in rows if row.name == "Cat"]
    assert cat.note == "in 9 clips" and cat.cells[2].spread.endswith("]†")


def test_operating_points_of_one_threshold_give_the_f1_of_the_scores(tmp_path: Path) -> None:
    run = simulated_run(tmp_path / "run")
    (system,) = opened(("run", run))
    rows = ["event_label\tfilename\toffset\tonset"]  # columns by name, in any order
    for clip, events in system.results["validation"].output.detected.items():
        rows += [f"{e.label}\t{clip}.wav\t{e.offset}\t{e.onset}" for e in events]
    (tmp_path / "points").mkdir()
    (tmp_path / "points" / "predictions_th_0.50.tsv").write_text("\n".join(rows) + "\n")
    a, b = opened(("points", tmp_path / "points"), ("run", run))
    for name in ("event_f1", "segment_f1", "intersection_f1"):
        assert a.results["validation"].macro[name] == pytest.approx(b.results["validation"].macro[name]), name


def test_operating_points_and_scores_are_not_ranked_by_psds(tmp_path: Path) -> None:
    run, points = simulated_run(tmp_path / "run"), tmp_path / "points"
    points.mkdir()
    (points / "th_0.5.tsv").write_text("filename\tonset\toffset\tevent_label\nclip0.wav\t0\t1\tDog\n")
    systems = opened(("points", points), ("run", run))
    (row,) = tables.difference_groups(systems)[0].rows
    assert row.note == "PSDS was measured in different ways"
    stars = {metric.key: cell.best for metric, cell in zip(METRICS, row.cells, strict=True)}
    assert stars == {"psds1": False, "psds2": False, "event_f1": True, "segment_f1": True, "intersection_f1": True}
    assert compared.winner(systems, "validation", "psds1") is None
    assert compared.winner(systems, "validation", "event_f1") is systems[1]
    assert tables.score_groups(systems, [])[0].rows[0].note.endswith("PSDS at 1 threshold")


def test_a_class_that_is_never_detected_is_reported(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    truth = {"a": [Event(1.0, 2.0, "Cat"), Event(3.0, 4.0, "Dog")]}
    reference = Reference(truth, {"a": 10.0}, 1)
    edges = np.arange(11.0)
    scores = ScoreFolder(("Cat", "Dog"), {"a": ClipScores(edges, np.eye(10, 2, -1))})
    scores.clips["a"].scores[:, 1] = 0.0
    measure(prepare(scores, reference, 0.5), "test", tmp_path / "m.json", tmp_path / "c.json")
    assert "never detected: Dog; F1 of a class that occurs but is never detected counts as 0" in capsys.readouterr().out


def test_a_class_that_one_of_several_runs_detects_is_not_reported_as_undetected(tmp_path: Path) -> None:
    loud, silent = simulated_run(tmp_path / "loud"), simulated_run(tmp_path / "silent")
    for clip, item in read_scores(silent / "scores" / "validation").clips.items():
        write_scores(silent / "scores" / "validation", clip, 0.0 * item.scores, STEP, CLASSES)
    alone, both = opened(("alone", silent), ("both", silent), ("both", loud))
    assert alone.results["validation"].undetected == set(CLASSES)
    assert both.results["validation"].undetected == set()


def test_one_clip_is_enough_for_figures_but_not_for_intervals(tmp_path: Path) -> None:
    """All resamples of one clip are equal, so that no system is better by an interval that excludes zero."""
    truth = simulate(CLIPS, seed=1)[1]
    clip = next(clip for clip, events in truth.items() if events)
    runs = (("run", simulated_run(tmp_path / "run")), ("worse", simulated_run(tmp_path / "worse", seed=2)))
    system, worse = opened(*runs, given=Reference({clip: truth[clip]}, {clip: 10.0}, 1))
    result = system.results["validation"]
    assert result.macro["event_f1"] > worse.results["validation"].macro["event_f1"]
    assert (result.scored, result.intervals, result.class_intervals) == (1, {}, {})
    assert compared.winner([system, worse], "validation", "event_f1") is None
    assert tables.difference_groups([system, worse]) == []
    assert dict(headline([system, worse], "validation"))["Compared with"][0].startswith(
        "worse: not comparable in PSDS1"
    )
    assert set(result.absent_classes) == set(CLASSES) - {event.label for event in truth[clip]}


def test_beside_published_figures_psds_is_also_given_without_event_free_clips(tmp_path: Path) -> None:
    run = simulated_run(tmp_path / "run", seed=2)
    conf = yaml.safe_load((run / "conf.yaml").read_text())
    conf["data"]["name"] = "desed"
    (run / "conf.yaml").write_text(yaml.safe_dump(conf))
    written = read_written_reference(reference_path(run, "validation"))
    emptied = set(sorted(written.truth)[:3])
    truth = {clip: [] if clip in emptied else events for clip, events in written.truth.items()}
    write_reference(reference_path(run, "validation"), replace(written, truth=truth))
    kept = {clip: events for clip, events in truth.items() if events}
    (system,), (expected,) = (
        opened(("run", run), given=given)
        for given in (None, Reference(kept, {clip: written.durations[clip] for clip in kept}, len(kept)))
    )
    published = [row for row in read_published() if row.headline]
    _, row, *_ = tables.score_groups([system], published)[0].rows
    assert row.name == "run, clips with events"
    assert row.note.endswith(f"{len(kept)} clips, {CLIPS - len(kept)} without events left out")
    expected = expected.results["validation"].macro
    values = [cell.value for cell in row.cells]
    assert values == [pytest.approx(expected["psds1"]), pytest.approx(expected["psds2"]), None, None, None]
    assert len(tables.score_groups([system], [])[0].rows) == 1  # nothing to compare with
