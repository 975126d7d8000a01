"""summary.html: what it holds, what it leaves out, and how it behaves in a browser."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

from recipe_mtlvae.inference.detection_files import Found
from recipe_mtlvae.inference.detector import Detector
from recipe_mtlvae.labels import DetectedEvent
from recipe_mtlvae.nets.checkpoint import Checkpoint
from recipe_mtlvae.report import summary
from recipe_mtlvae.report.pages import clock
from tests.tiny import RATE, tiny_conf

HOSTILE = "<script>alert(1)</script>"
CLASSES = ("Beep", HOSTILE, "Hum")
PHONE = 360  # CSS pixels


@pytest.fixture(scope="module")
def detector() -> Detector:
    import torch

    return Detector(Checkpoint(torch.nn.Identity(), tiny_conf(), CLASSES, 0, 0), device="cpu")


def found(folder: Path, name: str, seconds: float, *events: DetectedEvent) -> Found:
    path = folder / name
    soundfile.write(path, 0.1 * np.random.default_rng(0).standard_normal(round(seconds * RATE)), RATE)
    return Found(name, seconds, path, events)


def test_best_event_of_each_class_and_recording_comes_first():
    one = Found("a.wav", 9.0, Path("a.wav"), (
        DetectedEvent(0, 1, "Dog", 0.6), DetectedEvent(1, 2, "Dog", 0.9), DetectedEvent(2, 3, "Cat", 0.5),
    ))  # fmt: skip
    two = Found("b.wav", 9.0, Path("b.wav"), (DetectedEvent(0, 1, "Dog", 0.7),))
    assert summary.ranking([one, two]) == [(0, 1), (1, 0), (0, 2), (0, 0)]


def test_strip_has_one_bar_for_neighbouring_events_and_none_too_thin_to_see():
    """There are 400 bins in 400 s: events of 0.1 s in each second from 0 to 9 s make one bar of 10 bins, 2.5 % wide."""
    events = [DetectedEvent(second, second + 0.1, "Hum", 0.9) for second in range(10)]
    lanes, bars = summary.strip(events, 400.0, {"Beep": "red", "Hum": "blue"})
    assert (lanes, bars) == (1, [summary.Bar(0.0, 25.0, 0, "blue")])


@pytest.mark.parametrize(
    ("seconds", "decimals", "text"),
    [(5, 0, "0:05"), (65.4, 0, "1:05"), (3723, 0, "1:02:03"), (2.345, 2, "0:02.35"), (59.999, 2, "1:00.00")],
)
def test_times_read_as_on_a_clock(seconds, decimals, text):
    assert clock(seconds, decimals) == text


def test_the_page_is_bounded_and_says_what_it_leaves_out(detector, tmp_path, monkeypatch):
    monkeypatch.setattr(summary, "RECORDINGS", 2)
    monkeypatch.setattr(summary, "EVENTS", 3)
    monkeypatch.setattr(summary, "SNIPPETS", 1)
    events = (DetectedEvent(0.1, 0.3, "Beep", 0.9), DetectedEvent(0.5, 0.6, "Beep", 0.8))
    recordings = [found(tmp_path, f"{i}.wav", 1.0, *(events if i else ())) for i in range(3)]
    summary.write_summary(tmp_path / "summary.html", recordings, detector, 4)
    page = (tmp_path / "summary.html").read_text()
    assert "2 of 3 are shown, those with events first" in page and "0.wav" not in page
    assert "This page holds 3 of 4, the most confident" in page and page.count("<tr data-label") == 3
    assert page.count("data-sound=") == 1
    assert "results of 4 more recordings from earlier runs" in page


def test_a_recording_that_is_gone_is_listed_without_sound(detector, tmp_path):
    gone = found(tmp_path, "a.wav", 1.0, DetectedEvent(0.1, 0.3, "Beep", 0.9))
    gone.path.unlink()
    summary.write_summary(tmp_path / "summary.html", [gone], detector, 0)
    page = (tmp_path / "summary.html").read_text()
    assert page.count("<tr data-label") == 1 and "data-sound=" not in page


# --- in the browser


@pytest.fixture(scope="module")
def opened(detector: Detector, tmp_path_factory: pytest.TempPathFactory, browser: Any) -> Iterator[Any]:
    folder = tmp_path_factory.mktemp("found")
    recordings = [
        found(folder, "b <i>10.wav", 8.0, DetectedEvent(5.0, 6.0, "Hum", 0.7), DetectedEvent(6.5, 7.0, HOSTILE, 0.6)),
        found(folder, "b <i>9.wav", 70.0, DetectedEvent(61.0, 62.5, "Hum", 0.95)),
        found(folder, "quiet.wav", 1.0),
    ]
    summary.write_summary(folder / "summary.html", recordings, detector, 0)
    page = browser.new_page(viewport={"width": 1000, "height": 800})
    page.noise, page.asked = [], []
    page.on("console", lambda message: page.noise.append(message.text))
    page.on("pageerror", lambda error: page.noise.append(str(error)))
    page.on("dialog", lambda dialog: (page.noise.append(f"dialog: {dialog.message}"), dialog.dismiss()))
    page.on("request", lambda request: page.asked.append(request.url))
    page.goto((folder / "summary.html").as_uri())
    yield page
    assert page.noise == []  # whatever the tests clicked
    page.close()


def rows(page: Any) -> list[str]:
    """Return class and onset of the visible events, in order."""
    shown = page.locator("#events tbody tr:visible")
    return [re.sub(r"\s+", " ", text) for text in shown.locator("td:nth-child(-n+3)").all_inner_texts() if text.strip()]


def test_the_browser_finds_no_error_and_loads_nothing_else(opened):
    assert opened.noise == []
    assert [url for url in opened.asked if not url.startswith("data:")] == [opened.url]


def test_hostile_names_are_shown_as_text(opened):
    assert opened.locator("script").count() == 1 and opened.locator("main i:not(.dot)").count() == 0
    assert HOSTILE in opened.locator("#events").inner_text()
    assert "b <i>9.wav" in opened.locator("#recordings").inner_text()


def test_events_sort_by_class_and_by_time_and_back(opened):
    time, label = opened.get_by_role("button", name="Onset"), opened.get_by_role("button", name="Class", exact=True)
    time.click()
    assert rows(opened) == ["Hum", "0:05.00", HOSTILE, "0:06.50", "Hum", "1:01.00"]
    time.click()
    assert rows(opened) == ["Hum", "1:01.00", HOSTILE, "0:06.50", "Hum", "0:05.00"]
    label.click()
    assert rows(opened)[::2] == [HOSTILE, "Hum", "Hum"]
    assert opened.locator("#events th[aria-sort]").inner_text().startswith("Class")


def test_recordings_sort_by_number_within_their_names_and_by_length(opened):
    names = opened.locator("#recordings tbody td.name")
    opened.get_by_role("button", name="Recording", exact=True).first.click()
    assert names.all_inner_texts() == ["b <i>9.wav", "b <i>10.wav", "quiet.wav"]
    opened.get_by_role("button", name="Length").click()
    assert names.all_inner_texts() == ["quiet.wav", "b <i>10.wav", "b <i>9.wav"]


def test_events_are_filtered_by_class_and_recording_and_the_filter_is_reset(opened):
    opened.locator("[data-pick-label='Hum']").click()
    assert opened.locator("#events tbody tr:visible").count() == 2
    opened.get_by_role("button", name="b <i>9.wav").click()
    assert rows(opened) == ["Hum", "1:01.00"] and opened.locator("#shown").inner_text() == "1"
    opened.locator("#all").click()
    assert opened.locator("#events tbody tr:visible").count() == 3


def test_every_sound_can_be_played(opened):
    """A sound is an event with 0.5 s on either side: events of 0.5, 1 and 1.5 s give 1.5, 2 and 2.5 s."""
    seconds = "buttons => Promise.all(buttons.map(b => new Promise(done => { const a = new Audio(b.dataset.sound);"
    seconds += "a.onloadedmetadata = () => done(a.duration); a.onerror = () => done(-1); })))"
    durations = opened.locator("button.play").evaluate_all(seconds)
    assert sorted(durations) == pytest.approx([1.5, 2.0, 2.5], abs=0.15)  # MP3 pads to whole frames


def test_a_button_plays_its_sound_and_stops_it(opened):
    button = opened.locator("button.play").first
    button.click()
    assert button.get_attribute("data-playing") == ""
    button.click()
    assert button.get_attribute("data-playing") is None


def test_the_page_fits_a_phone_and_has_a_dark_scheme(opened):
    opened.set_viewport_size({"width": PHONE, "height": 800})
    opened.emulate_media(color_scheme="dark")
    assert opened.evaluate("document.documentElement.scrollWidth") <= PHONE
    assert opened.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(17, 20, 23)"
