"""Measure the energy of a piece of work with codecarbon."""

from __future__ import annotations

import json
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from recipe_mtlvae.conf import load_conf
from recipe_mtlvae.scoring.energy import measured

SECONDS = 4.0  # shortest measurement: a tracker samples the processor's load only every now and then


@dataclass(frozen=True)
class Energy:
    """The energy of one unit of the work."""

    kwh: float | None  # None: not measured
    how: str  # what codecarbon measured or estimated, or why there is no figure


def energy_of(run: Callable[[], object], amount: float) -> Energy:
    """Call `run` until SECONDS have passed and return the energy of one unit; each call does `amount` units."""
    done = 0.0
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "energy.json"
        with measured(file, "benchmark", load_conf().energy):
            end = time.perf_counter() + SECONDS
            while not done or time.perf_counter() < end:
                run()
                done += amount
        entry = json.loads(file.read_text())["benchmark"] if file.exists() else {"reason": "another rank measures"}
    kwh = entry.get("kwh")
    return Energy(None if kwh is None else kwh / done, entry.get("mode") or entry.get("reason", ""))
