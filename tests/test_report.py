"""The report page: figures, gaps, escaping; opened in a browser where there is one."""

from __future__ import annotations

import csv
import json
import math
import re
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import yaml

import local.compare
import local.stage
from recipe_mtlvae.conf import conf_to_dict
from recipe_mtlvae.corpus.splits import Corpus
from recipe_mtlvae.errors import RecipeError
from recipe_mtlvae.inputs.mel_scale import band_centres
from recipe_mtlvae.inputs.prepared import open_split
from recipe_mtlvae.labels import Event, Grid
from recipe_mtlvae.report import theme
from recipe_mtlvae.report.comparison import chart_sections, clips, costs, plots, tables
from recipe_mtlvae.report.comparison.clip_plot import clip_chart
from recipe_mtlvae.report.comparison.compared import ComparedSystem, Result
from recipe_mtlvae.report.comparison.measuring import systems_of_runs
from recipe_mtlvae.report.comparison.page import write_report
from recipe_mtlvae.report.palette import palette
from recipe_mtlvae.report.runs import bare_run, open_run, read_published
from recipe_mtlvae.scoring.evaluation import measure, prepare
from recipe_mtlvae.scoring.reference import reference_path, split_reference, write_reference
from recipe_mtlvae.scoring.scenarios import METRICS, metric_keys
from recipe_mtlvae.scoring.scores import read_scores, write_scores
from tests.tiny import make_tiny_corpus, tiny_conf

HOSTILE = "<script>alert(1)</script>"
CLASSES = ("Beep", HOSTILE, "Hum")
PHONE = 360  # CSS pixels


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_tiny_corpus(tmp_path_factory.mktemp("corpus"), _conf())


@pytest.fixture
def run_dir(corpus: Path, tmp_path: Path) -> Path:
    return make_run(tmp_path / "my <b>run", corpus)


def _conf():
    return tiny_conf(f"data.classes={json.dumps(CLASSES)}")


def make_run(folder: Path, root: Path) -> Path:
    """A run folder as the stages leave it, of four validation and three public clips."""
    conf, rng = _conf(), np.random.default_rng(1)
    folder.mkdir(parents=True)
    (folder / "conf.yaml").write_text(yaml.safe_dump(conf_to_dict(conf), sort_keys=False))
    grid, after = Grid.of(conf.features, conf.data.clip_seconds), conf.postprocess
    for split, metrics in (("validation", "metrics.json"), ("public", "metrics_public.json")):
        prepared = open_split(Corpus(conf, root), split)
        for clip in prepared.clips:
            scores = 0.7 * grid.encode(clip.events, CLASSES) + 0.4 * rng.random((grid.steps, len(CLASSES)))
            write_scores(folder / "scores" / split, Path(clip.name).stem, scores, grid.step_seconds, CLASSES)
        reference = split_reference(prepared)
        system = prepare(read_scores(folder / "scores" / split), reference, after.threshold, steps=after.median_filter)
        measure(system, split, folder / metrics, folder / f"psd_roc_{split}.json")
        write_reference(reference_path(folder, split), reference)
    with (folder / "history.csv").open("w", newline="") as stream:
        writer = csv.writer(stream)
        writer.writerow(["epoch", "step", "loss/weak", "loss/kld", "loss/total", "kl/mean", "val/selection"])
        writer.writerows([epoch, 5 * epoch, 0.5, 0.1, 0.6, 0.02, 0.3 + epoch] for epoch in range(3))
    energy = {"training": {"kwh": 0.0123, "seconds": 60.0, "mode": "CPU estimated (tdp)"}, "validation": {"kwh": None}}
    (folder / "energy.json").write_text(json.dumps(energy))
    training = {"epochs": 3, "steps": 15, "clips_seen": 120, "seconds": 61.0, "best_epoch": 3}
    model = {"system": "mtlvae", "parameters": 1234567, "macs_10s": 2.5e8, "classes": CLASSES, "training": training}
    (folder / "model.json").write_text(json.dumps(model))
    return folder


@dataclass(frozen=True)
class Written:
    """A report as stage 4 leaves it."""

    folder: Path
    text: str  # the terminal's
    page: str


def report(folder: Path, root: Path) -> Written:
    systems = systems_of_runs({folder.name: folder})
    text = write_report(systems, Corpus(_conf(), root), folder.name, folder / "report.html")
    return Written(folder, text, (folder / "report.html").read_text())


@pytest.fixture(scope="module")
def written(corpus: Path, tmp_path_factory: pytest.TempPathFactory) -> Written:
    return report(make_run(tmp_path_factory.mktemp("exp") / "my <b>run", corpus), corpus)


# --- the tables


def test_terminal_shows_run_beside_published_figures(written: Written) -> None:
    lines, metrics = written.text.splitlines(), json.loads((written.folder / "metrics.json").read_text())
    figures = [kind.text(metrics[kind.key]) for kind in METRICS]
    assert lines[1].removeprefix("my <b>run").split()[:5] == figures
    assert any(
        line.startswith("MTL-VAE, all four tasks") and " 32.5 " in line and "on other data" in line for line in lines
    )
    assert any(line.startswith("Official baseline 2022 ") and " 40.1 " in line for line in lines)
    assert any(re.fullmatch(r"Clips scored, validation +4 of 4 \(100 %\)", line) for line in lines)


@pytest.mark.parametrize(("data", "note"), [("mini", "on other data: DESED"), ("desed", "its authors' copy of DESED")])
def test_published_figures_tell_their_data(run_dir: Path, data: str, note: str) -> None:
    conf = yaml.safe_load((run_dir / "conf.yaml").read_text())
    conf["data"]["name"] = data
    (run_dir / "conf.yaml").write_text(yaml.safe_dump(conf, sort_keys=False))
    groups = tables.score_groups(systems_of_runs({"run": run_dir}), read_published())
    assert all(row.note.endswith(note) for group in groups for row in group.rows if not row.own)


def test_report_is_said_to_be_below_the_baseline() -> None:
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


def test_unmeasured_energy_is_never_zero() -> None:
    assert costs.energy({"kwh": None, "reason": "codecarbon is not installed"}).startswith("not measured (codecarbon")
    assert costs.energy({}) == "not measured"
    assert costs.energy({"kwh": 0.00001234, "mode": "CPU measured"}) == "0.0000123 kWh (CPU measured)"


@pytest.mark.parametrize(("seconds", "text"), [(4.21, "4.2 s"), (125.9, "2 min 5 s"), (3900, "1 h 5 min")])
def test_duration_is_readable(seconds: float, text: str) -> None:
    assert costs.duration(seconds) == text


def test_tuned_figures_are_rows_of_their_own_after_the_official_ones(run_dir: Path, corpus: Path) -> None:
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
    assert group.rows[0].note == "above 0.35, median of 0.19 s" and group.rows[0].cells[0].text == "0.750"
    assert "not the official figures" in report(run_dir, corpus).page


# --- what is missing


OPTIONAL = ["energy.json", "history.csv", "model.json", "psd_roc_validation.json", "metrics_public.json", "conf.yaml"]


@pytest.mark.parametrize("name", OPTIONAL)
def test_missing_file_is_a_gap(run_dir: Path, name: str) -> None:
    (run_dir / name).unlink()
    assert f"{name} is missing." in open_run(run_dir).gaps


@pytest.mark.parametrize(("name", "text"), [("energy.json", "{"), ("conf.yaml", "{"), ("conf.yaml", "seed: !!bool x")])
def test_broken_file_is_a_gap(run_dir: Path, name: str, text: str) -> None:
    (run_dir / name).write_text(text)
    gap = next(gap for gap in open_run(run_dir).gaps if gap.startswith(f"{name} cannot be read"))
    assert str(run_dir) not in gap  # a page leaves the machine


def test_page_of_a_run_with_scores_alone_states_its_gaps(run_dir: Path, corpus: Path) -> None:
    for name in [*OPTIONAL, "truth_validation.json"]:
        (run_dir / name).unlink()
    written = report(run_dir, corpus)
    assert all(f"{name} is missing." in written.page for name in OPTIONAL)
    assert "No test clips are shown" in written.page
    assert any(line.split() == ["Energy,", "training", "not", "measured"] for line in written.text.splitlines())


def test_without_features_clips_are_shown_by_their_events(run_dir: Path, tmp_path: Path) -> None:
    gaps: list[str] = []
    systems = systems_of_runs({"run": run_dir})
    views = clips.clip_views(systems, "validation", Corpus(_conf(), tmp_path / "no corpus"), 4, gaps)
    assert [view.log_mel for view in views] == [None] * 4 and views[0].lanes[0][1]
    assert len(gaps) == 1 and gaps[0].startswith("The test clips are shown without spectrogram and sound")
    assert str(tmp_path) not in gaps[0]


def test_system_called_truth_is_drawn_beside_the_truth(run_dir: Path) -> None:
    views = clips.clip_views(systems_of_runs({"truth": run_dir}), "validation", None, 4, [])
    assert all([name for name, _ in view.lanes] == ["truth", "truth"] for view in views)
    assert any(view.lanes[0][1] != view.lanes[1][1] for view in views)


def test_run_without_scores_is_refused(tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match="found no scores; run stage 3"):
        open_run(tmp_path)


# --- the clips


def test_segment_f1_of_one_clip() -> None:
    # truth: seconds 0, 1, 2 of Dog; detected: seconds 1, 2, 3 of Dog and 0 of Cat: 2 of 3 and 4
    truth, detected = [Event(0.0, 2.5, "Dog")], [Event(1.2, 3.1, "Dog"), Event(0.0, 0.5, "Cat")]
    assert clips.segment_f1(truth, detected, 10.0) == pytest.approx(2 * 2 / (3 + 4))
    assert clips.segment_f1([], [], 10.0) is None


def test_best_median_and_worst_clips_are_chosen() -> None:
    f1 = {f"c{i:02d}": i / 100 for i in range(21)} | {"silent": None}
    chosen = clips.choose(f1, {name: () for name in f1}, 3)
    assert [name for name, rank in chosen if rank == "best"] == ["c20", "c19", "c18"]
    assert {name for name, rank in chosen if rank == "median"} == {"c09", "c10", "c11"}
    assert {name for name, rank in chosen if rank == "worst"} == {"c00", "c01", "c02"}


def test_of_many_clips_that_all_fail_those_with_the_most_events_are_the_worst() -> None:
    """Five of six fail; the median one is the second of these."""
    truth = {name: [Event(0.0, 1.0, "Dog")] * (6 - i) for i, name in enumerate("abcdef")}
    chosen = clips.choose(dict.fromkeys("bcdef", 0.0) | {"a": 0.9}, truth, 1)
    assert chosen == [("b", "worst"), ("c", "median"), ("a", "best")]


def test_band_centres_lie_on_the_mel_scale() -> None:
    centres = band_centres(_conf().features)  # 128 bands, 0 to 8000 Hz: 2840.02 mel in 129 steps
    assert centres[0] == pytest.approx(700 * (10 ** (2840.0230467 / 129 / 2595) - 1), rel=1e-6)
    assert len(centres) == 128 and centres[-1] < 8000


# --- the charts


def test_labels_in_charts_are_text_not_markup() -> None:
    names = [HOSTILE, "a$b$"]
    svg = plots.bars({"run": {HOSTILE: 0.5, "a$b$": None}}, {}, palette(names), "T", "F1", 1.0)
    assert "&lt;script&gt;" in svg and "<script" not in svg
    assert "a$b$" in svg


def test_labels_that_the_font_lacks_are_not_warned_of() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        svg = plots.bars({"run": {"犬": 0.5, "\x1b[31m": 0.5}}, {}, palette(["犬", "\x1b[31m"]), "T", "F1", 1.0)
    assert "犬" in svg


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
    assert f"The first {theme.ROWS} classes: the table has all." in section.text
    assert len(tables.class_groups([system], "v")[0].rows) == theme.ROWS + 1


# --- stage 4


def test_stage_is_skipped_while_its_inputs_are_the_same(
    corpus: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    conf = tmp_path / "tiny.yaml"
    conf.write_text(yaml.safe_dump(conf_to_dict(_conf()), sort_keys=False))
    run_dir = make_run(tmp_path / "exp" / "tiny-tiny", corpus)
    (run_dir / "conf.yaml").unlink()  # the stage writes its own, with the splits of --data too
    monkeypatch.setattr(local.stage, "PROJECT", tmp_path)
    argv = ["compare", "--conf", str(conf), "--data", str(conf), "--data_root", str(corpus)]
    monkeypatch.setattr("sys.argv", argv)
    monkeypatch.setattr("recipe_mtlvae.report.comparison.page.write_report", _write_no_charts)

    local.compare.main()
    assert "measured here" in capsys.readouterr().out
    assert json.loads((run_dir / "corpus.json").read_text()) == {"root": str(corpus)}
    local.compare.main()
    assert "is there already" in capsys.readouterr().out
    (run_dir / "energy.json").unlink()
    local.compare.main()
    assert "measured here" in capsys.readouterr().out


def _write_no_charts(systems: list[ComparedSystem], corpus: Corpus, title: str, file: Path) -> str:
    file.write_text(f"{title} on {corpus.root}")
    return "measured here"


# --- in the browser


@dataclass
class Opened:
    """A page in headless Chromium, and what it did while it was opened."""

    page: object
    console: list[str]
    requests: list[str]
    metrics: dict


@pytest.fixture(scope="module")
def opened(written: Written, browser) -> Iterator[Opened]:
    page = browser.new_page(viewport={"width": PHONE, "height": 800})
    console: list[str] = []
    requests: list[str] = []
    page.on("console", lambda message: console.append(message.text))
    page.on("pageerror", lambda error: console.append(str(error)))
    page.on("dialog", lambda dialog: (console.append(f"dialog: {dialog.message}"), dialog.dismiss()))
    page.on("request", lambda request: requests.append(request.url))
    page.goto((written.folder / "report.html").as_uri())
    yield Opened(page, console, requests, json.loads((written.folder / "metrics.json").read_text()))
    page.close()


def test_browser_finds_no_error_and_asks_for_nothing(opened: Opened) -> None:
    assert opened.console == []
    assert [url for url in opened.requests if not url.startswith("data:")] == [opened.page.url]


def test_summary_shows_the_figures_of_metrics_json(opened: Opened) -> None:
    cells = opened.page.locator("#summary tr.own").first.locator("data")
    assert [float(cell.get_attribute("value")) for cell in cells.all()] == pytest.approx(
        [opened.metrics[key] for key in metric_keys()]
    )
    assert cells.all_inner_texts() == [kind.text(opened.metrics[kind.key]) for kind in METRICS]


def test_hostile_class_name_is_shown_as_text(opened: Opened) -> None:
    assert opened.page.locator("script").count() == 0
    assert HOSTILE in opened.page.locator("#classes").text_content()


def test_hostile_run_name_is_shown_as_text(opened: Opened) -> None:
    assert opened.page.locator("h1").inner_text() == "my <b>run"


def test_page_fits_a_phone(opened: Opened) -> None:
    assert opened.page.evaluate("document.documentElement.scrollWidth") <= PHONE


def test_every_clip_has_its_spectrogram_and_events(opened: Opened) -> None:
    figures = opened.page.locator("figure", has=opened.page.locator("figcaption"))
    assert figures.count() == 4  # the corpus's validation clips
    assert figures.first.locator("svg image").count() == 2  # spectrogram, colour bar
    assert "time (s)" in figures.first.text_content()


def test_every_clip_can_be_played(opened: Opened) -> None:
    seconds = "audios => Promise.all(audios.map(a => a.readyState ? a.duration : new Promise(done => {"
    seconds += "a.onloadedmetadata = () => done(a.duration); a.onerror = () => done(-1); a.load(); })))"
    durations = opened.page.locator("audio").evaluate_all(seconds)
    assert durations == pytest.approx([2.0] * 4, abs=0.15)  # MP3 pads to whole frames
