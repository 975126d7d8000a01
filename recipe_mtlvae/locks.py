"""File locks, which are released when their process ends in any way."""

from __future__ import annotations

import contextlib
import fcntl
import os
import platform
import time
from collections.abc import Callable, Iterator
from pathlib import Path


@contextlib.contextmanager
def locked(path: Path, busy: Callable[[str], None] = lambda holder: None, together: bool = False) -> Iterator[None]:
    """Lock the file `path` within this context: for this process alone, or shared with others that lock it `together`.

    If another process holds the lock, `busy` is called with a text that says which one, on which machine and since
    when. It either raises an error, or returns to wait for the lock. For a folder, the text does not name the process.
    On a file system without locks, nothing is locked.
    """
    descriptor = os.open(path, os.O_RDONLY if path.is_dir() else os.O_RDWR | os.O_CREAT, 0o666)
    kind = fcntl.LOCK_SH if together else fcntl.LOCK_EX
    try:
        try:
            fcntl.flock(descriptor, kind | fcntl.LOCK_NB)
        except BlockingIOError:
            busy(_holder(path))
            fcntl.flock(descriptor, kind)
        except OSError:  # a file system without locks
            pass
        with contextlib.suppress(OSError):  # a folder, a full disk: the lock is valid anyway
            os.ftruncate(descriptor, 0)
            since = time.strftime("%Y-%m-%d %H:%M:%S")
            os.pwrite(descriptor, f"process {os.getpid()} on {platform.node()} since {since}\n".encode(), 0)
        yield
    finally:
        os.close(descriptor)


def _holder(path: Path) -> str:
    """The holder of the lock; one that has just taken it writes its name within a moment."""
    for _ in range(0 if path.is_dir() else 10):
        if holder := path.read_text(errors="replace").strip():
            return holder
        time.sleep(0.05)
    return "another process"
