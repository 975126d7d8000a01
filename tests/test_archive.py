"""`python -m recipe_mtlvae detect-archive`: one worker, its chunks, tables and faults. Several: test_archive_ray.py."""

from __future__ import annotations

import errno
import json
import os
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import soundfile

pa = pytest.importorskip("pyarrow", reason="pyarrow is not installed (the extra archive)")
import pyarrow.parquet as pq  # noqa: E402

from recipe_mtlvae import __main__ as command_line  # noqa: E402
from recipe_mtlvae.commands import detect_archive  # noqa: E402
from recipe_mtlvae.errors import RecipeError  # noqa: E402
from recipe_mtlvae.inference.archive import listing, parts, ray_pool, scanner  # noqa: E402
from recipe_mtlvae.inference.archive.listing import Entry, cut, entries_of, in_folders, read_list  # noqa: E402
from recipe_mtlvae.inference.archive.parts import Timeline, Totals  # noqa: E402
from recipe_mtlvae.report.archive_page import write_archive_page  # noqa: E402
from recipe_mtlvae.scoring.scores import read_scores  # noqa: E402
from tests.tiny import RATE, save_tiny_checkpoint  # noqa: E402


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_tiny_checkpoint(tmp_path_factory.mktemp("run") / "best.ckpt")


@pytest.fixture
def scan(checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., int]:
    """Runs the command into tmp_path / "out"; every class is above the threshold everywhere. Returns the exit code."""

    def run(*arguments: object, checkpoint: Path = checkpoint) -> int:
        options = ["--checkpoint", checkpoint, "--out", tmp_path / "out", "--threshold", "0.1", *arguments]
        monkeypatch.setattr(sys, "argv", ["recipe_mtlvae", "detect-archive", *map(str, options)])
        return command_line.main()

    return run


@pytest.fixture
def recordings(tmp_path: Path) -> Path:
    """Three recordings of 1, 2 and 3 s."""
    for number in (1, 2, 3):
        recording(tmp_path / "in" / f"{number}.wav", number)
    return tmp_path / "in"


@pytest.fixture
def single(monkeypatch: pytest.MonkeyPatch) -> None:
    """Chunks of one recording."""
    monkeypatch.setattr(listing, "CHUNK", 1)


def recording(path: Path, seconds: float = 2.0) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, np.random.default_rng(0).uniform(-0.1, 0.1, round(seconds * RATE)), RATE)
    return path


def rows(tmp_path: Path, table: str = "recordings") -> list[dict]:
    return pq.read_table(tmp_path / "out" / f"{table}.parquet").to_pylist()


def part_files(tmp_path: Path) -> list[Path]:
    return sorted((tmp_path / "out" / "parts").iterdir())


# --- the list


def test_a_list_is_text_csv_or_parquet(tmp_path):
    (tmp_path / "a.txt").write_text("x.wav\n\nd/y, z.wav\n")
    (tmp_path / "a.csv").write_text('site,path\n1,x.wav\n2,"d/y, z.wav"\n')
    pq.write_table(pa.table({"path": ["x.wav", "d/y, z.wav"], "site": [1, 2]}), tmp_path / "a.parquet")
    for name in ("a.txt", "a.csv", "a.parquet"):
        assert read_list(tmp_path / name) == ["x.wav", "d/y, z.wav"]


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("a.txt", b"", "holds no path"),
        ("a.txt", b"\n \n", "holds no path"),
        ("a.txt", b"\xff\xfe\x00", "expected text in UTF-8"),
        ("a.txt", b"RIFF\0\0", "expected text in UTF-8"),
        ("a.csv", b"file\nx.wav\n", "expected a table with a column path, got file"),
        ("a.csv", b'path\n"x.wav\n', "is no CSV file"),
        ("a.parquet", b"PAR1", "is no Parquet file"),
    ],
)
def test_what_is_no_list_is_one_line(scan, tmp_path, capsys, name, content, said):
    (tmp_path / name).write_bytes(content)
    assert scan("--list", tmp_path / name) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert said in line and str(tmp_path / name) in line and not (tmp_path / "out").exists()


def test_a_list_that_is_not_there_is_one_line(scan, tmp_path, capsys):
    assert scan("--list", tmp_path / "none.txt") == 1
    assert (
        capsys.readouterr().err
        == f"error: {tmp_path}/none.txt: --list: cannot be read (No such file or directory); check its name\n"
    )


def test_folders_are_searched_in_order_with_what_is_not_read_and_without_hidden_files(tmp_path):
    for name in ("b/z.wav", "b/a.m4a", "a.flac", "._a.wav", "notes.txt"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    found = [str(Path(path).relative_to(tmp_path)) for path in in_folders([tmp_path])]
    assert found == ["a.flac", "b/a.m4a", "b/z.wav"]


def test_a_recording_that_is_named_twice_is_taken_once_and_said(scan, recordings, tmp_path, capsys):
    (tmp_path / "link").symlink_to(recordings)
    (recordings / "other.wav").symlink_to("2.wav")
    (tmp_path / "list").write_text(f"{recordings}/2.wav\n{tmp_path}/link/2.wav\n{recordings}/other.wav\n")
    assert scan("--list", tmp_path / "list") == 0
    assert "warning: 2 paths named again: each recording is taken once" in capsys.readouterr().err
    assert [row["path"] for row in rows(tmp_path)] == [f"{recordings}/2.wav"]


def test_paths_are_relative_to_the_caller_s_folder(recordings, monkeypatch):
    monkeypatch.chdir(recordings)
    (entry,), again = entries_of(["1.wav"])
    assert (entry.path, entry.size, again) == (str(recordings / "1.wav"), 2 * RATE + 44, 0)


# --- chunks


def entries(*sizes: int) -> list[Entry]:
    return [Entry(f"/{number}.wav", size, 0) for number, size in enumerate(sizes)]


def test_chunks_hold_32_recordings_and_a_long_one_is_alone(monkeypatch):
    monkeypatch.setattr(listing, "_seconds", lambda path: 1801.0)
    large = listing.PROBED + 1
    chunks = cut(entries(*[1] * 40, large, *[1] * 3), "")
    assert [len(chunk.entries) for chunk in chunks] == [32, 8, 1, 3]
    assert [entry for chunk in chunks for entry in chunk.entries] == entries(*[1] * 40, large, *[1] * 3)


def test_half_an_hour_is_read_from_the_header(tmp_path):
    soundfile.write(tmp_path / "0.wav", np.zeros(1801 * 1000, np.int16), 1000)
    soundfile.write(tmp_path / "1.wav", np.zeros(1799 * 1000, np.int16), 1000)
    found, _ = entries_of([str(tmp_path / "1.wav"), str(tmp_path / "0.wav"), str(tmp_path / "2.wav")])
    assert [len(chunk.entries) for chunk in cut(found, "")] == [1, 1, 1]


def test_a_chunk_s_name_hangs_on_paths_sizes_times_and_options_alone():
    (name,) = (chunk.name for chunk in cut([Entry("/a.wav", 1, 2)], "key"))
    assert name == cut([Entry("/a.wav", 1, 2)], "key")[0].name
    others = [Entry("/b.wav", 1, 2), Entry("/a.wav", 2, 2), Entry("/a.wav", 1, 3)]
    assert name not in {cut([entry], "key")[0].name for entry in others} | {
        cut([Entry("/a.wav", 1, 2)], "other")[0].name
    }


# --- what is written


def test_tables_hold_every_recording_in_the_list_s_order(scan, recordings, tmp_path):
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


def test_score_tables_are_kept_where_they_are_asked_for(scan, recordings, tmp_path):
    assert scan(recordings, "--scores") == 0
    (first, *_) = rows(tmp_path)
    assert first["scores"] == f"scores/{part_files(tmp_path)[0].stem}/1.tsv"
    scores = read_scores((tmp_path / "out" / first["scores"]).parent)
    assert {name: clip.scores.shape for name, clip in scores.clips.items()}["1"] == (16, 2)


# --- going on


def test_an_interrupted_archive_goes_on_with_the_chunks_that_have_no_part(
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


def test_with_nothing_to_do_no_checkpoint_is_opened_and_faults_are_said_again(
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


def test_a_recording_that_has_changed_is_scanned_again_and_its_old_part_goes(scan, recordings, tmp_path, single):
    assert scan(recordings) == 0
    before = set(part_files(tmp_path))
    recording(recordings / "2.wav", 1.5)
    (tmp_path / "out" / "parts" / ".x.parquet.1234").touch()  # left by a kill
    assert scan(recordings) == 0
    assert [row["duration"] for row in rows(tmp_path)] == [1.0, 1.5, 3.0]
    assert len(part_files(tmp_path)) == 3 and len(before & set(part_files(tmp_path))) == 2


def test_results_of_another_checkpoint_or_command_are_refused(scan, recordings, tmp_path, capsys):
    assert scan(recordings) == 0
    other = save_tiny_checkpoint(tmp_path / "other.ckpt", ("Hum", "Beep"))
    assert scan(recordings, checkpoint=other) == 1
    assert f"error: {tmp_path}/out: holds results of another checkpoint; give another --out" in capsys.readouterr().err
    (tmp_path / "out" / "archive.json").unlink()
    assert scan(recordings) == 1
    assert "holds results of another command" in capsys.readouterr().err


def test_a_damaged_part_is_made_anew(scan, recordings, tmp_path, capsys):
    assert scan(recordings) == 0
    state = json.loads((tmp_path / "out" / "archive.json").read_text())
    (tmp_path / "out" / "archive.json").write_text(json.dumps({**state, "tables": None}))
    part_files(tmp_path)[0].write_bytes(b"PAR1")
    assert scan(recordings) == 1
    assert "run the same command again: it is made anew" in capsys.readouterr().err
    assert scan(recordings) == 0


# --- bad input


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


def test_50_faults_are_shown_and_all_are_in_the_table(scan, tmp_path, capsys):
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


def test_a_recording_that_the_detector_fails_on_costs_only_itself(scan, recordings, tmp_path, monkeypatch):
    whole = scanner.Scanner._found

    def found(self: scanner.Scanner, detection: scanner.Detection, name: str) -> dict:
        if detection.path.name == "2.wav":
            raise ValueError("a case that nobody thought of")
        return whole(self, detection, name)

    monkeypatch.setattr(scanner.Scanner, "_found", found)
    assert scan(recordings) == 1
    assert [bool(row["events"]) for row in rows(tmp_path)] == [True, False, True]
    assert rows(tmp_path)[1]["fault"] == "cannot be scanned (ValueError: a case that nobody thought of)"


def test_what_fails_for_every_recording_is_no_fault_of_theirs(scan, recordings, tmp_path, monkeypatch):
    monkeypatch.setattr(scanner.Scanner, "_found", lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        scan(recordings)
    assert not (tmp_path / "out" / "parts").exists()


def test_a_full_disk_is_one_line_and_leaves_nothing_half_written(scan, recordings, tmp_path, monkeypatch, capsys):
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
def test_options_that_do_not_fit_are_one_line(scan, recordings, tmp_path, monkeypatch, capsys, arguments, said):
    monkeypatch.delenv("RAY_AUTH_MODE", raising=False)
    assert scan(recordings, *arguments) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert said in line and not (tmp_path / "out" / "parts").exists()


def test_a_worker_that_cannot_see_the_files_says_so(tmp_path, checkpoint):
    job = scanner.Job(checkpoint, tmp_path, {}, False)
    worker = ray_pool.Worker(job, [str(checkpoint), "/none/of/these"])
    assert worker.ready().endswith("cannot see /none/of/these")


# --- the page


def test_events_over_time_fold_into_wider_bins():
    timeline = Timeline()
    for seconds in (0.0, 59.0, 61.0, 200 * 60.0):
        timeline.add("Dog", seconds)
    assert timeline.width == 120.0
    assert (timeline.counts["Dog"][0], timeline.counts["Dog"][100], sum(timeline.counts["Dog"])) == (3, 1, 4)


def test_the_page_counts_events_and_faults_and_escapes_what_is_not_ours(tmp_path):
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
    assert "No event." in (tmp_path / "page.html").read_text()


def test_a_table_that_cannot_be_merged_leaves_the_old_ones(tmp_path):
    (tmp_path / "events.parquet").write_text("old")
    with pytest.raises(RecipeError, match="was damaged"):
        parts.merge(tmp_path, cut(entries(1), ""))
    assert (tmp_path / "events.parquet").read_text() == "old" and not (tmp_path / "faults.tsv").exists()


@pytest.mark.parametrize("workers", ["0", "-1", "two"])
def test_a_number_of_workers_that_is_none_is_told(workers, tmp_path, capsys):
    with pytest.raises(SystemExit):
        detect_archive.main(["--checkpoint", "none.ckpt", "--out", str(tmp_path / "out"), "--workers", workers, "x"])
    assert f"expected a number of at least 1, got '{workers}'" in capsys.readouterr().err
