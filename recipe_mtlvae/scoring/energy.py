"""Measure the energy of a phase of a run with codecarbon. If the tracker fails, the run continues with a warning."""

from __future__ import annotations

import contextlib
import functools
import itertools
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from recipe_mtlvae.conf_sections import EnergyConf
from recipe_mtlvae.errors import warn
from recipe_mtlvae.files import read_json, write_json
from recipe_mtlvae.locks import locked
from recipe_mtlvae.machine import node_begun
from recipe_mtlvae.scoring import energy_tracker

ACCUMULATED = "training"  # its energy adds up when a run is resumed; other phases are measured anew
ENERGIES = ("kwh", "cpu_kwh", "gpu_kwh", "ram_kwh")
SUMS = ("seconds", *ENERGIES)


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

    tracker, reason = energy_tracker.start(conf, save)
    started = time.perf_counter()
    if reason:
        _warn(phase, reason)
    try:
        yield
    finally:
        try:
            save(_unmeasured(reason) if tracker is None else energy_tracker.stop(tracker, conf))
        except Exception as error:
            _warn(phase, energy_tracker.error_text(error))
            with contextlib.suppress(Exception):  # for example a full disk, on which the run's own files fail too
                save(_unmeasured(energy_tracker.error_text(error)))


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
    if is_energy(content):
        return content
    if file.exists():
        warn(f"{file}: damaged; the energy so far is not known")
    return {}


def is_energy(content: Any) -> bool:
    """Whether the content of a JSON file is what `measured` writes: figures by phase."""
    return isinstance(content, dict) and all(map(_is_entry, content.values()))


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


def _unmeasured(reason: str) -> dict[str, Any]:
    return {**dict.fromkeys((*ENERGIES, "mode")), "reason": reason}


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


def _warn(phase: str, reason: str) -> None:
    warn(f"the energy of {phase} is not measured: {reason}")
