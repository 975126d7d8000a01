"""Processes that tests start: every wait for one has a limit, and none outlives its test."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

PROJECT = Path(__file__).resolve().parent.parent
LIMIT = 120.0  # s
PIPES = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}


@contextlib.contextmanager
def child(*command: object, **options: object) -> Iterator[subprocess.Popen]:
    """Start a process in a new process group; the whole group is killed when the block ends."""
    options = PIPES | {"text": True, "start_new_session": True} | options
    process = subprocess.Popen([str(word) for word in command], **options)
    try:
        yield process
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        for pipe in (process.stdin, process.stdout, process.stderr):
            with contextlib.suppress(OSError, AttributeError):
                pipe.close()
        process.wait(LIMIT)


def python(**variables: str) -> dict[str, str]:
    """Return environment variables with which Python finds the recipe from any folder, extended by `variables`."""
    return {**os.environ, "PYTHONPATH": str(PROJECT), "OMP_NUM_THREADS": "1", **variables}


def wait_for(condition: Callable[[], object], process: subprocess.Popen | None = None) -> None:
    """Wait until `condition` holds; fail after LIMIT seconds or when `process` ends."""
    end = time.monotonic() + LIMIT
    while not condition():
        assert time.monotonic() < end, "nothing happened"
        assert process is None or process.poll() is None, process.communicate()
        time.sleep(0.01)


def running(group: int) -> bool:
    """Whether any process of this group is left."""
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return False
    return True
