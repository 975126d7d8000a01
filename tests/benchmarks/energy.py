"""kWh of a piece of work, where codecarbon can tell."""

from __future__ import annotations

import json
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from recipe_mtlvae.conf import load_conf
from recipe_mtlvae.scoring.energy import measured

SECONDS = 4.0  # at least: a tracker reads the processor's load only now and then


@dataclass(frozen=True)
class Energy:
    """Of one unit of the work."""

    kwh: float | None  # None: not measured
    how: str  # what codecarbon measured or estimated, or why it could not


def energy_of(run: Callable[[], object], amount: float) -> Energy:
    """Run until some seconds have passed; `amount` is what a run does, in units."""
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
