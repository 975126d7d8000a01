"""The conditions of the scores: what another run must have in common to be comparable."""

from __future__ import annotations

from collections.abc import Sequence

import yaml

from recipe_mtlvae.conf import conf_to_dict
from recipe_mtlvae.report.comparison.compared import ComparedSystem
from recipe_mtlvae.report.comparison.compared_splits import split_name, split_title, splits_of
from recipe_mtlvae.report.comparison.costs import kwh_text
from recipe_mtlvae.report.comparison.tables import NONE


def conf_text(system: ComparedSystem) -> str:
    return yaml.safe_dump(conf_to_dict(system.runs[0].conf), sort_keys=False, allow_unicode=True)


def conditions(systems: Sequence[ComparedSystem]) -> list[tuple[str, str]]:
    """Return (name, value) of the clip lists, the package versions, and the settings of each system."""
    rows: list[tuple[str, str]] = []
    for split in splits_of(systems):
        name = split_title(systems, split).lower()
        result = next(system.results[split] for system in systems if split in system.results)
        rows.append((f"Clip list, {name}", result.clip_list_hash or NONE))
        if result.absent_classes:
            rows.append((f"Classes without truth, {name}", ", ".join(result.absent_classes)))
    versions = next((result.versions for system in systems for result in system.results.values()), {})
    rows += [(package, str(version)) for package, version in versions.items()]
    for system in systems:
        before = f"{system.name}: " if len(systems) > 1 else ""
        rows += [(before + name, value) for name, value in _settings(system)]
    return rows


def _settings(system: ComparedSystem) -> list[tuple[str, str]]:
    rows: list[tuple[str, str]] = []
    run = system.runs[0]
    output = next((result.output for result in system.results.values() if result.output), None)
    metrics = next(iter(run.metrics.values()), {})
    seconds = output.median_filter_seconds if output else metrics.get("median_filter_seconds")
    threshold = output.threshold if output else metrics.get("threshold")
    if seconds is not None:
        rows.append(("median filter", f"{seconds:g} s" if seconds else "none here"))
    if threshold is not None:
        rows.append(("threshold of events and F1", f"{threshold:g}"))
    for phase, entry in run.energy.items():
        parts = {part: entry.get(f"{part.lower()}_kwh") for part in ("CPU", "GPU", "RAM")}
        shares = ", ".join(f"{part} {kwh_text(kwh)} kWh" for part, kwh in parts.items() if kwh)
        hardware = [str(entry[key]) for key in ("cpu_model", "gpu_model") if entry.get(key)]
        version = [f"codecarbon {entry['codecarbon']}"] if entry.get("codecarbon") else []
        if shares or hardware:
            name = split_name(phase).lower()
            rows.append((f"energy, {name}", "; ".join([*filter(None, [shares]), *hardware, *version])))
    return rows
