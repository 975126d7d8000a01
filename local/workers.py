"""Worker processes that make clips: one a core, spawned, gone with the program that started them."""

from __future__ import annotations

import logging
import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Iterable
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

from recipe_mtlvae.errors import Fault, RecipeError
from recipe_mtlvae.machine import cores


def start_processes(set_up: Callable[[Any], None], bench: Any, workers: int | None = None) -> ProcessPoolExecutor:
    """Spawned processes, each with a bench; forked ones would share this one's random states and threads.

    workers: how many; None: one a core.
    """
    context = multiprocessing.get_context("spawn")
    return ProcessPoolExecutor(workers or cores(), mp_context=context, initializer=set_up, initargs=(bench,))


def set_up_worker(folder: Path) -> None:
    """To be called in a new worker: it works inside `folder`, and ends with its parent, even when that is killed."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the parent to tell of
    logging.disable(logging.CRITICAL)  # desed tells of every file that it writes
    os.chdir(folder)  # desed globs its folders: a root with brackets in its path would be found empty
    parent = multiprocessing.parent_process()
    threading.Thread(target=lambda: (parent.join(), os._exit(1)), daemon=True).start()


def run(processes: ProcessPoolExecutor, function: Callable[[Any], Iterable[Fault]], items: list, name: str) -> None:
    """Do all items, with a progress bar; faults of all are raised together."""
    from tqdm import tqdm

    faults: list[Fault] = []
    for fault in tqdm(processes.map(function, items, chunksize=4), name, len(items), disable=None):
        faults += fault
    if faults:
        raise RecipeError(*faults)
