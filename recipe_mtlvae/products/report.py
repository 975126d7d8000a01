"""report.html: one page a run, self-contained, from the run's files alone."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jinja2
import yaml
from markupsafe import Markup

from recipe_mtlvae.conf import conf_to_dict
from recipe_mtlvae.files import write_text
from recipe_mtlvae.products import plots, tables
from recipe_mtlvae.products.clips import ClipView, band_centres, clip_views
from recipe_mtlvae.products.runs import Run, read_published
from recipe_mtlvae.scoring.scenarios import PSDS1, PSDS2

TEMPLATE = Path(__file__).with_name("report.html")
SCENARIOS = {"psds1": ("PSDS1", PSDS1), "psds2": ("PSDS2", PSDS2)}


@dataclass(frozen=True)
class Chart:
    """An SVG chart; where its title holds a name, the page writes it."""

    svg: Markup
    title: str = ""
    note: str = ""


@dataclass(frozen=True)
class Section:
    title: str
    text: str
    charts: tuple[Chart, ...]
    class_rows: tuple[tables.ScoreRow, ...] = ()  # the same figures as a table


def write_report(run: Run, root: Path, file: Path) -> str:
    """Write the page of `run` to `file`; `root` is its corpus. Returns the tables as text for the terminal."""
    published = read_published()
    gaps = list(run.gaps)
    clips = clip_views(run.conf, root, run.folder / "scores" / "validation", gaps) if run.conf else []
    headline = [system for system in published if system.headline]
    groups, fact_rows = tables.score_groups([run], headline), tables.facts([run])
    sections = [_classes_section(run), _roc_section(run), _training_section(run), _clips_section(run, clips)]
    write_text(
        file,
        render(
            title=run.name,
            runs=[run],
            kinds=tables.SCORE_KINDS,
            groups=groups,
            facts=fact_rows,
            note=tables.published_note(published),
            sections=[section for section in sections if section.charts],
            published=tables.published_groups(published),
            conditions=_conditions(run),
            conf=yaml.safe_dump(conf_to_dict(run.conf), sort_keys=False, allow_unicode=True) if run.conf else "",
            gaps=gaps,
        ),
    )
    return tables.as_text(groups, fact_rows, [run])


def render(**content: Any) -> str:
    """The template filled in; everything but charts is escaped."""
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(TEMPLATE.parent),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template(TEMPLATE.name).render(**content)


def _classes_section(run: Run) -> Section:
    scores = run.metrics.get("validation", {}).get("per_class", {})
    colours = plots.palette(list(scores))
    charts = []
    for kind in tables.SCORE_KINDS if scores else ():
        values = {name: entry.get(kind.key) for name, entry in scores.items()}
        scaled = {name: None if value is None else kind.scale * value for name, value in values.items()}
        axis = "F1 (%)" if kind.scale > 1 else "PSDS (0 to 1)"
        charts.append(Chart(Markup(plots.bars(scaled, colours, _capital(kind.name), axis, kind.scale))))
    text = "On validation. A class has the same colour in all charts of this page."
    return Section(
        "Scores of each class", text, tuple(charts), class_rows=tables.class_rows(run.metrics.get("validation", {}))
    )


def _roc_section(run: Run) -> Section:
    charts = []
    for key, (name, scenario) in SCENARIOS.items():
        curve = run.curves.get("validation", {}).get(key)
        if curve:
            title = f"{name} = {run.metrics['validation'].get(key, math.nan):.3f}"
            points = {run.name: (curve["efpr"], curve["etpr"])}
            charts.append(
                Chart(Markup(plots.roc(points, title, scenario.max_efpr, "effective false positives per hour")))
            )
    text = (
        "The polyphonic sound detection ROC on validation: what is found, at each rate of false alarms. The area under "
        "the curve up to 100 false positives an hour, as a share of the whole, is the PSDS."
    )
    return Section("PSD-ROC", text, tuple(charts))


def _training_section(run: Run) -> Section:
    history = run.history
    epochs = [epoch + 1 for epoch in history.get("epoch", [])]
    losses = _columns(history, "loss/")
    total = losses.pop("total", None)
    charts = []
    if losses:
        charts.append(Chart(Markup(plots.lines(epochs, losses, "Loss terms", "mean over elements (log)", log=True))))
    if total:
        charts.append(Chart(Markup(plots.lines(epochs, {"total": total}, "Training loss", "weighted sum"))))
    spread = {name: values for name, values in _columns(history, "kl/").items() if name in ("mean", "max")}
    if spread:
        title, axis = "KL divergence of a latent dimension", "nats a step (log)"
        charts.append(Chart(Markup(plots.lines(epochs, spread, title, axis, log=True))))
    if "kl/active_dims" in history:
        active = {"active": history["kl/active_dims"]}
        charts.append(Chart(Markup(plots.lines(epochs, active, "Active latent dimensions", "dimensions"))))
    selection = _columns(history, "val/")
    if selection:
        charts.append(Chart(Markup(plots.lines(epochs, selection, "Model selection", "score", best="selection"))))
    text = "Loss terms are unweighted. The epoch with the best selection score, marked by a line, is the one scored."
    return Section("Training", text, tuple(charts))


def _clips_section(run: Run, clips: Sequence[ClipView]) -> Section:
    classes = run.metrics.get("validation", {}).get("per_class", {})
    labels = list(classes) or sorted({event.label for clip in clips for lane in clip.lanes.values() for event in lane})
    colours = plots.palette(labels)
    charts = []
    for clip in clips:
        svg = plots.clip(
            clip.log_mel,
            clip.frame_seconds,
            band_centres(run.conf.features),
            clip.seconds,
            clip.lanes,
            colours,
            f"{clip.rank}: {clip.name}",
        )
        charts.append(Chart(Markup(svg), _capital(clip.rank), f"{clip.name}, F1 {100 * clip.f1:.0f}\u00a0%"))
    text = (
        "The best, the median and the worst by the segment-based F1 of the single clip (1 s): above, the log-mel "
        "spectrogram; below, the true events (solid) and the detected ones (hatched)."
    )
    return Section("Test clips", text, tuple(charts))


def _conditions(run: Run) -> list[tuple[str, str]]:
    """How the scores came about: what another run must share with this one to be compared with it."""
    rows = []
    for split, metrics in run.metrics.items():
        name = tables.SPLIT_NAMES[split].lower()
        rows.append((f"Clip list, {name}", str(metrics.get("clip_list_hash", tables.NONE))))
        if metrics.get("absent_classes"):
            rows.append((f"Classes without truth, {name}", ", ".join(metrics["absent_classes"])))
    metrics = run.metrics.get("validation") or next(iter(run.metrics.values()))
    if metrics.get("median_filter_seconds") is not None:
        rows.append(("Median filter", f"{metrics['median_filter_seconds']:g} s"))
    if metrics.get("threshold") is not None:
        rows.append(("Threshold of events and F1", f"{metrics['threshold']:g}"))
    rows += [(package, str(version)) for package, version in metrics.get("versions", {}).items()]
    for phase, entry in run.energy.items():
        name = tables.SPLIT_NAMES.get(phase, phase).lower()
        parts = {part: entry.get(f"{part.lower()}_kwh") for part in ("CPU", "GPU", "RAM")}
        split = ", ".join(f"{part} {tables.kwh_text(kwh)} kWh" for part, kwh in parts.items() if kwh)
        hardware = [str(entry[key]) for key in ("cpu_model", "gpu_model") if entry.get(key)]
        version = [f"codecarbon {entry['codecarbon']}"] if entry.get("codecarbon") else []
        if split or hardware:
            rows.append((f"Energy, {name}", "; ".join([*filter(None, [split]), *hardware, *version])))
    return rows


def _columns(history: dict[str, list[float]], prefix: str) -> dict[str, list[float]]:
    """The history's columns under `prefix`, by the rest of their name, without those that were never logged."""
    found = {name.removeprefix(prefix): values for name, values in history.items() if name.startswith(prefix)}
    return {name: values for name, values in found.items() if not all(math.isnan(value) for value in values)}


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]
