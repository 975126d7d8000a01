"""Benchmark `detect-archive`: the gain of a second worker, the cost of the engine, and how time and memory grow.

    python -m tests.benchmarks archive [--quick]

Each figure comes from a separate process. The growing archives consist of made-up recordings with made-up scores, so
nothing is decoded. Start-up is the time from the start of the process to the start of its first chunk.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np

from recipe_mtlvae.inference.archive import ray_pool, scanner
from recipe_mtlvae.inference.archive.listing import CHUNK, Chunk, cut, entries_of, in_folders
from recipe_mtlvae.inference.archive.scanner import ChunkCounts, Job
from recipe_mtlvae.inference.detector import Detection, Detector
from recipe_mtlvae.labels import DetectedEvent
from tests.benchmarks import detection
from tests.benchmarks.timing import Goal, Line, interleaved

SECONDS = 10.0  # length of a recording
LONG = 600.0  # s of work over which the start-up is spread
IDLE = 1000  # chunks without any work


@dataclass(frozen=True)
class Measured:
    start: float  # s
    work: float  # s
    audio: float  # s
    cpu: float = 0.0  # s, processor time of the workers after their start-up


class Noted(ray_pool.Worker):
    """A worker that records when it begins its first chunk."""

    def scan(self, chunk: Chunk, index: int | None) -> Any:
        with _noted(self.scanner.job):
            return super().scan(chunk, index)


class Idle(Noted):
    """A worker that writes the part of each chunk without detecting anything."""

    def scan(self, chunk: Chunk, index: int | None) -> ChunkCounts:
        with _noted(self.scanner.job):
            rows = [scanner.empty_row(entry, None) for entry in chunk.entries]
            return scanner.finish(self.scanner.job.out, chunk, rows)


@contextlib.contextmanager
def _noted(job: Job) -> Iterator[None]:
    """Record when the process began its first chunk, and the processor time that it has used since."""
    file = job.out / f"begun-{os.getpid()}"
    if not file.exists():
        file.write_text(f"{time.time()} {time.process_time()}")
    yield
    used = time.process_time() - float(file.read_text().split()[1])
    (job.out / f"used-{os.getpid()}").write_text(str(used))


def lines(quick: bool) -> Iterable[Line]:
    few, most = 1000, 100_000
    clips, rounds = (320, 1) if quick else (3200, 3)
    with tempfile.TemporaryDirectory(prefix="archive-") as name:
        root = Path(name)
        checkpoint = detection.random_checkpoint(root / "random.ckpt")
        folder = _linked(root / "clips", clips)
        found: dict[str, list[Measured]] = {"one": [], "two": [], "detect": []}
        whole = clips * SECONDS

        def ours(kind: str) -> None:
            found[kind].append(_child(kind, folder, checkpoint))

        def theirs() -> None:
            taken = detection.measure(checkpoint, folder, Path(tempfile.mkdtemp(dir=root)) / "out")
            found["detect"].append(Measured(taken.first, taken.seconds - taken.first, whole))

        interleaved({"one": lambda: ours("one"), "two": lambda: ours("two"), "detect": theirs}, rounds)
        kept = {kind: values[1:] for kind, values in found.items()}  # the first round is not counted
        speed = {kind: tuple(run.audio / run.work for run in values) for kind, values in kept.items()}
        start = {kind: sorted(run.start for run in values)[rounds // 2] for kind, values in kept.items()}
        cpu = {kind: sorted(run.cpu for run in kept[kind])[rounds // 2] for kind in ("one", "two")}
        yield Line(
            "archive, two workers on two cores against one on one",
            "s of audio/s",
            speed["two"],
            speed["one"],
            goals=(Goal("ratio", 1.8),),
            note=f"start-up {start['two']:.1f} and {start['one']:.1f} s are left out; by the workers' processor time, "
            f"as on idle cores, {2 * cpu['one'] / cpu['two']:.2f} x; {_load()}",
        )
        yield Line(
            f"archive, two workers against detect on the same cores, {LONG / 60:.0f} minutes of work with start-up",
            "s of audio/s",
            *(
                tuple(value * LONG / (LONG + run.start) for value, run in zip(speed[kind], kept[kind], strict=True))
                for kind in ("two", "detect")
            ),
            goals=(Goal("ratio", 0.95),),
            note=f"from runs of {whole / 3600:.1f} h of audio; start-up {start['two']:.1f} and {start['detect']:.1f} s",
        )
        chunk = 2 * CHUNK * SECONDS / sorted(speed["two"])[rounds // 2]
        idle = _child("idle", _linked(root / "idle", IDLE), checkpoint)
        yield _limited("archive, the engine's cost of a chunk, two workers", 2 * idle.work / IDLE, 0.02 * chunk, "s")
        killed = [_child("killed", folder, checkpoint).work for _ in range(rounds)]
        undisturbed = sorted(run.work for run in kept["two"])[rounds // 2]
        title = "archive, longer where a worker is killed once"
        yield _limited(title, sorted(killed)[rounds // 2] - undisturbed, 2 * chunk + start["two"], "s")
        runs = {number: _made_up(root, checkpoint, number) for number in (few, most)}
        title = f"archive of {most:,} recordings, made-up scores"
        yield _limited(f"{title}, peak memory", runs[most][0].megabytes, 1.5 * runs[few][0].megabytes, "MB")
        real = most * SECONDS / sorted(speed["two"])[rounds // 2]
        first, again = (run.seconds for run in runs[most])
        yield _limited(f"{title}, nothing to do, against its own first run", again, first / 50, "s")
        yield _limited(f"{title}, nothing to do, against one that decodes and detects", again, real / 50, "s")


def _limited(name: str, value: float, limit: float, unit: str) -> Line:
    note = f"limit {limit:.3g} {unit}; {_load()}"
    return Line(name, unit, (value,), goals=(Goal("value", limit),), less_is_better=True, note=note)


def _load() -> str:
    return f"load {os.getloadavg()[0]:.1f}"


def _linked(folder: Path, count: int) -> Path:
    """Make `count` recordings of noise: eight files, and hard links to them."""
    folder.mkdir()
    for number in range(min(count, 8)):
        detection.write_noise(folder / f"{number:06d}.wav", SECONDS, 16000)
    for number in range(8, count):
        os.link(folder / f"{number % 8:06d}.wav", folder / f"{number:06d}.wav")
    return folder


def _child(kind: str, folder: Path, checkpoint: Path) -> Measured:
    with tempfile.TemporaryDirectory(dir=folder.parent) as out:
        command = [sys.executable, "-m", "tests.benchmarks.archive", kind, folder, checkpoint, out]
        result = subprocess.run([*map(str, command)], stdout=subprocess.PIPE, text=True, check=True, timeout=3600)
    return Measured(**json.loads(result.stdout.splitlines()[-1]))


def measure(kind: str, folder: Path, checkpoint: Path, out: Path) -> Measured:
    """Measure one kind of run in this process. For "idle", each chunk is a single recording."""
    begun = time.time()
    entries, _ = entries_of(in_folders([folder]))
    chunks = [Chunk(f"{i:020d}", (entry,)) for i, entry in enumerate(entries)] if kind == "idle" else cut(entries, "")
    job, counted = Job(checkpoint, out, {}, False), []
    if kind == "one":
        os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
        with mock.patch.object(scanner.Scanner, "scan", _noting(scanner.Scanner.scan)):
            scanner.plain_loop(job, chunks, counted.append)
    else:
        if kind == "killed":
            threading.Thread(target=_kill_one, args=(out, len(chunks) // 3), daemon=True).start()
        ray_pool.on_ray(job, chunks, counted.append, 2, worker=Idle if kind == "idle" else Noted)
    ended = max(file.stat().st_mtime for file in (out / "parts").iterdir())
    first = min(float(file.read_text().split()[0]) for file in out.glob("begun-*"))
    used = sum(float(file.read_text()) for file in out.glob("used-*"))
    return Measured(first - begun, ended - first, sum(counts.seconds for counts in counted), used)


def _noting(scan: Any) -> Any:
    def noted(self: scanner.Scanner, chunk: Chunk) -> ChunkCounts:
        with _noted(self.job):
            return scan(self, chunk)

    return noted


def _kill_one(out: Path, parts: int) -> None:
    while len(list((out / "parts").glob("*.parquet"))) < parts:
        time.sleep(0.05)
    worker = int(next(out.glob("begun-*")).name.partition("-")[2])
    os.kill(worker, signal.SIGKILL)


# --- made-up scores


def _made_up(root: Path, checkpoint: Path, number: int) -> tuple[detection.Measured, detection.Measured]:
    """Run the whole command twice; the second run has nothing left to do."""
    folder = _linked(root / f"made{number}", number)
    return tuple(_command("command", folder, checkpoint, root / f"out{number}") for _ in range(2))


def _command(kind: str, folder: Path, checkpoint: Path, out: Path) -> detection.Measured:
    started = time.perf_counter()
    command = [sys.executable, "-m", "tests.benchmarks.archive", kind, folder, checkpoint, out]
    result = subprocess.run([*map(str, command)], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, check=True)
    seconds = time.perf_counter() - started
    return detection.Measured(seconds, seconds, 0.0, float(result.stdout))


class MadeUp(Detector):
    """A detector that returns random scores, the same four in turn, with zero to four events each."""

    def detect_all(self, paths: Iterable[Path], *_: Any, **__: Any) -> Iterator[Detection]:
        rng = np.random.default_rng(0)
        scores = [rng.uniform(0, 0.4, (156, len(self.classes))) for _ in range(4)]
        for number, path in enumerate(paths):
            events = [DetectedEvent(i, i + 1.5, self.classes[i], 0.5 + i / 10) for i in range(number % 5)]
            own = scores[number % 4]
            yield Detection(path, SECONDS, self.classes, self.grid.step_seconds, own, own.max(axis=0), events)


def main() -> None:
    parser = argparse.ArgumentParser(description="One figure, in this process; all: python -m tests.benchmarks archive")
    parser.add_argument("kind", choices=("one", "two", "idle", "killed", "command"))
    parser.add_argument("paths", type=Path, nargs=3, metavar="PATH", help="folder, checkpoint, out")
    options = parser.parse_args()
    folder, checkpoint, out = options.paths
    if options.kind == "command":
        from recipe_mtlvae.commands.detect_archive import main as command

        with mock.patch.object(scanner, "Detector", MadeUp):
            command(["--checkpoint", str(checkpoint), "--out", str(out), str(folder)])
        # The peak of this process alone; the figure that wait4 gives a parent includes the parent's own memory
        print(int(Path("/proc/self/status").read_text().partition("VmHWM:")[2].split()[0]) / 1024)
    else:
        print(json.dumps(measure(options.kind, folder, checkpoint, out).__dict__))


if __name__ == "__main__":
    main()
