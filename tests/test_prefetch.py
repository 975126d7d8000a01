"""Reading ahead in a thread, and the progress bar of detection."""

from __future__ import annotations

import io
import itertools
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from recipe_mtlvae.inference.prefetch import prefetched
from recipe_mtlvae.inference.progress import DetectionBar


def test_items_come_in_order():
    with prefetched((number for number in range(100)), 3) as items:
        assert list(items) == list(range(100))


def test_an_error_while_reading_is_raised_after_the_items_before_it():
    def failing() -> Iterator[int]:
        yield 1
        raise OSError("no disk")

    with prefetched(failing(), 3) as items:
        assert next(items) == 1
        with pytest.raises(OSError, match="no disk"):
            next(items)


def test_leaving_early_ends_the_thread_and_closes_the_generator():
    closed = []

    def endless() -> Iterator[int]:
        try:
            yield from itertools.count()
        finally:
            closed.append(threading.current_thread().name)

    with prefetched(endless(), 3) as items:
        assert next(items) == 0
    assert closed == ["prefetch_0"]
    assert "prefetch_0" not in [thread.name for thread in threading.enumerate()]


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def moved(stderr: io.StringIO, monkeypatch: pytest.MonkeyPatch, folder: Path) -> str:
    monkeypatch.setattr("sys.stderr", stderr)
    paths = [folder / "long.wav", folder / "short.wav"]
    for path, size in zip(paths, (3000, 1000), strict=True):
        path.write_bytes(bytes(size))
    with DetectionBar(paths) as bar:
        bar._bar.mininterval = 0.0
        bar.move(paths[0], 1800.0, 3600.0)
        bar.move(paths[0], 3600.0, 3600.0)
        bar.move(paths[1], 65.0, 1200.0)
    return stderr.getvalue()


def test_the_bar_shows_the_audio_time_done_and_the_speed(tmp_path, monkeypatch):
    """The first recording has 3000 of 4000 bytes: 75 % when it is done."""
    shown = moved(Terminal(), monkeypatch, tmp_path).split("\r")
    (done,) = (line for line in shown if "1:00:00 of audio" in line)
    assert done.lstrip().startswith("75%") and "times real time" in done
    assert any("1:01:05 of audio" in line for line in shown)


def test_no_bar_is_written_into_a_file(tmp_path, monkeypatch):
    assert moved(io.StringIO(), monkeypatch, tmp_path) == ""
