"""Worker processes that end with the program that started them, even when that is killed."""

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
    """Spawned processes, each of which calls `set_up` once; forked ones would share random states and threads.

    A fork after torch's threads have started can hang, too. workers: how many; None: one a core.
    """
    context = multiprocessing.get_context("spawn")
    return ProcessPoolExecutor(
        workers or cores(), mp_context=context, initializer=_begin, initargs=(set_up, *arguments)
    )


@contextlib.contextmanager
def held_back() -> Iterator[None]:
    """Processes that are started within, by handing work on, never see Ctrl-C; this one sees it afterwards."""
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
