"""What the machine has to give."""

from __future__ import annotations

import os


def cores() -> int:
    """CPU cores that this process may use, by its affinity where the system tells it."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def is_rank_zero() -> bool:
    """Whether this process is the first of those that train together, or the only one.

    Lightning's own launcher sets LOCAL_RANK, torchrun and SLURM the others.
    """
    ranks = (os.environ.get(name, "") for name in ("RANK", "LOCAL_RANK", "NODE_RANK", "SLURM_PROCID"))
    return all(rank in ("", "0") for rank in ranks)
