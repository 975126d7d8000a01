"""Energy of a phase of a run, with codecarbon; a failing tracker warns and the run goes on."""

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

ACCUMULATED = "training"  # the phase that goes on where it was stopped; the others are measured anew
MEASURE_SECONDS = 15
SAVE_EVERY = 2  # measurements: a killed run keeps all but its last half minute
ENERGIES = ("kwh", "cpu_kwh", "gpu_kwh", "ram_kwh")
SUMS = ("seconds", *ENERGIES)
COUNTERS = ("intel_rapl", "windows_emi", "intel_power_gadget")  # codecarbon's ways to measure a CPU; others estimate


@contextlib.contextmanager
def measured(file: Path, phase: str, conf: EnergyConf, every_process: bool = False) -> Iterator[None]:
    """Measure the block and merge {phase: {kwh, seconds, cpu_kwh, gpu_kwh, ram_kwh, mode, ...}} into `file` (JSON).

    The whole machine's CPU and memory are measured, and all GPUs that the process sees. Where nothing could be
    measured, the figures in kWh are null and `reason` says why: never 0. Phase "training" adds to what `file` holds.
    `records` are codecarbon's own, one a part that was measured, as it would write them into its CSV.
    Under DDP the first process of each node measures, and the nodes' figures are added up; with `every_process` each
    does, for `joined` to count once. Never raises an exception of its own; the block's pass through.
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
            with contextlib.suppress(Exception):  # a full disk, say: the run's own files will tell
                save(_unmeasured(_text(error)))


def joined(records: Sequence[tuple[float, dict[str, Any]]]) -> dict[str, Any]:
    """Several processes' figures of one phase as one; each with its start (s of any one clock).

    Each process measures its whole machine, so that time which several spent side by side on one is shared among them.
    `seconds` are the processes' own, added up.
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
    """The part of [start, end) that is one's own, where each moment is parted evenly among the spans that hold it."""
    edges = sorted({start, end, *(edge for span in spans for edge in span)})
    own = (
        (after - before) / sum(first <= before and after <= last for first, last in spans)
        for before, after in itertools.pairwise(edges)
    )
    return sum(own) / (end - start) if end > start else 1.0


def read_energy(file: Path) -> dict[str, dict[str, Any]]:
    """The figures by phase; none where the file is not there or damaged."""
    content = read_json(file)
    if isinstance(content, dict) and all(isinstance(entry, dict) for entry in content.values()):
        return content
    if file.exists():
        warn(f"{file}: damaged; the energy so far is not known")
    return {}


def _earlier_part(file: Path, phase: str, node: int) -> dict[str, Any] | None:
    """The node's figures of a phase so far; unknown ones where the file is damaged."""
    content = read_energy(file)
    if content or not file.exists():
        return _by_node(content.get(phase)).get(str(node))
    _put_aside(file)
    return {"seconds": None, **_unmeasured(f"{file.name} was damaged")}


def _put_aside(file: Path) -> None:
    """A damaged file is kept by another name: what it holds may be of use to somebody."""
    with contextlib.suppress(OSError):
        file.replace(file.with_name(f"{file.name}.damaged"))


def note_energy(file: Path, phase: str, entry: dict[str, Any], node: int = 0) -> None:
    """Set one phase of `file`, one process at a time; a later node's part of it is added to the others'."""
    file.parent.mkdir(parents=True, exist_ok=True)
    with locked(file.parent):
        before = read_energy(file)
        if not before and file.exists():
            _put_aside(file)
        write_json(file, {**before, phase: _with_node(before.get(phase), entry, node)})


def _with_node(before: dict[str, Any] | None, entry: dict[str, Any], node: int) -> dict[str, Any]:
    """A phase's figures with one node's own; of several, `nodes` keeps each and the rest is their sum.

    They work side by side: the sum's `seconds` are the longest node's.
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
    """A running tracker, or None and the reason."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # 3.3 deprecates save_to_file in favour of what older ones do not know
            from codecarbon import OfflineEmissionsTracker

            logging.getLogger("codecarbon").setLevel(logging.ERROR)  # its log_level comes too late for the first lines
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
        # constructor and start() swallow their exceptions and leave half an object
        if getattr(tracker, "_start_time", None) is None:
            return None, "codecarbon's tracker did not start"
        return tracker, ""
    except ModuleNotFoundError as error:
        return None, f"{error.name} is not installed"
    except Exception as error:
        return None, _text(error)


class _Saver:
    """codecarbon's interface of an output: called with the energy so far."""

    def __init__(self, save: Callable[[Any], None]) -> None:
        self.save = save

    def live_out(self, total: Any, delta: Any) -> None:
        with contextlib.suppress(Exception):  # in the tracker's thread; the end of the phase saves again
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
    """A row of codecarbon's CSV by column; what is no number there is left open, as JSON has none."""
    values = getattr(data, "values", {})
    return {name: None if value != value else value for name, value in values.items()}


def _unmeasured(reason: str) -> dict[str, Any]:
    return {**dict.fromkeys((*ENERGIES, "mode")), "reason": reason}


def _mode(tracker: Any) -> str:
    """How each part was had; codecarbon tells it only by the trackers that it set up."""
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
    """Driver's indices of the CUDA devices that this process sees; None: codecarbon's own choice."""
    cuda = _cuda()
    if cuda is None:
        return None
    try:
        import pynvml  # codecarbon's own; it finds no "GPU-<uuid>" itself

        pynvml.nvmlInit()
        uuids = [f"GPU-{cuda.get_device_properties(i).uuid}" for i in range(cuda.device_count())]
        return [pynvml.nvmlDeviceGetIndex(pynvml.nvmlDeviceGetHandleByUUID(uuid)) for uuid in uuids]
    except Exception:  # another maker's GPU, a virtual one
        return None


def _cuda() -> Any:
    """torch.cuda where this process has loaded torch and there is a device, else None."""
    cuda = getattr(sys.modules.get("torch"), "cuda", None)
    return cuda if cuda is not None and cuda.is_available() else None


def _sum(before: dict[str, Any], entry: dict[str, Any]) -> dict[str, Any]:
    """Two parts of one phase. A part that was not measured leaves the sum unknown."""
    total = before | entry
    for name in SUMS:
        parts = (before.get(name), entry.get(name))
        total[name] = None if None in parts else sum(parts)
    if records := [*before.get("records", ()), *entry.get("records", ())]:
        total["records"] = records
    for name in total.keys() - {*SUMS, "reason", "records"}:  # another machine, mode or version: both are named
        parts = dict.fromkeys(str(part[name]) for part in (before, entry) if part.get(name) is not None)
        total[name] = " + ".join(parts) or None
    if total["kwh"] is None:
        total["reason"] = entry.get("reason") or f"an earlier part: {before.get('reason', 'not measured')}"
    return total


def _text(error: Exception) -> str:
    return f"{type(error).__name__}: {error}".splitlines()[0]


def _warn(phase: str, reason: str) -> None:
    warn(f"the energy of {phase} is not measured: {reason}")
