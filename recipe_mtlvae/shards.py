"""One process's share of work that several do, on one machine or many."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

from recipe_mtlvae.errors import fail

T = TypeVar("T")
# torchrun's; srun's, of the step: SLURM_NTASKS also stands in a batch script, which no other task runs beside
ENVIRONMENTS = (("RANK", "WORLD_SIZE"), ("SLURM_PROCID", "SLURM_STEP_NUM_TASKS"))
# Job arrays of SLURM and of Grid Engine: this task, the first, the last, from one to the next
ARRAYS = (
    tuple(f"SLURM_ARRAY_TASK_{name}" for name in ("ID", "MIN", "MAX", "STEP")),
    tuple(f"SGE_TASK_{name}" for name in ("ID", "FIRST", "LAST", "STEPSIZE")),
)


@dataclass(frozen=True)
class Shard:
    """The `index`-th of `count` shares, counted from 0; 0 of 1 is all of the work."""

    index: int = 0
    count: int = 1

    def take(self, items: Sequence[T]) -> Sequence[T]:
        """Every count-th item: shares differ by one item at most."""
        return items[self.index :: self.count]

    def __str__(self) -> str:
        return f"{self.index}/{self.count}"


ALL = Shard()


def shard_of(setting: str | None, environment: Mapping[str, str] = os.environ) -> Shard:
    """The share that run.shard names, such as 3/16; where it is null, this process's share under torchrun or srun.

    A job array's task is a share too, which its processes divide further. Raises RecipeError for any other text.
    """
    if setting is not None:
        return _parsed(setting)
    array, own = _of_array(environment), ALL
    for rank, world in ENVIRONMENTS:
        if rank in environment and world in environment:
            own = _parsed(f"{environment[rank]}/{environment[world]}")
            break
    return Shard(array.index * own.count + own.index, array.count * own.count)


def _of_array(environment: Mapping[str, str]) -> Shard:
    """One task that is submitted again alone does all that is missing. Raises RecipeError for an array with holes."""
    for names in ARRAYS:
        texts = [environment.get(name, "") for name in names]
        if all(map(str.isdecimal, texts)):
            task, first, last, step = map(int, texts)
            shard = Shard((task - first) // max(step, 1), (last - first) // max(step, 1) + 1)
            if environment.get("SLURM_ARRAY_TASK_COUNT", str(shard.count)) != str(shard.count):
                raise fail("a job array with holes: its tasks are no shares", "submit it as 0-15, or set run.shard")
            return shard
    return ALL


def _parsed(setting: str) -> Shard:
    found = re.fullmatch(r"(\d{1,6})/(\d{1,6})", setting)
    if not found or int(found[1]) >= int(found[2]):
        raise fail(f"run.shard: expected i/n with i from 0 to n - 1, such as 3/16; got {setting!r}")
    return Shard(int(found[1]), int(found[2]))
