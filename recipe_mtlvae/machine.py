"""What the machine has to give."""

from __future__ import annotations

import os


def cores() -> int:
    """CPU cores that this process may use, by its affinity where the system tells it."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
