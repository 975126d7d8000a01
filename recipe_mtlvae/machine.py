"""The CPU cores for this process, and its rank among processes that train together."""

from __future__ import annotations

import os


def cores() -> int:
    """Return the number of CPU cores that this process may use, by its affinity where the system has one."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def is_rank_zero() -> bool:
    """Whether this process is the first of those that train together, or the only one.

    Lightning's own launcher sets LOCAL_RANK; torchrun and SLURM set the others.
    """
    ranks = (os.environ.get(name, "") for name in ("RANK", "LOCAL_RANK", "NODE_RANK", "SLURM_PROCID"))
    return all(rank in ("", "0") for rank in ranks)


def node_begun() -> int | None:
    """Return the number of this node if this is the first training process on it, otherwise None.

    The first process of all is on node 0. Nodes are numbered as by Lightning, torchrun and SLURM.
    """
    if is_rank_zero():
        return 0
    local, node = _first_set("LOCAL_RANK", "SLURM_LOCALID"), _first_set("NODE_RANK", "GROUP_RANK", "SLURM_NODEID")
    unknown = not local and (_first_set("RANK", "SLURM_PROCID") not in ("", "0"))
    return None if local not in ("", "0") or unknown else int(node or 0) or None


def _first_set(*names: str) -> str:
    return next((os.environ[name] for name in names if os.environ.get(name)), "")
