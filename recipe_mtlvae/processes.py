"""Worker processes that end with the program that started them, even if that is killed."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from typing import Any

from recipe_mtlvae.machine import cores


def start_processes(set_up: Callable[..., None], *arguments: Any, workers: int | None = None) -> ProcessPoolExecutor:
    """Return a pool of spawned processes, each of which calls `set_up` once with `arguments`.

    Forked processes would share random states and threads, and can hang if torch's threads have started. workers:
    number of processes; None: one per core.
    """
    context = multiprocessing.get_context("spawn")
    return ProcessPoolExecutor(
        workers or cores(), mp_context=context, initializer=_begin, initargs=(set_up, *arguments)
    )


@contextlib.contextmanager
def held_back() -> Iterator[None]:
    """Hold back Ctrl-C within this context: this process sees it afterwards, and processes started here never do.

    A pool starts its processes when work is submitted.
    """
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT, signal.SIGHUP})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _begin(set_up: Callable[..., None], *arguments: Any) -> None:
    threading.Thread(target=_end_with_parent, daemon=True).start()
    set_up(*arguments)


def _end_with_parent() -> None:
    multiprocessing.parent_process().join()
    os._exit(1)  # the parent was killed: the result is not needed
