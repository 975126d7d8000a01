"""Worker processes that make clips."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Iterable
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path
from typing import Any

from recipe_mtlvae.errors import Fault, RecipeError, fail
from recipe_mtlvae.processes import held_back
from recipe_mtlvae.progress_bar import progress_bar


def set_up_worker(folder: Path) -> None:
    """Prepare a new worker process, which works inside `folder`."""
    logging.disable(logging.CRITICAL)  # desed logs every file that it writes
    os.chdir(folder)  # desed globs its folders, and would find nothing under a path with brackets


def run(processes: ProcessPoolExecutor, function: Callable[[Any], Iterable[Fault]], items: list, name: str) -> None:
    """Call `function` for all items, with a progress bar. Raises RecipeError with the faults of all of them."""
    faults: list[Fault] = []
    try:
        with held_back():
            results = processes.map(function, items, chunksize=4)
        with progress_bar(name, len(items)) as bar:
            for found in results:
                faults += found
                bar.update()
    except BrokenProcessPool:
        raise fail("a process that made clips was killed", "free some memory and run the same command again") from None
    if faults:
        raise RecipeError(*faults)
