"""Measure the energy of a phase of a run with codecarbon. If the tracker fails, the run goes on with a warning."""

from __future__ import annotations

import contextlib
import functools
import itertools
import logging
import platform
import sys
import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from recipe_mtlvae.conf_sections import EnergyConf
from recipe_mtlvae.errors import warn
from recipe_mtlvae.files import content_hash, read_json, write_json
from recipe_mtlvae.locks import locked
from recipe_mtlvae.machine import node_begun

ACCUMULATED = "training"  # its energy adds up when a run is resumed; other phases are measured anew
MEASURE_SECONDS = 15
SAVE_EVERY = 2  # after this many measurements: a killed run loses at most half a minute
ENERGIES = ("kwh", "cpu_kwh", "gpu_kwh", "ram_kwh")
SUMS = ("seconds", *ENERGIES)
COUNTERS = ("intel_rapl", "windows_emi", "intel_power_gadget")  # codecarbon's CPU modes that measure, not estimate


@contextlib.contextmanager
def measured(file: Path, phase: str, conf: EnergyConf, every_process: bool = False) -> Iterator[None]:
    """Measure the block and merge {phase: {kwh, seconds, cpu_kwh, gpu_kwh, ram_kwh, mode, ...}} into `file` (JSON).

    Covers the CPU and memory of the whole machine, and all GPUs that the process sees. If nothing could be measured,
    the figures in kWh are null, never 0, and `reason` says why. The phase "training" adds to the figures in `file`.
    `records` are codecarbon's own, one for each measured part, with the columns of its CSV. Under DDP the first process
    of each node measures, and the figures of the nodes are added up. With `every_process` every process measures;
    `joined` then combines their figures. Never raises an exception of its own; those of the block pass through.
    """
    node = 0 if every_process else node_begun()
    if node is None:
        yield
        return
    before = _earlier_part(file, phase, node) if phase == ACCUMULATED else None

    def save(figures: dict[str, Any]) -> None:  # called only once the block runs
        entry = {"seconds": time.perf_counter() - started, **figures}
        note_energy(file, phase, entry if before is None else _sum(before, entry), node)

    tracker, reason = _start(conf, save)
    started = time.perf_counter()
    if reason:
        _warn(phase, reason)
    try:
        yield
    finally:
        try:
            save(_unmeasured(reason) if tracker is None else _stop(tracker, conf))
        except Exception as error:
            _warn(phase, _text(error))
            with contextlib.suppress(Exception):  # for example a full disk, on which the run's own files fail too
                save(_unmeasured(_text(error)))


def joined(records: Sequence[tuple[float, dict[str, Any]]]) -> dict[str, Any]:
    """Combine the figures of one phase from several processes; each comes with its start (s, on a common clock).

    Each process measures its whole machine, so the energy of time that several spend on one machine is divided among
    them. `seconds` is the sum over the processes.
    """
    total: dict[str, Any] | None = None
    for start, figures in records:
        beside = [
            (max(start, other), min(start + figures["seconds"], other + theirs["seconds"]))
            for other, theirs in records
            if theirs.get("machine") == figures.get("machine")
        ]
        share = _share(start, start + figures["seconds"], [span for span in beside if span[0] < span[1]])
        energies = {name: None if figures[name] is None else share * figures[name] for name in ENERGIES}
        total = figures | energies if total is None else _sum(total, figures | energies)
    return total or {}


def _share(start: float, end: float, spans: Sequence[tuple[float, float]]) -> float:
    """Return one process's share of [start, end): each moment is divided evenly among the spans that contain it."""
    edges = sorted({start, end, *(edge for span in spans for edge in span)})
    own = (
        (after - before) / sum(first <= before and after <= last for first, last in spans)
        for before, after in itertools.pairwise(edges)
    )
    return sum(own) / (end - start) if end > start else 1.0


def read_energy(file: Path) -> dict[str, dict[str, Any]]:
    """Return the figures by phase; an empty dict if the file is missing or damaged."""
    content = read_json(file)
    if isinstance(content, dict) and all(map(_is_entry, content.values())):
        return content
    if file.exists():
        warn(f"{file}: damaged; the energy so far is not known")
    return {}


def _is_entry(entry: Any) -> bool:
    if not isinstance(entry, dict) or not all(isinstance(entry.get(name), int | float | None) for name in SUMS):
        return False
    records, nodes = entry.get("records", []), entry.get("nodes", {})
    is_right = isinstance(records, list) and all(isinstance(record, dict) for record in records)
    return is_right and isinstance(nodes, dict) and all(map(_is_entry, nodes.values()))


def _earlier_part(file: Path, phase: str, node: int) -> dict[str, Any] | None:
    """Return the node's figures of a phase so far; unknown figures if the file is damaged."""
    content = read_energy(file)
    if content or not file.exists():
        return _by_node(content.get(phase)).get(str(node))
    _put_aside(file)
    return {"seconds": None, **_unmeasured(f"{file.name} was damaged")}


def _put_aside(file: Path) -> None:
    """Rename a damaged file instead of overwriting it, because it may still hold useful data."""
    with contextlib.suppress(OSError):
        file.replace(file.with_name(f"{file.name}.damaged"))


def note_energy(file: Path, phase: str, entry: dict[str, Any], node: int = 0) -> None:
    """Write the figures of one phase into `file`, under a lock. The figures of several nodes are added up."""
    file.parent.mkdir(parents=True, exist_ok=True)
    with locked(file.parent):
        before = read_energy(file)
        if not before and file.exists():
            _put_aside(file)
        write_json(file, {**before, phase: _with_node(before.get(phase), entry, node)})


def _with_node(before: dict[str, Any] | None, entry: dict[str, Any], node: int) -> dict[str, Any]:
    """Return the figures of a phase with those of one node set to `entry`.

    With several nodes, `nodes` holds the figures of each, and the other keys hold their sum. The nodes work at the same
    time, so `seconds` is that of the slowest node.
    """
    nodes = (_by_node(before) if node or "nodes" in (before or {}) else {}) | {str(node): entry}
    if list(nodes) == ["0"]:
        return entry
    nodes = dict(sorted(nodes.items()))
    longest = [part["seconds"] for part in nodes.values()]
    seconds = None if None in longest else max(longest)
    return functools.reduce(_sum, nodes.values()) | {"seconds": seconds, "nodes": nodes}


def _by_node(entry: dict[str, Any] | None) -> dict[str, dict[str, Any]]:
    return {} if entry is None else entry.get("nodes", {"0": entry})


def ew_psds(psds: float, kwh_baseline: float, kwh_submission: float) -> float:
    """Energy-weighted PSDS (DCASE Task 4): both energies of the same phase, measured on the same hardware."""
    if min(kwh_baseline, kwh_submission) <= 0:
        raise ValueError(f"expected energies above 0 kWh, got {kwh_baseline} and {kwh_submission}")
    return psds * kwh_baseline / kwh_submission


def _start(conf: EnergyConf, save: Callable[[dict[str, Any]], None]) -> tuple[Any, str]:
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
        return None, _text(error)


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


def _stop(tracker: Any, conf: EnergyConf) -> dict[str, Any]:
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


def _unmeasured(reason: str) -> dict[str, Any]:
    return {**dict.fromkeys((*ENERGIES, "mode")), "reason": reason}


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


def _sum(before: dict[str, Any], entry: dict[str, Any]) -> dict[str, Any]:
    """Add up two parts of one phase. If one of them was not measured, the sum is unknown."""
    total = before | entry
    for name in SUMS:
        parts = (before.get(name), entry.get(name))
        total[name] = None if None in parts else sum(parts)
    if records := [*before.get("records", ()), *entry.get("records", ())]:
        total["records"] = records
    for name in total.keys() - {*SUMS, "reason", "records"}:  # where the parts differ, both are named
        parts = dict.fromkeys(str(part[name]) for part in (before, entry) if part.get(name) is not None)
        total[name] = " + ".join(parts) or None
    if total["kwh"] is None:
        total["reason"] = entry.get("reason") or f"an earlier part: {before.get('reason', 'not measured')}"
    return total


def _text(error: Exception) -> str:
    return f"{type(error).__name__}: {error}".splitlines()[0]


def _warn(phase: str, reason: str) -> None:
    warn(f"the energy of {phase} is not measured: {reason}")
