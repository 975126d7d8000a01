"""Comparing systems: what may be compared, what is ranked, what is an error."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import yaml

from recipe_mtlvae.commands import compare
from recipe_mtlvae.conf import conf_to_dict
from recipe_mtlvae.errors import RecipeError
from recipe_mtlvae.labels import Event
from recipe_mtlvae.report.comparison import compared, costs, measuring, tables
from recipe_mtlvae.report.comparison.compared import ComparedSystem
from recipe_mtlvae.report.comparison.compared_splits import split_name
from recipe_mtlvae.report.comparison.energy_use import energy_weighted
from recipe_mtlvae.report.comparison.json_content import comparison
from recipe_mtlvae.report.runs import read_published
from recipe_mtlvae.scoring import scenarios
from recipe_mtlvae.scoring.evaluation import measure, prepare
from recipe_mtlvae.scoring.intervals import Interval, draw
from recipe_mtlvae.scoring.metrics import Counts, Detections, count, figures
from recipe_mtlvae.scoring.reference import Reference, read_written_reference, reference_path, write_reference
from recipe_mtlvae.scoring.scenarios import METRICS, Metric, metric_keys
from recipe_mtlvae.scoring.scores import ClipScores, ScoreFolder, read_scores, write_scores
from tests.simulated import CLASSES, STEP, STEPS, simulate, statistics_of
from tests.tiny import tiny_conf

CLIPS = 12


@pytest.fixture(autouse=True)
def few_resamples(monkeypatch: pytest.MonkeyPatch) -> None:
    """200 instead of 1000; test_intervals.py has the widths."""
    monkeypatch.setattr(measuring, "draw", partial(draw, samples=200))


def make_run(folder: Path, seed: int = 1, classes: tuple[str, ...] = CLASSES, clips: int = CLIPS) -> Path:
    """A run folder whose clips and truth are those of seed 1, its scores those of `seed`."""
    truth, (scores, _) = simulate(clips, seed=1)[1], simulate(clips, seed=1)
    noise = np.random.default_rng(seed)
    for clip, item in scores.clips.items():
        noisy = np.clip(item.scores + (seed > 1) * noise.normal(0.0, 0.3, size=item.scores.shape), 0.0, 1.0)
        write_scores(folder / "scores" / "validation", clip, noisy, STEP, classes)
    conf = tiny_conf(f"data.classes={json.dumps(CLASSES)}", "postprocess.median_filter=1")
    (folder / "conf.yaml").write_text(yaml.safe_dump(conf_to_dict(conf), sort_keys=False))
    reference = Reference(truth, dict.fromkeys(truth, STEPS * STEP), clips)
    write_reference(reference_path(folder, "validation"), reference)
    return folder


def opened(*sources: tuple[str, Path], given: Reference | None = None) -> list[ComparedSystem]:
    return measuring.compare(list(sources), given, "validation")


def test_figures_are_those_of_the_metrics(tmp_path: Path) -> None:
    (system,) = opened(("one", make_run(tmp_path / "one")))
    expected = figures(statistics_of(*simulate(CLIPS, seed=1)))
    assert system.results["validation"].macro == pytest.approx(expected.macro, abs=1e-6)
    assert all(system.results["validation"].intervals[name].low <= expected.macro[name] for name in metric_keys())


def test_runs_of_one_name_are_mean_and_standard_deviation(tmp_path: Path) -> None:
    folders = [make_run(tmp_path / str(seed), seed) for seed in (1, 2, 3)]
    alone = [opened(("x", folder))[0].results["validation"].macro["event_f1"] for folder in folders]
    (system,) = opened(*(("seeds", folder) for folder in folders))
    result = system.results["validation"]
    assert result.macro["event_f1"] == pytest.approx(np.mean(alone))
    assert result.deviation["event_f1"] == pytest.approx(np.std(alone, ddof=1))
    assert len(system.runs) == 3


def test_of_several_runs_those_count_that_were_measured_on_a_split(tmp_path: Path) -> None:
    """One of two has public, too; whether it is the first or the second."""
    both, one = make_run(tmp_path / "both"), make_run(tmp_path / "one", seed=2)
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
    a, b = opened(("a", make_run(tmp_path / "a")), ("b", make_run(tmp_path / "b")))
    found = compared.difference(a.results["validation"], b.results["validation"], "psds1")
    assert (found.value, found.interval) == (0.0, Interval(0.0, 0.0))


def test_score_folder_borrows_the_truth_of_a_run(tmp_path: Path) -> None:
    run = make_run(tmp_path / "run")
    folder = make_run(tmp_path / "other", seed=2) / "scores" / "validation"
    alone, run_system = opened(("alone", folder), ("run", run))
    assert alone.name == "alone" and alone.results["validation"].expected == CLIPS
    assert run_system.results["validation"].clip_list_hash == alone.results["validation"].clip_list_hash


def test_run_of_other_clips_keeps_its_own_truth_beside_the_given_one(tmp_path: Path) -> None:
    run = make_run(tmp_path / "run")
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


def test_teacher_in_a_runs_folder_is_a_system_of_its_own(tmp_path: Path) -> None:
    run = make_run(tmp_path / "run")
    make_run(run / "teacher", seed=2)
    compare.main([str(run), "--out", str(tmp_path / "out")])
    content = json.loads((tmp_path / "out" / "comparison.json").read_text())["validation"]
    assert list(content["systems"]) == ["run", "run, teacher"] and "sed_scores_eval" in content["versions"]


def test_intervals_that_are_likely_too_narrow_are_marked(tmp_path: Path) -> None:
    (system,) = opened(("run", make_run(tmp_path / "run", clips=40)))
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
    run = make_run(tmp_path / "run")
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
    run, points = make_run(tmp_path / "run"), tmp_path / "points"
    points.mkdir()
    (points / "th_0.5.tsv").write_text("filename\tonset\toffset\tevent_label\nclip0.wav\t0\t1\tDog\n")
    systems = opened(("points", points), ("run", run))
    (row,) = tables.difference_groups(systems)[0].rows
    assert row.note == "PSDS is not measured in one way"
    stars = {metric.key: cell.best for metric, cell in zip(METRICS, row.cells, strict=True)}
    assert stars == {"psds1": False, "psds2": False, "event_f1": True, "segment_f1": True, "intersection_f1": True}
    assert compared.winner(systems, "validation", "psds1") is None
    assert compared.winner(systems, "validation", "event_f1") is systems[1]
    assert tables.score_groups(systems, [])[0].rows[0].note.endswith("PSDS at 1 thresholds")


def test_class_that_is_never_detected_is_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    truth = {"a": [Event(1.0, 2.0, "Cat"), Event(3.0, 4.0, "Dog")]}
    reference = Reference(truth, {"a": 10.0}, 1)
    edges = np.arange(11.0)
    scores = ScoreFolder(("Cat", "Dog"), {"a": ClipScores(edges, np.eye(10, 2, -1))})
    scores.clips["a"].scores[:, 1] = 0.0
    measure(prepare(scores, reference, 0.5), "test", tmp_path / "m.json", tmp_path / "c.json")
    assert "never detected: Dog; F1 of a class that is there and never detected counts as 0" in capsys.readouterr().out


def test_class_that_one_of_several_runs_detects_is_not_never_detected(tmp_path: Path) -> None:
    loud, silent = make_run(tmp_path / "loud"), make_run(tmp_path / "silent")
    for clip, item in read_scores(silent / "scores" / "validation").clips.items():
        write_scores(silent / "scores" / "validation", clip, 0.0 * item.scores, STEP, CLASSES)
    alone, both = opened(("alone", silent), ("both", silent), ("both", loud))
    assert alone.results["validation"].undetected == set(CLASSES)
    assert both.results["validation"].undetected == set()


@dataclass(frozen=True)
class Tagging:
    """A made-up scenario: F1 of which classes are in a clip."""


@count.register
def _(scenario: Tagging, clips: Detections) -> Counts:
    found, there = (
        np.array([[any(e.label == label for e in events[clip]) for label in clips.classes] for clip in clips.truth])
        for events in (clips.detected, clips.truth)
    )
    return Counts((found & there).astype(int), (found & ~there).astype(int), there.astype(int))


def test_metric_is_added_in_one_place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys) -> None:
    added = Metric(key="tag_f1", title="clip tagging F1", short="Tag-F1", percent=True, scenario=Tagging())
    monkeypatch.setattr(scenarios, "METRICS", (*METRICS, added))
    run, other = make_run(tmp_path / "run"), make_run(tmp_path / "other", seed=2)
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


def test_written_reference_is_read_back(tmp_path: Path) -> None:
    truth = {"a": [Event(0.5, 1.25, "Dog")], "b": []}
    reference = Reference(truth, {"a": 10.0, "b": 9.5}, 3)
    write_reference(tmp_path / "truth.json", reference)
    assert read_written_reference(tmp_path / "truth.json") == reference


# --- what cannot be compared


def test_different_clips_are_an_error_that_counts_them(tmp_path: Path) -> None:
    fewer = make_run(tmp_path / "fewer", clips=CLIPS - 2)
    with pytest.raises(RecipeError, match="all and fewer were scored on different clips of validation: 2 differ"):
        opened(("all", make_run(tmp_path / "all")), ("fewer", fewer))


def test_different_truth_is_an_error(tmp_path: Path) -> None:
    changed = make_run(tmp_path / "changed")
    content = json.loads(reference_path(changed, "validation").read_text())
    content["clips"]["clip0"]["events"] = [[0.0, 9.0, "Dog"]]
    reference_path(changed, "validation").write_text(json.dumps(content))
    with pytest.raises(RecipeError, match="different events in 1 clips of validation"):
        opened(("all", make_run(tmp_path / "all")), ("changed", changed))


def test_different_classes_are_an_error_that_names_them(tmp_path: Path) -> None:
    other = make_run(tmp_path / "other", classes=("Cat", "Dog", "Siren")) / "scores" / "validation"
    with pytest.raises(RecipeError, match="class lists differ: it lacks Speech; only it has Siren"):
        opened(("run", make_run(tmp_path / "run")), ("other", other))


def test_folder_without_truth_is_an_error(tmp_path: Path) -> None:
    folder = make_run(tmp_path / "run") / "scores" / "validation"
    with pytest.raises(RecipeError, match="carries no truth; give --ground_truth and --durations"):
        opened(("scores", folder))
    reference_path(tmp_path / "run", "validation").unlink()
    with pytest.raises(RecipeError, match="does not carry its truth; give --ground_truth"):
        opened(("run", tmp_path / "run"))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({}, "found no scores"),
        ({"a.tsv": "onset\toffset\tDog\n0\t1\tnan\n"}, "nan"),
        ({"a.tsv": "onset\toffset\tDog\n0\t0.4\t0.5\n0.6\t1\t0.5\n"}, "gap|0.4"),
        ({"b.tsv": "onset\toffset\tDog\n0\t1\t0.5\n"}, "1 of 1 clips have audio but no scores: a"),
    ],
)
def test_faulty_folder_is_an_error(tmp_path: Path, content: dict[str, str], message: str) -> None:
    (tmp_path / "scores").mkdir()
    (tmp_path / "folder").mkdir()
    for name, text in content.items():
        (tmp_path / "folder" / name).write_text(text)
    with pytest.raises(RecipeError, match=message):
        opened(("x", tmp_path / "folder"), given=Reference({"a": []}, {"a": 1.0}, 1))


def test_no_event_at_all_is_an_error(tmp_path: Path) -> None:
    run = make_run(tmp_path / "run")
    silent = Reference({f"clip{i}": [] for i in range(CLIPS)}, {f"clip{i}": 10.0 for i in range(CLIPS)}, CLIPS)
    with pytest.raises(RecipeError, match="nothing to measure"):
        opened(("run", run), given=silent)


def test_one_clip_is_enough(tmp_path: Path) -> None:
    run = make_run(tmp_path / "run")
    truth = simulate(CLIPS, seed=1)[1]
    clip = next(clip for clip, events in truth.items() if events)
    (system,) = opened(("run", run), given=Reference({clip: truth[clip]}, {clip: 10.0}, 1))
    result = system.results["validation"]
    assert (result.scored, result.intervals["event_f1"].low) == (1, result.macro["event_f1"])
    assert set(result.absent_classes) == set(CLASSES) - {event.label for event in truth[clip]}


def test_beside_published_figures_stands_psds_without_the_clips_that_their_years_dropped(tmp_path: Path) -> None:
    run = make_run(tmp_path / "run", seed=2)
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
    assert row.note.endswith(f"{len(kept)} clips, {CLIPS - len(kept)} without events dropped")
    expected = expected.results["validation"].macro
    values = [cell.value for cell in row.cells]
    assert values == [pytest.approx(expected["psds1"]), pytest.approx(expected["psds2"]), None, None, None]
    assert len(tables.score_groups([system], [])[0].rows) == 1  # nothing to compare with


# --- energy


def _measured_run(
    folder: Path, kwh: float | None, machine: str = "m", version: str = "3.3", mode: str = "CPU measured"
) -> Path:
    make_run(folder)
    entry = {"kwh": kwh, "machine": machine, "codecarbon": version, "mode": mode}
    (folder / "energy.json").write_text(json.dumps({"training": entry}))
    return folder


def test_energy_weighted_psds_by_hand(tmp_path: Path) -> None:
    ours, baseline = opened(("ours", _measured_run(tmp_path / "a", 0.5)), ("base", _measured_run(tmp_path / "b", 2.0)))
    expected = ours.results["validation"].macro["psds1"] * 2.0 / 0.5
    assert energy_weighted(ours, baseline, "training", "psds1") == pytest.approx(expected)


def test_where_energy_is_weighed_the_baseline_its_energy_and_the_network_are_named(tmp_path: Path) -> None:
    baseline = _measured_run(tmp_path / "b", 2.0)
    shutil.copytree(baseline, baseline / "teacher")
    folders = (
        ("ours", _measured_run(tmp_path / "a", 0.5)),
        ("base", baseline),
        ("base, teacher", baseline / "teacher"),
    )
    ours, student, teacher = (
        replace(one, runs=tuple(replace(run, conf=conf) for run in one.runs))
        for one, conf in zip(opened(*folders), (tiny_conf(), *[tiny_conf("system=mean_teacher")] * 2), strict=True)
    )
    row = next(row for row in costs.cost_rows([ours, student, teacher]) if row.name.startswith("EW-PSDS1, training"))
    assert row.name == "EW-PSDS1, training, times 2 kWh of base (student)"
    assert [cell.partition(" ")[2] for cell in row.cells] == ["", "(student)", "(teacher)"]


@pytest.mark.parametrize(
    "other",
    [
        {"kwh": 2.0, "machine": "another"},
        {"kwh": 2.0, "version": "3.2"},
        {"kwh": None},
        {"kwh": 2.0, "mode": "CPU measured, GPU not measured"},
    ],
    ids=str,
)
def test_energy_is_weighed_only_where_it_was_measured_alike(tmp_path: Path, other: dict) -> None:
    ours, baseline = opened(("ours", _measured_run(tmp_path / "a", 0.5)), ("b", _measured_run(tmp_path / "b", **other)))
    assert energy_weighted(ours, baseline, "training", "psds1") is None


def test_energy_of_a_training_on_two_machines_is_not_weighed(tmp_path: Path) -> None:
    a, b = (_measured_run(tmp_path / name, 1.0, machine="m + n") for name in "ab")
    ours, baseline = opened(("ours", a), ("baseline", b))
    assert energy_weighted(ours, baseline, "training", "psds1") is None


# --- the command


def test_command_writes_page_and_figures(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    a, b = make_run(tmp_path / "a" / "run"), make_run(tmp_path / "b" / "run", seed=2)
    compare.main([str(a), str(b), "--run", f"named={b}", "--out", str(tmp_path / "out")])
    content = json.loads((tmp_path / "out" / "comparison.json").read_text())["validation"]
    assert list(content["systems"]) == ["a/run", "b/run", "named"]
    assert len(content["differences"]) == 3
    page = (tmp_path / "out" / "report.html").read_text()
    for system in content["systems"].values():
        assert f'<data value="{system["psds1"]}">' in page
    assert "a/run less b/run" in capsys.readouterr().out


def test_page_of_one_clip_states_what_it_lacks(tmp_path: Path) -> None:
    scores = make_run(tmp_path / "run") / "scores" / "validation"
    (tmp_path / "truth.tsv").write_text("filename\tonset\toffset\tevent_label\nclip0.wav\t1.0\t2.0\tDog\n")
    (tmp_path / "durations.tsv").write_text("filename\tduration\nclip0.wav\t10.0\n")
    given = ["--ground_truth", str(tmp_path / "truth.tsv"), "--durations", str(tmp_path / "durations.tsv")]
    compare.main(["--run", f"alone={scores}", *given, "--out", str(tmp_path / "out")])
    page = (tmp_path / "out" / "report.html").read_text()
    assert "Truth, 1 clip<" in page and "in 1 clip<" in page
    assert '<th scope="row">Classes without truth, truth</th><td>Cat, Speech</td>' in page
    assert "no truth" in page  # in place of their bars
    assert '<th scope="row">Energy, training</th><td>not measured</td>' in page
    assert "How it was trained, its energy and its size are not known" in page


@pytest.mark.parametrize("argv", [[], ["--out", "x"], ["run"], ["--run", "nameless", "--out", "x"]], ids=str)
def test_wrong_usage_exits_with_2(argv: list[str]) -> None:
    with pytest.raises(SystemExit) as exit_info:
        compare.main(argv)
    assert exit_info.value.code == 2


def test_fault_is_one_line_and_exit_code_1(tmp_path: Path) -> None:
    command = [
        sys.executable,
        "-m",
        "recipe_mtlvae",
        "compare",
        str(tmp_path / "nothing"),
        "--out",
        str(tmp_path / "out"),
    ]
    done = subprocess.run(command, capture_output=True, text=True, cwd=Path(__file__).parent.parent, check=False)
    assert done.returncode == 1
    assert done.stderr.startswith(f"error: {tmp_path}/nothing: no such folder") and done.stderr.count("\n") == 1
    assert not (tmp_path / "out").exists()
