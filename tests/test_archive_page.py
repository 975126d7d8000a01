"""The page of an archive: counts, events over time, and the escaping of labels and messages."""

from __future__ import annotations

import pytest

pytest.importorskip("pyarrow", reason="pyarrow is not installed (the extra archive)")
from recipe_mtlvae.inference.archive.parts import Timeline, Totals
from recipe_mtlvae.report.archive_page import write_archive_page


def test_events_over_time_are_merged_into_wider_bins():
    timeline = Timeline()
    for seconds in (0.0, 59.0, 61.0, 200 * 60.0):
        timeline.add("Dog", seconds)
    assert timeline.width == 120.0
    assert (timeline.counts["Dog"][0], timeline.counts["Dog"][100], sum(timeline.counts["Dog"])) == (3, 1, 4)


def test_the_page_counts_events_and_faults_and_escapes_labels_and_messages(tmp_path):
    totals = Totals()
    event = {"onset": 1.0, "offset": 3.5, "event_label": "<b>Dog", "confidence": 0.9}
    totals.add({"duration": 100.0, "events": [event, event], "fault": None})
    totals.add({"duration": None, "events": [], "fault": "is <i>empty; fetch it again"})
    write_archive_page(tmp_path / "page.html", totals)
    page = (tmp_path / "page.html").read_text()
    assert "2 events in 2 recordings" in page and "1:40 of audio" in page and "1 recording has a fault" in page
    assert "&lt;b&gt;Dog" in page and "is &lt;i&gt;empty" in page and "<b>" not in page and "<i>" not in page


def test_an_archive_without_events_has_a_page(tmp_path):
    write_archive_page(tmp_path / "page.html", Totals())
    assert "No events." in (tmp_path / "page.html").read_text()
