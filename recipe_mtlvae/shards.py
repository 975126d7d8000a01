"""The share of one process in work that several processes do, on one machine or many."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

from recipe_mtlvae.errors import fail

T = TypeVar("T")
# Of torchrun; of a step of srun: SLURM_NTASKS is also set in a batch script, which runs alone
ENVIRONMENTS = (("RANK", "WORLD_SIZE"), ("SLURM_PROCID", "SLURM_STEP_NUM_TASKS"))
# Job arrays of SLURM and Grid Engine: number of this task, of the first and of the last one, and the step
ARRAYS = (
    tuple(f"SLURM_ARRAY_TASK_{name}" for name in ("ID", "MIN", "MAX", "STEP")),
    tuple(f"SGE_TASK_{name}" for name in ("ID", "FIRST", "LAST", "STEPSIZE")),
)


@dataclass(frozen=True)
class Shard:
    """Share `index` of `count`, counted from 0; share 0 of 1 is all of the work."""

    index: int = 0
    count: int = 1

    def take(self, items: Sequence[T]) -> Sequence[T]:
        """Return every count-th item: shares differ by at most one item."""
        return items[self.index :: self.count]

    def __str__(self) -> str:
        return f"{self.index}/{self.count}"


ALL = Shard()


def shard_of(setting: str | None, environment: Mapping[str, str] = os.environ) -> Shard:
    """Return the share in run.shard, such as 3/16; if that is null, this process's share under torchrun or srun.

    A task of a job array is a share, too, which its processes divide further. Raises RecipeError for any other text.
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
    """The share of a job array's task; if a single task is submitted again, it does everything that is missing.

    Raises RecipeError for an array with holes.
    """
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
