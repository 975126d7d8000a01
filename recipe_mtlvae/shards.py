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
    """The share that run.shard names, such as 3/16; where that is null, torchrun's or srun's process of theirs.

    Raises RecipeError for any other text.
    """
    if setting is None:
        for rank, world in ENVIRONMENTS:
            if rank in environment and world in environment:
                setting = f"{environment[rank]}/{environment[world]}"
                break
        else:
            return ALL
    found = re.fullmatch(r"(\d{1,6})/(\d{1,6})", setting)
    if not found or int(found[1]) >= int(found[2]):
        raise fail(f"run.shard: expected i/n with i from 0 to n - 1, such as 3/16; got {setting!r}")
    return Shard(int(found[1]), int(found[2]))
