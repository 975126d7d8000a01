"""A progress bar for terminals and log files."""

from __future__ import annotations

import sys

from tqdm import tqdm

from recipe_mtlvae.errors import printable

LOG_SECONDS = 30.0  # between two lines in a log file, and before the first one


def progress_bar(name: str, total: int, unit: str = "clips", done: int = 0) -> tqdm:
    """Return a bar that counts to `total`; for bytes, `unit` is "B"."""
    size = {"unit": "B", "unit_scale": True} if unit == "B" else {"unit": f" {unit}"}
    pause = {} if sys.stderr.isatty() else {"mininterval": LOG_SECONDS, "delay": LOG_SECONDS}
    return tqdm(desc=printable(name), total=total, initial=done, **size, **pause)


def byte_text(count: int) -> str:
    """Return a number of bytes as text with 3 digits and a unit."""
    return tqdm.format_sizeof(count, "B", 1000)
