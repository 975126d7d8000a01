"""Faults of an archive: a faulty recording is a row with its reason, and any other fault is one line of output."""

from __future__ import annotations

import errno
import json
import os
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("pyarrow", reason="pyarrow is not installed (the extra archive)")
from recipe_mtlvae.commands import detect_archive
from recipe_mtlvae.errors import RecipeError
from recipe_mtlvae.inference.archive import parts, ray_pool, scanner
from recipe_mtlvae.inference.archive.listing import Entry, cut
from tests.archived import part_files, rows
from tests.tiny import recording, save_tiny_checkpoint


def test_results_of_another_checkpoint_or_command_are_refused(scan, recordings, tmp_path, capsys):
    assert scan(recordings) == 0
    other = save_tiny_checkpoint(tmp_path / "other.ckpt", ("Hum", "Beep"))
    assert scan(recordings, checkpoint=other) == 1
    assert f"error: {tmp_path}/out: holds results of another checkpoint; give another --out" in capsys.readouterr().err
    (tmp_path / "out" / "archive.json").unlink()
    assert scan(recordings) == 1
    assert "holds results of another command" in capsys.readouterr().err


def test_a_damaged_part_is_reported_and_written_again_by_the_next_run(scan, recordings, tmp_path, capsys):
    assert scan(recordings) == 0
    state = json.loads((tmp_path / "out" / "archive.json").read_text())
    (tmp_path / "out" / "archive.json").write_text(json.dumps({**state, "tables": None}))
    part_files(tmp_path)[0].write_bytes(b"PAR1")
    assert scan(recordings) == 1
    assert "run the same command again: it is made anew" in capsys.readouterr().err
    assert scan(recordings) == 0


def test_every_recording_that_cannot_be_read_is_a_row_with_its_reason(scan, recordings, tmp_path):
    whole = recording(recordings / "whole.wav").read_bytes()
    contents = {"empty.wav": b"", "foreign.wav": b"hello", "short.wav": whole[: len(whole) // 2], "tab\t.wav": whole}
    for name, content in contents.items():
        (recordings / name).write_bytes(content)
    (recordings / os.fsdecode(b"\xff.wav")).write_bytes(whole)
    (recordings / "gone.wav").symlink_to("nowhere")
    assert scan(recordings) == 1
    found = {Path(row["path"]).name: row for row in rows(tmp_path)}
    reasons = {
        "empty.wav": "is empty (0 bytes)",
        "foreign.wav": "is not readable as audio",
        "short.wav": "is truncated at",
        "tab\t.wav": "holds a control character",
        "\\udcff.wav": "holds bytes that are not UTF-8",
        "gone.wav": "no such audio file",
    }
    assert {name for name, row in found.items() if row["fault"]} == reasons.keys()
    assert all(reason in found[name]["fault"] for name, reason in reasons.items())
    assert {name for name, row in found.items() if row["events"]} == {
        "1.wav",
        "2.wav",
        "3.wav",
        "whole.wav",
        "short.wav",
    }
    table = [line.split("\t") for line in (tmp_path / "out" / "faults.tsv").read_text().splitlines()]
    assert table[0] == ["path", "fault"] and len(table) == 7 and all(len(line) == 2 for line in table)


def test_with_the_option_scores_refused_names_do_not_affect_other_recordings(scan, recordings, tmp_path):
    (recordings / os.fsdecode(b"\xff.wav")).write_bytes((recordings / "1.wav").read_bytes())
    (recordings / "loop.wav").symlink_to("loop.wav")
    assert scan(recordings, "--scores") == 1
    found = {Path(row["path"]).name: row for row in rows(tmp_path)}
    assert {name for name, row in found.items() if row["fault"]} == {"\\udcff.wav", "loop.wav"}
    assert all((tmp_path / "out" / row["scores"]).exists() for row in found.values() if not row["fault"])


def test_the_first_50_faults_are_printed_and_all_are_in_the_table(scan, tmp_path, capsys):
    (tmp_path / "list").write_text("".join(f"/none/{number}.wav\n" for number in range(60)))
    assert scan("--list", tmp_path / "list") == 1
    lines = [line for line in capsys.readouterr().err.splitlines() if line.startswith("error: ")]
    assert len(lines) == 51 and "60 of 60 recordings have faults" in lines[-1]
    assert len((tmp_path / "out" / "faults.tsv").read_text().splitlines()) == 61


def test_scores_that_are_not_finite_are_a_fault(scan, recordings, tmp_path, monkeypatch):
    from recipe_mtlvae.inference.windows import JoinedScores

    monkeypatch.setattr(JoinedScores, "scores", lambda self, steps: np.full((steps, 2), np.nan))
    assert scan(recordings) == 1
    assert {row["fault"] for row in rows(tmp_path)} == {"gave scores that are not finite; is it damaged?"}


def test_a_recording_that_the_detector_fails_on_does_not_affect_the_others(scan, recordings, tmp_path, monkeypatch):
    whole = scanner.Scanner._found

    def found(self: scanner.Scanner, detection: scanner.Detection, name: str) -> dict:
        if detection.path.name == "2.wav":
            raise ValueError("a case that nobody thought of")
        return whole(self, detection, name)

    monkeypatch.setattr(scanner.Scanner, "_found", found)
    assert scan(recordings) == 1
    assert [bool(row["events"]) for row in rows(tmp_path)] == [True, False, True]
    assert rows(tmp_path)[1]["fault"] == "cannot be scanned (ValueError: a case that nobody thought of)"


def test_a_recording_alone_in_its_chunk_that_the_detector_fails_on_costs_only_itself(
    scan, recordings, tmp_path, monkeypatch
):
    monkeypatch.setattr(scanner.Scanner, "_found", lambda *_: 1 / 0)
    (tmp_path / "list").write_text(f"{recordings}/2.wav\n")
    assert scan("--list", tmp_path / "list") == 1
    (row,) = rows(tmp_path)
    assert row["fault"] == "cannot be scanned (ZeroDivisionError: division by zero)"


def test_an_error_that_silence_raises_too_is_not_recorded_as_the_fault_of_recordings(
    scan, recordings, tmp_path, monkeypatch
):
    from recipe_mtlvae.inference.windows import JoinedScores

    monkeypatch.setattr(JoinedScores, "scores", lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        scan(recordings)
    assert not (tmp_path / "out" / "parts").exists()


def test_a_full_disk_is_reported_in_one_line_and_leaves_nothing_half_written(
    scan, recordings, tmp_path, monkeypatch, capsys
):
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(parts.pq, "write_table", full)
    assert scan(recordings) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"error: {tmp_path}/out/parts/") and line.endswith(": No space left on device")
    assert part_files(tmp_path) == []


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--classes", "Cat"], "unknown class Cat"),
        (["--threshold", "2"], "threshold 2: expected 0 to 1"),
        (["--cluster", "127.0.0.1:1"], "--cluster: expected RAY_AUTH_MODE=token"),
    ],
)
def test_invalid_options_are_refused_in_one_line(scan, recordings, tmp_path, monkeypatch, capsys, arguments, said):
    monkeypatch.delenv("RAY_AUTH_MODE", raising=False)
    assert scan(recordings, *arguments) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert said in line and not (tmp_path / "out" / "parts").exists()


def test_a_worker_names_the_file_that_it_cannot_see(tmp_path, checkpoint):
    job = scanner.Job(checkpoint, tmp_path, {}, False)
    worker = ray_pool.Worker(job, [str(checkpoint), "/none/of/these"])
    assert worker.ready().endswith("cannot see /none/of/these")


def test_a_failed_merge_leaves_the_old_tables(tmp_path):
    (tmp_path / "events.parquet").write_text("old")
    with pytest.raises(RecipeError, match="was damaged"):
        parts.merge(tmp_path, cut([Entry("/0.wav", 1, 0)], ""))
    assert (tmp_path / "events.parquet").read_text() == "old" and not (tmp_path / "faults.tsv").exists()


@pytest.mark.parametrize("workers", ["0", "-1", "two"])
def test_an_invalid_number_of_workers_is_refused(workers, tmp_path, capsys):
    with pytest.raises(SystemExit):
        detect_archive.main(["--checkpoint", "none.ckpt", "--out", str(tmp_path / "out"), "--workers", workers, "x"])
    assert f"expected a number of at least 1, got '{workers}'" in capsys.readouterr().err
