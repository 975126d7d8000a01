"""A stand-in for codecarbon and its figures, and a reader of the energy file."""

from __future__ import annotations

import json
import types
from pathlib import Path
from typing import ClassVar

from recipe_mtlvae.conf_sections import EnergyConf

CONF = EnergyConf(country_iso_code="FRA", baseline_devtest_kwh=None, baseline_eval_kwh=None, baseline_training_kwh=None)
FIGURES = {
    "energy_consumed": 3.0,
    "cpu_energy": 1.0,
    "gpu_energy": 0.0,
    "ram_energy": 2.0,
    "codecarbon_version": "9.9",
    "cpu_model": "Abacus",
    "cpu_count": 2,
    "gpu_model": "",
}


class CPU:
    def __init__(self, mode: str) -> None:
        self._mode = mode


class RAM: ...


class FakeTracker:
    """The part of codecarbon's interface that the recipe uses; it reports 3 kWh for every phase."""

    hardware = (CPU("cpu_load"), RAM())
    arguments: ClassVar[dict] = {}

    def __init__(self, **arguments) -> None:
        FakeTracker.arguments = arguments
        self._hardware = list(self.hardware)

    def start(self) -> None:
        self._start_time = 1.0

    def stop(self) -> None:
        self.final_emissions_data = types.SimpleNamespace(**FIGURES)


def read(file: Path) -> dict:
    return json.loads(file.read_text())
