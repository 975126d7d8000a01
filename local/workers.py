"""Worker processes that make clips."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Iterable
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

from recipe_mtlvae.errors import Fault, RecipeError
from recipe_mtlvae.processes import held_back


def set_up_worker(folder: Path) -> None:
    """To be called in a new worker, which works inside `folder`."""
    logging.disable(logging.CRITICAL)  # desed tells of every file that it writes
    os.chdir(folder)  # desed globs its folders: a root with brackets in its path would be found empty


def run(processes: ProcessPoolExecutor, function: Callable[[Any], Iterable[Fault]], items: list, name: str) -> None:
    """Do all items, with a progress bar; faults of all are raised together."""
    from tqdm import tqdm

    faults: list[Fault] = []
    with held_back():
        results = processes.map(function, items, chunksize=4)
    for fault in tqdm(results, name, len(items), disable=None):
        faults += fault
    if faults:
        raise RecipeError(*faults)
