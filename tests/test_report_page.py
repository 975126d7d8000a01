"""The report that stage 4 writes: in the terminal, and as a page in a browser if one is installed."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from recipe_mtlvae.scoring.scenarios import METRICS, metric_keys
from tests.reported import HOSTILE, Written, report

PHONE = 360  # CSS pixels


@pytest.fixture(scope="module")
def written(html_run: Path, html_corpus: Path, tmp_path_factory: pytest.TempPathFactory) -> Written:
    return report(shutil.copytree(html_run, tmp_path_factory.mktemp("written") / html_run.name), html_corpus)


def test_terminal_shows_run_beside_published_figures(written: Written) -> None:
    lines, metrics = written.text.splitlines(), json.loads((written.folder / "metrics.json").read_text())
    figures = [kind.text(metrics[kind.key]) for kind in METRICS]
    assert lines[1].removeprefix("my <b>run").split()[:5] == figures
    assert any(
        line.startswith("MTL-VAE, all four tasks") and " 32.5 " in line and "on other data" in line for line in lines
    )
    assert any(line.startswith("Official baseline 2022 ") and " 40.1 " in line for line in lines)
    assert any(re.fullmatch(r"Clips scored, validation +4 of 4 \(100 %\)", line) for line in lines)


@dataclass
class Opened:
    """A page in headless Chromium, with its console messages and requests, and the figures of metrics.json."""

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


def test_the_browser_finds_no_error_and_loads_nothing_else(opened: Opened) -> None:
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
