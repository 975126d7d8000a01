"""Training batches from prepared splits: clips of every active task in each, in a seeded and resumable order."""

from __future__ import annotations

import zlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, Sampler

from recipe_mtlvae.corpus.splits import training_events
from recipe_mtlvae.errors import fail
from recipe_mtlvae.inputs.prepared import Split
from recipe_mtlvae.inputs.registry import Input
from recipe_mtlvae.labels import Grid, encode_weak


@dataclass(frozen=True)
class BatchPlan:
    """The data sets that a system trains on, and how many clips of each a step takes."""

    sets: dict[str, TaskData | JoinedData]
    clips: dict[str, int]  # clips of each set in one step, over all processes


@dataclass
class Batch:
    """Clips of several tasks. The clips of one task are in consecutive rows."""

    inputs: dict[str, Tensor]  # by name: values (batch, width, steps) on the grid, unscaled, float16 as stored
    strong: Tensor  # (batch, steps, classes), zeros where the clip has no strong labels
    weak: Tensor  # (batch, classes), zeros where the clip has no labels
    spans: dict[str, slice]  # task -> its rows

    def __len__(self) -> int:
        return len(self.weak)

    def scaled(self, inputs: Mapping[str, Input]) -> dict[str, Tensor]:
        """Return the inputs as a network takes them: scaled, float32."""
        return {name: source.scale(self.inputs[name].float()) for name, source in inputs.items()}


class Rows(NamedTuple):
    """Arrays of a batch, or views of some of its rows, for the data sets to fill."""

    inputs: dict[str, np.ndarray]  # by name: (clips, width, steps) float16, as stored
    strong: np.ndarray  # (clips, steps, classes)
    weak: np.ndarray  # (clips, classes)

    def part(self, where: slice) -> Rows:
        """Return views of some rows."""
        return Rows({name: array[where] for name, array in self.inputs.items()}, self.strong[where], self.weak[where])


class TaskData(Dataset):
    """The clips of one task: inputs from the stores, targets from the metadata.

    rows: use only these clips of the split, for example the held-out part of the weak set; None: use all clips.
    """

    def __init__(self, split: Split, grid: Grid, classes: Sequence[str], rows: Sequence[int] | None = None) -> None:
        self.split, self.inputs = split, split.inputs
        self.rows = np.arange(len(split.clips)) if rows is None else np.asarray(rows)
        self.grid = grid
        self.classes = tuple(classes)

    def __len__(self) -> int:
        return len(self.rows)

    def place(self, index: int) -> tuple[TaskData, int]:
        """Return the TaskData that holds a clip, and the clip's row in the split and its stores."""
        return self, int(self.rows[index])

    def targets(self, index: int) -> tuple[np.ndarray, np.ndarray]:
        """Return the strong (steps, classes) and weak (classes,) targets of one clip."""
        row = self.rows[index]
        clip = self.split.clips[row]
        events = training_events(clip.events or (), self.split.store.durations[row])
        return self.grid.encode(events, self.classes), encode_weak(clip.labels or (), self.classes)

    def fill(self, indices: Sequence[int], rows: Rows) -> None:
        """Write the clips at `indices` into `rows`, in this order."""
        for name, store in self.split.stores.items():
            store.read_into(rows.inputs[name], self.rows[np.asarray(indices)])
        for place, index in enumerate(indices):
            rows.strong[place], rows.weak[place] = self.targets(index)


class JoinedData(Dataset):
    """Several data sets joined into one: the splits of one task, or the baseline's synthetic and real strong sets."""

    def __init__(self, *parts: TaskData | JoinedData) -> None:
        self.parts = parts
        self.inputs, self.grid, self.classes = parts[0].inputs, parts[0].grid, parts[0].classes
        self.starts = np.cumsum([0, *(len(part) for part in parts)])

    def __len__(self) -> int:
        return int(self.starts[-1])

    def place(self, index: int) -> tuple[TaskData, int]:
        """See TaskData.place."""
        number = int(np.searchsorted(self.starts, index, side="right")) - 1
        return self.parts[number].place(index - self.starts[number])

    def targets(self, index: int) -> tuple[np.ndarray, np.ndarray]:
        """See TaskData.targets."""
        number = int(np.searchsorted(self.starts, index, side="right")) - 1
        return self.parts[number].targets(index - self.starts[number])

    def fill(self, indices: Sequence[int], rows: Rows) -> None:
        """See TaskData.fill."""
        numbers = np.searchsorted(self.starts, indices, side="right") - 1
        for place, (number, index) in enumerate(zip(numbers, indices, strict=True)):
            self.parts[number].fill([index - self.starts[number]], rows.part(slice(place, place + 1)))


def joined(parts: Sequence[TaskData | JoinedData]) -> TaskData | JoinedData | None:
    """Join the data sets that are not empty, in their order. Return None if all are empty."""
    parts = [part for part in parts if len(part)]
    return JoinedData(*parts) if len(parts) > 1 else parts[0] if parts else None


class MultiTaskData(Dataset):
    """The clips of several tasks. Each index is a mapping from tasks to the indices of their clips in one batch."""

    def __init__(self, tasks: Mapping[str, TaskData | JoinedData]) -> None:
        self.tasks = dict(tasks)

    def __getitem__(self, wanted: Mapping[str, Sequence[int]]) -> Batch:
        kind = self.tasks[next(iter(wanted))]
        clips = sum(map(len, wanted.values()))
        rows = Rows(
            {name: np.empty((clips, *source.shape), np.float16) for name, source in kind.inputs.items()},
            np.empty((clips, kind.grid.steps, len(kind.classes)), np.float32),
            np.empty((clips, len(kind.classes)), np.float32),
        )
        spans, start = {}, 0
        for task, indices in wanted.items():
            spans[task] = slice(start, start + len(indices))
            self.tasks[task].fill(indices, rows.part(spans[task]))
            start += len(indices)
        values = {name: torch.from_numpy(array) for name, array in rows.inputs.items()}
        on_grid = {name: source.on_grid(values[name], kind.grid.steps) for name, source in kind.inputs.items()}
        return Batch(on_grid, torch.from_numpy(rows.strong), torch.from_numpy(rows.weak), spans)


def even_shares(batch_size: int, tasks: Sequence[str]) -> dict[str, int]:
    """Divide a batch evenly among the tasks; the first tasks get the remainder. 32 for three tasks: 11, 11, 10."""
    each, rest = divmod(batch_size, len(tasks))
    return {task: each + (i < rest) for i, task in enumerate(tasks)}


class MultiTaskSampler(Sampler):
    """Yield the clips of every task for each step. The global batch is the same for any number of processes.

    Each task goes through its clips in an endless stream of seeded permutations, so that large sets are
    covered evenly. An epoch ends when the first of the sets is exhausted, or after `epoch_steps` steps.
    Process `rank` of `world` takes every world-th clip of each task's share of the global batch.
    """

    def __init__(
        self,
        sizes: Mapping[str, int],
        shares: Mapping[str, int],
        seed: int,
        epoch_steps: int | None,
        rank: int = 0,
        world: int = 1,
    ) -> None:
        self.sizes = dict(sizes)
        self.shares = dict(shares)  # clips of each task in the global batch
        if min(self.shares.values()) < world:
            raise fail(f"train.batch_size: a batch of {self.shares} is too small for {world} processes")
        self.seed, self.rank, self.world = seed, rank, world
        whole = min(size // self.shares[task] for task, size in self.sizes.items())
        self.steps = epoch_steps or whole
        if whole < 1:
            what = f"no whole batch: the sets have {self.sizes} clips, a batch takes {self.shares}"
            raise fail(what, "lower train.batch_size")
        self.epoch = 0
        self._orders: dict[str, dict[int, np.ndarray]] = {}  # task -> number of the permutation -> clips in order

    def __len__(self) -> int:
        return self.steps

    def set_epoch(self, epoch: int) -> None:
        """Set the epoch. Lightning calls this before each epoch, also after a resume."""
        self.epoch = epoch

    def __iter__(self) -> Iterator[dict[str, list[int]]]:
        for step in range(self.epoch * self.steps, (self.epoch + 1) * self.steps):
            yield {task: rows[self.rank :: self.world] for task, rows in self.drawn(step).items()}

    def drawn(self, step: int) -> dict[str, list[int]]:
        """Return the clips of all processes at a step, counted from the start of training."""
        return {task: self._draw(task, step) for task in self.sizes}

    def _draw(self, task: str, step: int) -> list[int]:
        """Return the clips of `task` at a step, counted from the start of training."""
        size, share = self.sizes[task], self.shares[task]
        positions = range(step * share, (step + 1) * share)
        known = self._orders.get(task, {})
        turns = {position // size for position in positions}
        orders = {turn: known[turn] if turn in known else self._order(task, turn) for turn in turns}
        self._orders[task] = orders  # kept for the next step: permuting a million clips takes 30 ms
        return [int(orders[position // size][position % size]) for position in positions]

    def _order(self, task: str, turn: int) -> np.ndarray:
        return np.random.default_rng([self.seed, zlib.crc32(task.encode()), turn]).permutation(self.sizes[task])


def train_loader(plan: BatchPlan, seed: int, epoch_steps: int | None, rank: int = 0, world: int = 1) -> DataLoader:
    """Return the loader of a system's batches. Reading 32 stored clips takes milliseconds, so it needs no workers."""
    sizes = {name: len(data) for name, data in plan.sets.items()}
    sampler = MultiTaskSampler(sizes, plan.clips, seed, epoch_steps, rank, world)
    return DataLoader(MultiTaskData(plan.sets), sampler=sampler, batch_size=None)


def evaluation_batches(
    data: TaskData | JoinedData, task: str, batch_size: int, rank: int = 0, world: int = 1
) -> DataLoader:
    """Return a loader that yields every clip of one set once, in order; process `rank` of `world` takes its share.

    A process whose share is empty takes the first clip, because Lightning needs a batch from every process.
    """
    indices = range(rank, len(data), world) or range(1)
    steps = [{task: list(indices[start : start + batch_size])} for start in range(0, len(indices), batch_size)]
    return DataLoader(MultiTaskData({task: data}), sampler=steps, batch_size=None)


def hold_out(sets: Sequence[Sequence[str]], share: float, seed: int) -> list[tuple[np.ndarray, np.ndarray]]:
    """Split data sets at random into a pair (kept, held out) of sorted row arrays for each set.

    sets: for each set, the recording of each row; rows of one recording stay together. `share` is the fraction of all
    recordings together that is held out; the baseline holds out 10 %. At least one recording is held out. Raises
    RecipeError if none would be kept. Returns an empty list if there are no rows.
    """
    numbers: dict[tuple[int, str], int] = {}  # of each set's recordings, in their order
    rows = [[numbers.setdefault((i, name), len(numbers)) for name in names] for i, names in enumerate(sets)]
    count = len(numbers)
    if not count:
        return []
    order = np.random.default_rng(seed).permutation(count)
    held = max(1, round(share * count))
    if held >= count:
        raise fail(f"data.weak_held_out {share}: nothing would be left of {count} weak clips to train on")
    is_held = np.zeros(count, dtype=bool)
    is_held[order[:held]] = True
    parts = [is_held[np.array(own, dtype=int)] for own in rows]
    return [(np.flatnonzero(~own), np.flatnonzero(own)) for own in parts]
