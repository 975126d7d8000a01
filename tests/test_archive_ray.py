"""Archives with several workers give the same tables, whichever process ends. Minutes: `pytest -m slow_archive`."""

from __future__ import annotations

import os
import random
import secrets
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

pytest.importorskip("pyarrow", reason="pyarrow is not installed (the extra archive)")
pytest.importorskip("ray", reason="ray is not installed (the extra archive)")
import pyarrow.parquet as pq

from recipe_mtlvae.errors import RecipeError
from recipe_mtlvae.inference.archive import ray_cluster, ray_pool
from recipe_mtlvae.inference.archive.listing import Chunk, entries_of
from recipe_mtlvae.inference.archive.ray_pool import on_ray
from recipe_mtlvae.inference.archive.scanner import ChunkCounts, Job
from tests.children import child, python, wait_for
from tests.tiny import RATE

pytestmark = [pytest.mark.slow_archive, pytest.mark.timeout(300)]
TABLES = ("events.parquet", "recordings.parquet", "faults.tsv", "summary.html")
LEFT = 30.0  # s within which all processes must have ended
CLUSTER = f"""
import sys
from ray.cluster_utils import Cluster

node = {{"num_cpus": 1, "object_store_memory": {ray_cluster.STORE}}}
cluster = Cluster(initialize_head=True, head_node_args={{**node, "include_dashboard": False}})
second = cluster.add_node(**node)
print(cluster.address, flush=True)
for _ in sys.stdin:
    cluster.remove_node(second, allow_graceful=False)
    print("gone", flush=True)
cluster.shutdown()
"""
draw = random.Random(17)
KINDS = ("worker", "command", "node", "command", "worker", "node", "worker", "command", "node", "worker")
MOMENTS = [(kind, draw.uniform(0.0, 4.0)) for kind in KINDS]  # s after the first worker began


@pytest.fixture(scope="module")
def recordings(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """320 recordings of 15 s, which are ten chunks, and one that cannot be read."""
    folder = tmp_path_factory.mktemp("in")
    rng = np.random.default_rng(0)
    for number in range(8):
        soundfile.write(folder / f"{number}.wav", rng.uniform(-0.1, 0.1, 15 * RATE), RATE)
    for number in range(8, 320):
        os.link(folder / f"{number % 8}.wav", folder / f"{number}.wav")
    (folder / "empty.wav").touch()
    return folder


@pytest.fixture(scope="module")
def reference(checkpoint: Path, recordings: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """The tables of the loop without workers."""
    out = tmp_path_factory.mktemp("plain") / "out"
    run(checkpoint, recordings, out)
    return tables(out)


@dataclass(frozen=True)
class TwoNodes:
    """A cluster of two nodes with one core each, in a separate process."""

    process: subprocess.Popen
    address: str
    token: str

    def lose_one(self) -> None:
        self.process.stdin.write("\n")
        self.process.stdin.flush()
        assert self.process.stdout.readline() == "gone\n"


@pytest.fixture
def cluster() -> Iterator[TwoNodes]:
    token = secrets.token_hex(32)
    variables = {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": token, "RAY_USAGE_STATS_ENABLED": "0"}
    with child(sys.executable, "-c", CLUSTER, stdin=subprocess.PIPE, env=python(**variables)) as process:
        yield TwoNodes(process, process.stdout.readline().strip(), token)
        process.communicate(timeout=60)


def command(checkpoint: Path, recordings: Path, out: Path, *more: object) -> list[object]:
    options = ["--checkpoint", checkpoint, "--out", out, "--threshold", "0.1", *more, recordings]
    return [sys.executable, "-m", "recipe_mtlvae", "detect-archive", *options]


def run(checkpoint: Path, recordings: Path, out: Path, *more: object, token: str = "") -> str:
    """Run the command to its end and return its standard error. One recording is at fault."""
    variables = {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": token} if token else {}
    with child(*command(checkpoint, recordings, out, *more), env=python(**variables)) as process:
        said = process.communicate(timeout=240)[1]
        assert process.returncode == 1 and "1 of 321 recordings have faults" in said, said
    return said


def tables(out: Path) -> dict[str, bytes]:
    return {name: (out / name).read_bytes() for name in TABLES}


def parts(out: Path) -> dict[Path, int]:
    return {file: file.stat().st_mtime_ns for file in (out / "parts").glob("*.parquet")}


def below(pid: int) -> list[int]:
    """Return all descendants of a process."""
    parents = {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            parents[int(stat.parent.name)] = int(stat.read_text().rpartition(")")[2].split()[1])
        except OSError:  # it has ended
            continue
    found = [pid]
    for one in found:
        found += [other for other, parent in parents.items() if parent == one]
    return found[1:]


def proc_text(pid: int, file: str) -> str:
    """Return a file of /proc for a process, or "" once it has ended."""
    try:
        return Path(f"/proc/{pid}/{file}").read_text(errors="replace")
    except OSError:
        return ""


def alive(pids: list[int]) -> list[int]:
    return [pid for pid in pids if proc_text(pid, "stat").rpartition(")")[2].split()[:1] not in ([], ["Z"])]


def workers(pids: list[int]) -> list[int]:
    """Return the processes that work on a chunk."""
    return [pid for pid in pids if "ray::Worker.scan" in proc_text(pid, "cmdline")]


def at_work(process: Any, pids: Any, seconds: float) -> list[int]:
    """Wait until some seconds after the first worker began a chunk, and return the processes."""
    wait_for(lambda: workers(alive(pids())), process)
    time.sleep(seconds)
    return pids()


def test_one_worker_two_workers_and_two_nodes_give_the_tables_of_the_plain_loop(
    checkpoint, recordings, reference, cluster, tmp_path
):
    there = ["--cluster", cluster.address]
    for name, more in {"one": [*there, "--workers", 1], "nodes": there}.items():
        run(checkpoint, recordings, tmp_path / name, *more, token=cluster.token)
        assert tables(tmp_path / name) == reference, name
    run(checkpoint, recordings, tmp_path / "two", "--workers", 2)
    assert tables(tmp_path / "two") == reference


@pytest.mark.parametrize("seconds", [seconds for kind, seconds in MOMENTS if kind == "worker"])
def test_a_killed_worker_costs_nothing_but_time(checkpoint, recordings, reference, tmp_path, seconds):
    with child(*command(checkpoint, recordings, tmp_path / "out", "--workers", 2), env=python()) as process:
        started = at_work(process, lambda: below(process.pid), seconds)
        for pid in workers(alive(started))[:1]:
            os.kill(pid, signal.SIGKILL)
        process.communicate(timeout=240)
        ended(started)
    assert tables(tmp_path / "out") == reference


@pytest.mark.parametrize("seconds", [seconds for kind, seconds in MOMENTS if kind == "command"])
def test_a_killed_command_resumes_where_it_stopped(checkpoint, recordings, reference, tmp_path, seconds):
    with child(*command(checkpoint, recordings, tmp_path / "out", "--workers", 2), env=python()) as process:
        started = at_work(process, lambda: below(process.pid), seconds)
        process.kill()
        process.wait(LEFT)
        ended(started)
    before = parts(tmp_path / "out")
    run(checkpoint, recordings, tmp_path / "out", "--workers", 2)
    assert tables(tmp_path / "out") == reference
    assert before.items() <= parts(tmp_path / "out").items()
    assert len(pq.read_table(tmp_path / "out" / "recordings.parquet")) == 321


@pytest.mark.parametrize("seconds", [seconds for kind, seconds in MOMENTS if kind == "node"])
def test_a_lost_node_costs_nothing_but_time(checkpoint, recordings, reference, cluster, tmp_path, seconds):
    words = command(checkpoint, recordings, tmp_path / "out", "--cluster", cluster.address)
    with child(*words, env=python(RAY_AUTH_MODE="token", RAY_AUTH_TOKEN=cluster.token)) as process:
        at_work(process, lambda: below(cluster.process.pid), seconds)
        cluster.lose_one()
        process.communicate(timeout=240)
    assert tables(tmp_path / "out") == reference


def ended(pids: list[int]) -> None:
    end = time.monotonic() + LEFT
    while alive(pids):
        assert time.monotonic() < end, alive(pids)
        time.sleep(0.1)


@pytest.mark.parametrize("more", [[], ["--workers", 2]], ids=["plain", "ray"])
def test_sigterm_ends_the_command_within_10_s_and_the_same_command_resumes(
    checkpoint, recordings, reference, tmp_path, more
):
    out = tmp_path / "out"
    with child(*command(checkpoint, recordings, out, *more), env=python()) as process:
        wait_for(lambda: parts(out), process)
        started, begun = below(process.pid), time.monotonic()
        process.terminate()
        said = process.communicate(timeout=60)[1]
        assert time.monotonic() - begun < 10 and process.returncode == 1
        assert said.splitlines()[-1] == "error: interrupted; run the same command again to continue"
        ended(started)
    before = parts(out)
    run(checkpoint, recordings, out, *more)
    assert tables(out) == reference and before.items() <= parts(out).items()


# --- a recording that ends its worker


class Crashing(ray_pool.Worker):
    """A worker whose process ends at one recording, and which records how often it was asked for it."""

    def scan(self, chunk: Chunk, index: int | None) -> Any:
        chosen = chunk.entries if index is None else [chunk.entries[index]]
        if any(entry.path.endswith("/3.wav") for entry in chosen):
            with (self.scanner.job.out / "asked").open("a") as file:
                file.write("chunk\n" if index is None else "alone\n")
            os._exit(139)
        return super().scan(chunk, index)


@pytest.fixture
def some(recordings: Path, checkpoint: Path, tmp_path: Path) -> tuple[Job, list[Chunk]]:
    """A job and two chunks: five recordings, of which the fourth ends Crashing, and 35 others."""
    found, _ = entries_of([str(recordings / f"{number}.wav") for number in range(40)])
    (tmp_path / "out").mkdir()
    chunks = [Chunk(name, tuple(own)) for name, own in (("a" * 20, found[:5]), ("b" * 20, found[5:]))]
    return Job(checkpoint, tmp_path / "out", {"threshold": 0.1}, False), chunks


def test_a_recording_that_ends_its_worker_is_a_fault_and_its_neighbours_have_results(some, tmp_path):
    job, chunks = some
    done: list[ChunkCounts] = []
    on_ray(job, chunks, done.append, 2, worker=Crashing)
    rows = pq.read_table(tmp_path / "out" / "parts" / f"{'a' * 20}.parquet").to_pylist()
    assert [bool(row["events"]) for row in rows] == [True, True, True, False, True]
    assert rows[3]["fault"] == "ended its worker; is it damaged?"
    assert sorted((counts.recordings, counts.faults) for counts in done) == [(5, 1), (35, 0)]
    assert (tmp_path / "out" / "asked").read_text().split() == ["chunk", "chunk", "chunk", "alone"]


def test_a_worker_that_cannot_see_the_files_is_reported_in_one_line(some):
    job, chunks = some
    unseen = Job(job.checkpoint.with_name("none.ckpt"), job.out, job.options, False)
    with pytest.raises(RecipeError, match=r"cannot see .*none\.ckpt; every machine needs the same files"):
        on_ray(unseen, chunks, lambda counts: None, 2)
    assert not (job.out / "parts").exists()


class Starting(ray_pool.Worker):
    """A worker whose process ends while it starts."""

    def __init__(self, job: Job, needed: list[str]) -> None:
        os._exit(1)


def test_workers_that_end_while_they_start_end_the_command(some):
    job, chunks = some
    with pytest.raises(RecipeError, match="workers end while they start"):
        on_ray(job, chunks, lambda counts: None, 2, worker=Starting)


def test_a_cluster_that_does_not_answer_is_reported_in_one_line(checkpoint, recordings, tmp_path):
    code = "import sys; from recipe_mtlvae.inference.archive import ray_cluster; ray_cluster.ANSWER = 4.0\n"
    code += "from recipe_mtlvae.__main__ import main; sys.exit(main())"
    words = command(checkpoint, recordings, tmp_path / "out", "--cluster", "127.0.0.1:1")[3:]
    with child(
        sys.executable, "-c", code, *words, env=python(RAY_AUTH_MODE="token", RAY_AUTH_TOKEN="0" * 64)
    ) as process:
        said = process.communicate(timeout=100)[1]
    assert process.returncode == 1
    assert said == "error: --cluster 127.0.0.1:1: no answer in 4 s; check the address, and that ray runs\n"
    assert not (tmp_path / "out" / "parts").exists()
