"""Detection in an archive on a pool of Ray actors, on one machine or a cluster. Only paths are sent to them.

Plain actors are used instead of Ray Data, which never replaces an actor that has ended. If a node is lost, an actor
that Ray Data restarts waits forever for a free place, together with its work.
"""

from __future__ import annotations

import os
import socket
import time
from collections import Counter, deque
from collections.abc import Callable, Sequence
from typing import Any

from recipe_mtlvae.errors import RecipeError, fail
from recipe_mtlvae.inference.archive.listing import Chunk
from recipe_mtlvae.inference.archive.parts import PartRow
from recipe_mtlvae.inference.archive.ray_cluster import connected
from recipe_mtlvae.inference.archive.scanner import ChunkCounts, Job, Scanner, empty_row, finish

TRIES = 3  # of a chunk whose worker ends; after them, its recordings are tried one by one
START = 300.0  # s in which the first worker must start
# As in run.sh; each worker uses one thread
ENVIRONMENT = {"OMP_NUM_THREADS": "1", "OMP_WAIT_POLICY": "PASSIVE"}
ENVIRONMENT |= {"MALLOC_MMAP_THRESHOLD_": "33554432", "MALLOC_TRIM_THRESHOLD_": "4294967296"}

Task = tuple[Chunk, int | None]  # a chunk, and the index of one recording in it or None for all of them


class Worker:
    """A Ray actor that loads the checkpoint once. Problems of the disk or the job are returned as text."""

    def __init__(self, job: Job, needed: Sequence[str]) -> None:
        unseen = next((path for path in needed if not os.path.exists(path)), None)
        self.problem = unseen and f"a worker on {socket.gethostname()} cannot see {unseen}"
        self.scanner = None if unseen else Scanner(job)

    def ready(self) -> str | None:
        return self.problem

    def scan(self, chunk: Chunk, index: int | None) -> ChunkCounts | PartRow | str:
        try:
            if index is None:
                return self.scanner.scan(chunk)
            return self.scanner.rows(chunk, [chunk.entries[index]])[0]
        except OSError as error:
            return f"{error.filename or chunk.name}: {error.strerror or error}"
        except RecipeError as error:
            return str(error)


def on_ray(
    job: Job,
    chunks: Sequence[Chunk],
    done: Callable[[ChunkCounts], None],
    workers: int | None,
    address: str | None = None,
    worker: type = Worker,
) -> None:
    """Process all chunks by `workers` actors, on this machine or on the cluster at `address`.

    workers: None: as many as there are GPUs, or cores if there is no GPU. Raises RecipeError if no worker can work. A
    recording that ends its worker is recorded as a fault.
    """
    with connected(address, workers) as ray:
        there = ray.cluster_resources()
        bounded = {"max_restarts": 0, "max_task_retries": 0, "runtime_env": {"env_vars": ENVIRONMENT}}
        actors = ray.remote(worker).options(num_cpus=1, num_gpus=1 if there.get("GPU") else 0, **bounded)
        size = workers or int(there.get("GPU") or there.get("CPU", 1))
        present = next((entry.path for chunk in chunks for entry in chunk.entries if entry.size >= 0), None)
        needed = [str(path) for path in (job.out, job.checkpoint, present) if path]
        _Pool(ray, lambda: actors.remote(job, needed), job, chunks, done).work(size)


class _Pool:
    def __init__(
        self, ray: Any, new: Callable[[], Any], job: Job, chunks: Sequence[Chunk], done: Callable[[ChunkCounts], None]
    ) -> None:
        self.ray, self.new, self.job, self.done = ray, new, job, done
        self.waiting: deque[Task] = deque((chunk, None) for chunk in chunks)
        self.left = len(chunks)
        self.tries: Counter[str] = Counter()
        self.rows: dict[str, dict[int, PartRow]] = {}  # by chunk, of those whose recordings are tried one by one
        self.running: dict[Any, tuple[Any, Task | None]] = {}  # by awaited result; task None: the start
        self.idle: list[Any] = []
        self.unstarted = 0  # actors in a row that ended before they could work

    def work(self, size: int) -> None:
        for _ in range(min(size, self.left)):
            self._start()
        begun = time.monotonic()
        while self.left:
            ready, _ = self.ray.wait(list(self.running), timeout=1.0)
            for ref in ready:
                self._take(ref, *self.running.pop(ref))
            while self.idle and self.waiting:
                actor, task = self.idle.pop(), self.waiting.popleft()
                self.running[actor.scan.remote(*task)] = actor, task
            if begun and (ready or time.monotonic() - begun > START):
                if not ready:
                    raise fail(f"Ray gave no worker in {START:.0f} s", "are its cores or GPUs taken?")
                begun = 0.0

    def _start(self) -> None:
        actor = self.new()
        self.running[actor.ready.remote()] = actor, None

    def _take(self, ref: Any, actor: Any, task: Task | None) -> None:
        try:
            result = self.ray.get(ref)
        except self.ray.exceptions.RayTaskError:  # an error in our code
            raise
        except self.ray.exceptions.RayError as error:  # the actor's process or node has ended
            self.ray.kill(actor)
            self._lost(task, error)
            return self._start()
        if isinstance(result, str):
            raise fail(result, "every machine needs the same files, as on a shared disk" if task is None else "")
        self.unstarted = 0
        self.idle.append(actor)
        if task is not None:
            self._finished(task, result)

    def _finished(self, task: Task, result: ChunkCounts | PartRow) -> None:
        chunk, index = task
        if index is not None:
            rows = self.rows[chunk.name]
            rows[index] = result
            if len(rows) < len(chunk.entries):
                return
            result = finish(self.job.out, chunk, [rows[i] for i in range(len(rows))])
        self.left -= 1
        self.done(result)

    def _lost(self, task: Task | None, error: Exception) -> None:
        if task is None:
            self.unstarted += 1
            if self.unstarted > TRIES:
                raise fail(f"workers end while they start: {str(error).splitlines()[0]}", "see Ray's logs")
            return
        chunk, index = task
        if index is not None:
            return self._finished(task, empty_row(chunk.entries[index], "ended its worker; is it damaged?"))
        self.tries[chunk.name] += 1
        if self.tries[chunk.name] < TRIES:
            self.waiting.appendleft(task)
        else:
            self.rows[chunk.name] = {}
            self.waiting.extendleft((chunk, i) for i in reversed(range(len(chunk.entries))))
