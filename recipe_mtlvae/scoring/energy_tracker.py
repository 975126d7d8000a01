"""codecarbon's tracker: start it, stop it, and read what it measured."""

from __future__ import annotations

import contextlib
import logging
import platform
import sys
import warnings
from collections.abc import Callable
from typing import Any

from recipe_mtlvae.conf_sections import EnergyConf
from recipe_mtlvae.files import content_hash

MEASURE_SECONDS = 15
SAVE_EVERY = 2  # after this many measurements: a killed run loses at most half a minute
COUNTERS = ("intel_rapl", "windows_emi", "intel_power_gadget")  # codecarbon's CPU modes that measure, not estimate


def start(conf: EnergyConf, save: Callable[[dict[str, Any]], None]) -> tuple[Any, str]:
    """Start a tracker. Return it, or None and the reason why it did not start."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # 3.3 deprecates save_to_file for an option that older versions lack
            from codecarbon import OfflineEmissionsTracker

            logging.getLogger("codecarbon").setLevel(logging.ERROR)  # log_level takes effect after the first lines
            tracker = OfflineEmissionsTracker(
                country_iso_code=conf.country_iso_code,
                allow_multiple_runs=True,
                save_to_file=False,
                log_level="error",
                measure_power_secs=MEASURE_SECONDS,
                api_call_interval=SAVE_EVERY,
                gpu_ids=_visible_gpus(),
                output_handlers=[_Saver(lambda data: save(_figures(tracker, data)))],
            )
        tracker.start()
        # the constructor and start() swallow their exceptions and leave an incomplete object
        if getattr(tracker, "_start_time", None) is None:
            return None, "codecarbon's tracker did not start"
        return tracker, ""
    except ModuleNotFoundError as error:
        return None, f"{error.name} is not installed"
    except Exception as error:
        return None, error_text(error)


class _Saver:
    """An output handler of codecarbon, which calls it with the energy so far."""

    def __init__(self, save: Callable[[Any], None]) -> None:
        self.save = save

    def live_out(self, total: Any, delta: Any) -> None:
        with contextlib.suppress(Exception):  # runs in the tracker's thread; the end of the phase saves again
            self.save(total)

    def out(self, total: Any, delta: Any) -> None: ...

    def task_out(self, data: Any, experiment_name: str) -> None: ...

    def exit(self) -> None: ...


def stop(tracker: Any, conf: EnergyConf) -> dict[str, Any]:
    tracker.stop()
    data = getattr(tracker, "final_emissions_data", None)
    if data is None:
        raise RuntimeError(f"codecarbon gave no figures (energy.country_iso_code: {conf.country_iso_code})")
    return _figures(tracker, data)


def _figures(tracker: Any, data: Any) -> dict[str, Any]:
    return {
        "kwh": data.energy_consumed,
        "cpu_kwh": data.cpu_energy,
        "gpu_kwh": data.gpu_energy,
        "ram_kwh": data.ram_energy,
        "mode": _mode(tracker),
        "codecarbon": data.codecarbon_version,
        "cpu_model": data.cpu_model,
        "gpu_model": data.gpu_model or None,
        "machine": content_hash(platform.node(), data.cpu_model, data.cpu_count),
        "records": [_record(data)],
    }


def _record(data: Any) -> dict[str, Any]:
    """Return a row of codecarbon's CSV by column, with None in place of nan, which JSON does not have."""
    values = getattr(data, "values", {})
    return {name: None if value != value else value for name, value in values.items()}


def _mode(tracker: Any) -> str:
    """How the energy of each component was obtained. codecarbon exposes this only through its trackers."""
    modes = []
    for part in getattr(tracker, "_hardware", []):
        kind = type(part).__name__
        if kind == "CPU":
            way = getattr(part, "_mode", "unknown")
            modes.append(f"CPU {'measured' if way in COUNTERS else 'estimated'} ({way})")
        else:
            modes.append(f"{kind} {'estimated' if kind == 'RAM' else 'measured'}")
    if _cuda() is not None and not any(mode.startswith("GPU") for mode in modes):
        modes.append("GPU not measured")
    return ", ".join(sorted(modes))


def _visible_gpus() -> list[int] | None:
    """Return the driver's indices of the CUDA devices that this process sees; None: codecarbon chooses."""
    cuda = _cuda()
    if cuda is None:
        return None
    try:
        import pynvml  # comes with codecarbon, which does not find devices given as "GPU-<uuid>"

        pynvml.nvmlInit()
        uuids = [f"GPU-{cuda.get_device_properties(i).uuid}" for i in range(cuda.device_count())]
        return [pynvml.nvmlDeviceGetIndex(pynvml.nvmlDeviceGetHandleByUUID(uuid)) for uuid in uuids]
    except Exception:  # for example a GPU of another maker, or a virtual one
        return None


def _cuda() -> Any:
    """Return torch.cuda if this process has loaded torch and there is a device, else None."""
    cuda = getattr(sys.modules.get("torch"), "cuda", None)
    return cuda if cuda is not None and cuda.is_available() else None


def error_text(error: Exception) -> str:
    return f"{type(error).__name__}: {error}".splitlines()[0]
