"""The store of one input: the values of every clip of a split, computed once and read through memory maps.

Besides its parts (store_parts.py), a store holds `index.json`, which is written last. It lists the clips in order, and
the part and row of each. When an extraction was killed, or the split has got more clips, the next run computes only the
clips that no part holds. Several processes, also on different machines, each write the parts of their own share. The
last of them, or any later call, writes the index.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from recipe_mtlvae.corpus.metadata import Clip
from recipe_mtlvae.errors import Fault, fail
from recipe_mtlvae.files import content_hash, file_stamp, read_json, write_json
from recipe_mtlvae.inputs import store_parts
from recipe_mtlvae.inputs.registry import Input
from recipe_mtlvae.shards import ALL, Shard

INDEX = "index.json"


@dataclass(frozen=True)
class StoreJob:
    """A store to build: its clips, in the order of its rows, and its folder."""

    clips: Sequence[Clip]
    folder: Path
    skipped: Sequence[str] = ()  # names of the split's recordings that are left out on purpose


@dataclass(frozen=True)
class StoreReport:
    """The result of building one store."""

    clips: int  # in the store; 0: there is no store
    faults: tuple[Fault, ...]  # of the clips that could not be read; if there are any, there is no store
    waiting: int = 0  # clips that other shares have not computed yet; until then there is no store


def build_stores(
    jobs: Sequence[StoreJob],
    source: Input,
    workers: int | None = None,
    shard: Shard = ALL,
) -> list[StoreReport]:
    """Bring the stores of one input up to date, with one pool of processes. Return one report per job.

    workers: number of processes; None: one per core. shard: the share of the clips that this call reads. Raises OSError
    with the name of the file if the disk is full or not writable.
    """
    shape = source.shape
    plans = [_plan(job, shape, shard, first) for job, first in zip(jobs, _firsts(jobs, shape), strict=True)]
    if any(len(plan.mine) for plan in plans):
        from recipe_mtlvae.inputs.extraction import PartTask, extract_parts  # imports torch: only if needed

        tasks = [PartTask(plan.job.folder, *chunk) for plan in plans for chunk in _chunks(plan, shape)]
        by_folder = {plan.job.folder: plan for plan in plans}
        for result in extract_parts(tasks, source, workers):
            by_folder[result.folder].add_part(result.number, result.rows)
            by_folder[result.folder].bad.update(result.bad)
    return [_finish(plan, shape) for plan in plans]


def _firsts(jobs: Sequence[StoreJob], shape: tuple[int, int]) -> Iterator[int]:
    """Yield for each job the number of parts of all jobs before it, so that the shares are even over all jobs."""
    size = store_parts.clips_per_part(shape)
    return itertools.accumulate((-(-len(job.clips) // size) for job in jobs[:-1]), initial=0)


@dataclass
class _Plan:
    """What one store has and what it lacks.

    The clips are described by arrays in their order, not by objects, so that a million clips fit in memory.
    """

    job: StoreJob
    sizes: np.ndarray  # bytes of each recording on disk now; -1: missing
    mtimes: np.ndarray  # ns
    key: str  # hash of the names, sizes and times of all recordings
    shard: Shard  # the share of this process; its index is shifted by the number of parts of the jobs before
    index: dict[str, Any] | None = None  # the index on disk, if it is up to date
    used: set[int] = field(default_factory=set)  # numbers of the parts that are on disk
    mine: np.ndarray = field(default_factory=lambda: np.zeros(0, int))  # clips that this process has to read
    bad: dict[str, Fault] = field(default_factory=dict)  # by clip name

    def __post_init__(self) -> None:
        clips = self.job.clips
        self.order = {clip.name: place for place, clip in enumerate(clips)}
        self.part = np.full(len(clips), -1)  # -1: in no part
        self.position = np.zeros(len(clips), int)  # row in the part
        self.durations = np.zeros(len(clips))  # s

    def add_part(self, number: int, rows: Sequence[store_parts.Row]) -> None:
        """Record where the clips of a part are, except those whose recordings have changed since."""
        for position, row in enumerate(rows):
            place = self.order.get(row.name)
            if place is not None and (self.sizes[place], self.mtimes[place]) == (row.size, row.mtime_ns):
                self.part[place], self.position[place], self.durations[place] = number, position, row.duration

    def read_parts(self, shape: tuple[int, int]) -> None:
        """Record the clips of all parts on disk."""
        for number, rows in store_parts.known_parts(self.job.folder, shape):
            self.used.add(number)
            self.add_part(number, rows)


def _plan(job: StoreJob, shape: tuple[int, int], shard: Shard, first: int) -> _Plan:
    sizes, mtimes = np.array([file_stamp(clip.path) for clip in job.clips]).reshape(-1, 2).T
    names = [clip.name for clip in job.clips]
    key = content_hash(list(zip(names, sizes.tolist(), mtimes.tolist(), strict=True)))
    plan = _Plan(job, sizes, mtimes, key, Shard((shard.index - first) % shard.count, shard.count))
    index = _read_index(job.folder)
    if index and index["key"] == key and index["skipped"] == list(job.skipped):
        plan.index = index
        return plan
    _clear(job.folder, plan.shard)
    plan.read_parts(shape)
    missing = np.flatnonzero(plan.part < 0)
    plan.mine = missing[missing // store_parts.clips_per_part(shape) % shard.count == plan.shard.index]
    return plan


def _clear(folder: Path, shard: Shard) -> None:
    """Delete files that a killed run left half-written, but none that another share may be writing now."""
    for leftover in folder.glob(".*"):
        number = re.match(r"\.part-(\d+)\.", leftover.name)
        if shard.count == 1 or (number and int(number[1]) % shard.count == shard.index):
            leftover.unlink(missing_ok=True)


def _chunks(plan: _Plan, shape: tuple[int, int]) -> list[tuple[int, tuple[Clip, ...]]]:
    """Divide this share's missing clips into new parts, with the lowest free numbers of the share.

    The same clips get the same numbers with and without a kill, and in one process and in many.
    """
    own = itertools.count(plan.shard.index, plan.shard.count)
    free = (number for number in own if number not in plan.used)
    size = store_parts.clips_per_part(shape)
    chunks = (plan.mine[start : start + size] for start in range(0, len(plan.mine), size))
    return [(next(free), tuple(plan.job.clips[place] for place in chunk)) for chunk in chunks]


def _finish(plan: _Plan, shape: tuple[int, int]) -> StoreReport:
    """Write the index, unless clips are still missing or could not be read. Delete the parts that it does not use."""
    folder, clips = plan.job.folder, plan.job.clips
    if plan.index:
        return StoreReport(len(plan.index["names"]), ())
    if plan.shard.count > 1:
        plan.read_parts(shape)  # other shares may have written some meanwhile
    faults = tuple(fault for _, fault in sorted(plan.bad.items()))
    waiting = int(np.sum(plan.part < 0)) - len(faults)
    if faults:
        (folder / INDEX).unlink(missing_ok=True)
    if waiting or faults:
        return StoreReport(0, faults, waiting)
    there = np.flatnonzero(plan.part >= 0)
    index = {
        "key": plan.key,
        "shape": list(shape),  # width, steps
        "names": [clips[place].name for place in there],
        "durations": plan.durations[there].tolist(),
        "parts": plan.part[there].tolist(),
        "positions": plan.position[there].tolist(),
        "skipped": list(plan.job.skipped),
    }
    write_json(folder / INDEX, index, indent=None)
    for number in plan.used - set(index["parts"]):
        store_parts.delete_part(folder, number)
    return StoreReport(len(there), ())


def _read_index(folder: Path) -> dict[str, Any] | None:
    """Return the index; None if it or one of its parts is missing."""
    index = read_json(folder / INDEX)
    if index is None:
        return None
    numbers, positions = np.array(index["parts"], int), np.array(index["positions"], int)
    rows = np.zeros(numbers.max(initial=-1) + 1, int)  # number that each part must have
    np.maximum.at(rows, numbers, positions + 1)
    whole = (store_parts.is_whole(folder, int(number), rows[number], index["shape"]) for number in np.flatnonzero(rows))
    return index if all(whole) else None


class Store:
    """A finished store, opened for reading. Each part is mapped when it is first needed."""

    def __init__(self, folder: Path, index: dict[str, Any]) -> None:
        self.folder = folder
        self.key: str = index["key"]  # hash of the recordings' names, sizes and times of change
        self.names: list[str] = index["names"]
        self.durations = np.array(index["durations"], dtype=np.float64)  # s, of the clips before cutting or padding
        self.shape: tuple[int, int] = tuple(index["shape"])  # (width, steps)
        self.skipped: list[str] = list(index["skipped"])  # recordings left out on purpose
        self._parts = np.array(index["parts"], dtype=np.int32)
        self._positions = np.array(index["positions"], dtype=np.int32)
        self._maps: dict[int, np.ndarray] = {}

    @classmethod
    def open(cls, folder: Path) -> Store:
        """Open the store in a folder. Raises RecipeError if the folder holds no finished store."""
        index = _read_index(folder)
        if index is None:
            raise fail("no finished feature store for these settings", "run stage 0", folder)
        return cls(folder, index)

    def __len__(self) -> int:
        return len(self.names)

    def read(self, indices: Sequence[int] | np.ndarray) -> np.ndarray:
        """Return the values of the clips at `indices`: (n, width, steps) float16, unscaled."""
        values = np.empty((len(indices), *self.shape), dtype=np.float16)
        self.read_into(values, indices)
        return values

    def read_into(self, values: np.ndarray, indices: Sequence[int] | np.ndarray) -> None:
        """Write the values of the clips at `indices` into `values`."""
        for target, index in zip(values, indices, strict=True):
            target[...] = self._map(int(self._parts[index]))[self._positions[index]]

    def _map(self, number: int) -> np.ndarray:
        if number not in self._maps:
            self._maps[number] = np.load(store_parts.part_path(self.folder, number), mmap_mode="r")
        return self._maps[number]

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_maps": {}}  # another process maps the parts itself instead of receiving copies
