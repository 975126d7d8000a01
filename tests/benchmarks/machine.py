"""The machine that runs the benchmarks: its description and its limits."""

from __future__ import annotations

import os
import platform
import statistics
import tempfile
import time
from collections.abc import Callable
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import torch

from recipe_mtlvae.machine import cores
from tests.benchmarks.timing import Way, interleaved

PACKAGES = ("torch", "pytorch_lightning", "numpy", "scipy", "pandas", "sed_scores_eval", "codecarbon")
MATRIX = 2048  # rows and columns: larger products reach no higher FLOP/s
MEGABYTES = 256  # size of the arrays and of the file: larger than any cache


def description() -> dict[str, str | int]:
    """Return what the figures depend on besides the code."""
    return {
        "processor": processor(),
        "cores": cores(),
        "threads": torch.get_num_threads(),
        "OMP_WAIT_POLICY": os.environ.get("OMP_WAIT_POLICY", "default"),
        "gpu": torch.cuda.get_device_name() if torch.cuda.is_available() else "none",
        "system": platform.platform(terse=True),
        "python": platform.python_version(),
        **{name: _version(name) for name in PACKAGES},
    }


def processor() -> str:
    """Return the name of the processor."""
    info = Path("/proc/cpuinfo")
    lines = info.read_text(encoding="utf-8").splitlines() if info.exists() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()


def bounds(quick: bool) -> dict[str, float]:
    """Return the limits of the machine: FLOP/s of a matrix product, bytes/s of memory and of the disk."""
    seconds = interleaved({"product": product().run, "copy": _copy()}, 3 if quick else 9)
    return {
        "float32 matrix product, FLOP/s": product().amount / statistics.median(seconds["product"]),
        "memory, bytes/s read and written": 2e6 * MEGABYTES / statistics.median(seconds["copy"]),
        "disk, bytes/s read": _disk(),
    }


def product() -> Way:
    """A large float32 matrix product; its amount is in FLOP."""
    a, b, out = torch.rand(MATRIX, MATRIX), torch.rand(MATRIX, MATRIX), torch.empty(MATRIX, MATRIX)
    return Way(lambda: torch.mm(a, b, out=out), 2.0 * MATRIX**3)


def _copy() -> Callable[[], object]:
    source = torch.rand(250_000 * MEGABYTES)
    target = torch.empty_like(source)
    return lambda: target.copy_(source)


def _disk() -> float:
    """Return the bytes/s of reading a file after asking the system to drop it from its cache.

    A system that ignores the request gives the speed of its cache.
    """
    block = os.urandom(1_000_000)
    with tempfile.TemporaryFile() as file:
        for _ in range(MEGABYTES):
            file.write(block)
        file.flush()
        os.fsync(file.fileno())
        if hasattr(os, "posix_fadvise"):
            os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
        file.seek(0)
        started = time.perf_counter()
        while file.read(len(block)):
            pass
        return 1e6 * MEGABYTES / (time.perf_counter() - started)


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return "not installed"
