"""`python -m recipe_mtlvae detect-archive`: its tables, and how it resumes. test_archive_ray.py has several workers."""

from __future__ import annotations

from pathlib import Path

import pytest

pytest.importorskip("pyarrow", reason="pyarrow is not installed (the extra archive)")
from recipe_mtlvae.inference.archive import listing, parts, scanner
from recipe_mtlvae.inference.archive.listing import Entry
from recipe_mtlvae.scoring.scores import read_scores
from tests.archived import part_files, rows
from tests.tiny import recording


@pytest.fixture
def single(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make each chunk a single recording."""
    monkeypatch.setattr(listing, "CHUNK", 1)


# --- tables


def test_tables_hold_every_recording_in_the_order_of_the_list(scan, recordings, tmp_path):
    (tmp_path / "list").write_text("".join(f"{recordings}/{number}.wav\n" for number in (3, 1, 2)))
    assert scan("--list", tmp_path / "list", "--classes", "Hum") == 0
    paths = [str(recordings / f"{number}.wav") for number in (3, 1, 2)]
    assert rows(tmp_path) == [
        {"path": path, "duration": seconds, "events": 1, "fault": None, "scores": None}
        for path, seconds in zip(paths, (3.0, 1.0, 2.0), strict=True)
    ]
    found = rows(tmp_path, "events")
    assert [row["path"] for row in found] == paths
    assert [(row["onset"], row["offset"], row["event_label"]) for row in found][1] == (0.0, 1.0, "Hum")
    assert all(0.1 < row["confidence"] < 1 for row in found)
    assert {path.name for path in (tmp_path / "out").iterdir()} == {
        *("archive.json", "parts", "events.parquet", "recordings.parquet", "faults.tsv", "summary.html")
    }


def test_events_are_those_of_detect(scan, recordings, tmp_path, checkpoint):
    from recipe_mtlvae import Detector

    assert scan(recordings) == 0
    expected = [
        (str(found.path), event.onset, event.offset, event.label, event.confidence)
        for found in Detector.load(checkpoint, threshold=0.1).detect_all(sorted(recordings.iterdir()))
        for event in found.events
    ]
    assert [tuple(row.values()) for row in rows(tmp_path, "events")] == expected


def test_the_option_scores_keeps_the_score_tables(scan, recordings, tmp_path):
    assert scan(recordings, "--scores") == 0
    (first, *_) = rows(tmp_path)
    assert first["scores"] == f"scores/{part_files(tmp_path)[0].stem}/1.tsv"
    scores = read_scores((tmp_path / "out" / first["scores"]).parent)
    assert {name: clip.scores.shape for name, clip in scores.clips.items()}["1"] == (16, 2)


# --- resuming


def test_an_interrupted_archive_resumes_with_the_chunks_that_have_no_part(
    scan, recordings, tmp_path, single, monkeypatch
):
    whole, scanned = scanner.Scanner.rows, []

    def rows_until(self: scanner.Scanner, chunk: listing.Chunk, found: list[Entry]) -> list[dict]:
        scanned.extend(Path(entry.path).stem for entry in found)
        if len(scanned) == 3:
            raise KeyboardInterrupt
        return whole(self, chunk, found)

    monkeypatch.setattr(scanner.Scanner, "rows", rows_until)
    assert scan(recordings) == 1 and len(part_files(tmp_path)) == 2
    before = {part: part.stat().st_mtime_ns for part in part_files(tmp_path)}
    assert scan(recordings) == 0
    assert scanned == ["1", "2", "3", "3"]
    assert before.items() <= {part: part.stat().st_mtime_ns for part in part_files(tmp_path)}.items()
    assert [Path(row["path"]).stem for row in rows(tmp_path)] == ["1", "2", "3"]


def test_with_nothing_to_do_no_checkpoint_is_opened_and_faults_are_reported_again(
    scan, recordings, tmp_path, monkeypatch, capsys
):
    (recordings / "4.wav").touch()
    assert scan(recordings) == 1
    monkeypatch.setattr(scanner, "plain_loop", None)
    monkeypatch.setattr(parts, "merge", None)
    capsys.readouterr()
    assert scan(recordings) == 1
    first, second, third = capsys.readouterr().err.splitlines()
    assert first == f"nothing to do: {tmp_path}/out holds all 4 recordings"
    assert second.startswith(f"error: {recordings}/4.wav: is empty") and "1 of 4 recordings have faults" in third


def test_a_changed_recording_is_scanned_again_and_its_old_part_is_deleted(scan, recordings, tmp_path, single):
    assert scan(recordings) == 0
    before = set(part_files(tmp_path))
    recording(recordings / "2.wav", 1.5)
    (tmp_path / "out" / "parts" / ".x.parquet.1234").touch()  # left behind by a killed process
    assert scan(recordings) == 0
    assert [row["duration"] for row in rows(tmp_path)] == [1.0, 1.5, 3.0]
    assert len(part_files(tmp_path)) == 3 and len(before & set(part_files(tmp_path))) == 2
