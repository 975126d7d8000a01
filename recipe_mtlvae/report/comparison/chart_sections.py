"""The chart sections of the page, for one system or several."""

from __future__ import annotations

import math
from collections.abc import Sequence

from recipe_mtlvae.conf_sections import TRAINING
from recipe_mtlvae.corpus.splits import Corpus
from recipe_mtlvae.inputs.mel_scale import band_centres
from recipe_mtlvae.report.charts import Chart, ChartSection
from recipe_mtlvae.report.comparison import plots
from recipe_mtlvae.report.comparison.clip_plot import clip_chart
from recipe_mtlvae.report.comparison.clips import ClipView
from recipe_mtlvae.report.comparison.compared import ComparedSystem, Result
from recipe_mtlvae.report.comparison.compared_splits import split_title
from recipe_mtlvae.report.comparison.energy_use import mean_kwh
from recipe_mtlvae.report.latents import read_latents
from recipe_mtlvae.report.palette import SYSTEM_COLOURS, palette
from recipe_mtlvae.report.runs import Run
from recipe_mtlvae.report.theme import ROWS
from recipe_mtlvae.scoring import scenarios


def sections(
    systems: Sequence[ComparedSystem], splits: Sequence[str], views: Sequence[ClipView], corpus: Corpus | None
) -> list[ChartSection]:
    """Return the sections that have at least one chart. Sections that show a single split show the first."""
    found = [
        *(_classes(systems, split) for split in splits),
        *(_psd_roc(systems, split) for split in splits),
        _energy(systems, splits[0]),
        _training(systems),
        _latent_space(systems),
        _clips(systems, views, corpus),
    ]
    return [section for section in found if section.charts]


def _classes(systems: Sequence[ComparedSystem], split: str) -> ChartSection:
    results = {system.name: system.results[split] for system in systems if split in system.results}
    common = [label for label in _labels(results) if all(label in result.per_class for result in results.values())]
    labels = common[:ROWS]
    colours = palette(labels) if len(results) == 1 else palette(list(results), SYSTEM_COLOURS)
    charts = []
    for metric in scenarios.METRICS if labels else ():
        values = {
            name: {label: _scaled(result.per_class[label].get(metric.key), metric.scale) for label in labels}
            for name, result in results.items()
        }
        intervals = {
            name: {
                label: (metric.scale * found[metric.key].low, metric.scale * found[metric.key].high)
                for label, found in result.class_intervals.items()
            }
            for name, result in results.items()
        }
        axis = "F1 (%)" if metric.percent else "PSDS (0 to 1)"
        title = metric.title[:1].upper() + metric.title[1:]
        charts.append(Chart(plots.bars(values, intervals, colours, title, axis, metric.scale)))
    text = f"On {split_title(systems, split).lower()}."
    if any(result.class_intervals for result in results.values()):
        text += " Whiskers are 95 % intervals of a bootstrap over clips."
    if any(len(result.per_class) > ROWS for result in results.values()):
        text += f" Only the first {ROWS} classes are shown; the table has all."
    if len(results) == 1:
        text += " A class has the same colour in all charts of this page."
    return ChartSection("Scores of each class", text, tuple(charts))


def _psd_roc(systems: Sequence[ComparedSystem], split: str) -> ChartSection:
    charts = []
    for key, name, scenario in ((one.key, one.short, one.scenario) for one in scenarios.METRICS if one.is_psds):
        curves = {one.name: one.results[split].curves[key] for one in systems if key in _curves(one, split)}
        if curves:
            measured = [one.results[split] for one in systems if split in one.results]
            is_its_area = len(measured) == 1 and measured[0].runs == 1  # a mean over runs is not
            title = f"{name} = {measured[0].macro[key]:.3f}" if is_its_area else name
            axis = "effective false positives per hour"
            charts.append(Chart(plots.roc(curves, title, scenario.max_efpr, axis)))
    on = split_title(systems, split).lower()
    text = (
        f"The polyphonic sound detection ROC on {on}: the share of events found at each rate of false alarms. "
        "PSDS is the area under the curve up to 100 false positives an hour, divided by these 100."
    )
    return ChartSection("PSD-ROC", text + _first_run(systems), tuple(charts))


def _energy(systems: Sequence[ComparedSystem], split: str) -> ChartSection:
    points = {}
    systems = [system for system in systems if split in system.results]
    for system in systems:
        kwh = mean_kwh(system, TRAINING)
        if kwh:
            result = system.results[split]
            found = result.intervals.get("psds1")
            points[system.name] = (kwh, result.macro["psds1"], (found.low, found.high) if found else None)
    if len(systems) < 2 or not points:
        return ChartSection("Score against energy", "", ())
    svg = plots.scatter(points, "PSDS1 and training energy", "training energy (kWh, log)", "PSDS1")
    left_out = [system.name for system in systems if system.name not in points]
    text = "Whiskers are 95 % intervals." + (f" Not measured: {', '.join(left_out)}." if left_out else "")
    return ChartSection("Score against energy", text, (Chart(svg),))


def _training(systems: Sequence[ComparedSystem]) -> ChartSection:
    charts, drawn = [], set()
    selections = {one.name: one.runs[0].history for one in systems if "val/selection" in one.runs[0].history}
    if len(systems) > 1 and selections:
        charts.append(Chart(plots.selections(selections, "Model selection", "selection score")))
    for system in systems:
        if (history := str(system.runs[0].history)) not in drawn:  # else this is another network of the same training
            charts += _run_charts(system.runs[0], system.name if len(systems) > 1 else "")
        drawn.add(history)
    text = "Loss terms are unweighted. A line marks the epoch with the best selection score, which is the one scored."
    return ChartSection("Training", text + _first_run(systems), tuple(charts))


def _latent_space(systems: Sequence[ComparedSystem]) -> ChartSection:
    charts = []
    for system in systems:
        latents = read_latents(system.runs[0].folder)
        if latents is None:
            continue
        colours = palette(_labels(system.results))
        name = system.name if len(systems) > 1 else ""
        charts.append(Chart(plots.latent_points(latents, colours, "Latent space"), name))
        if latents.traversal is not None and system.runs[0].conf:
            centres = band_centres(system.runs[0].conf.features)
            charts.append(Chart(plots.traversal(latents, centres, "Decoder output along a direction"), name))
    text = (
        "Each point is mu at one step of a test clip in which exactly one class is active, projected on its two main "
        "directions (PCA). If the decoder can be run alone, its output along the first direction is shown too."
    )
    return ChartSection("Latent space", text, tuple(charts))


def _clips(systems: Sequence[ComparedSystem], views: Sequence[ClipView], corpus: Corpus | None) -> ChartSection:
    labels = _labels({name: result for system in systems for name, result in system.results.items()})
    labels += sorted({event.label for view in views for _, lane in view.lanes for event in lane} - set(labels))
    colours = palette(labels)
    frame_seconds = corpus.conf.features.hop_length / corpus.conf.features.sample_rate if corpus else 0.0
    charts = []
    for view in views:
        svg = clip_chart(
            view.log_mel,
            frame_seconds,
            band_centres(corpus.conf.features) if corpus else (),
            view.seconds,
            view.lanes,
            colours,
            f"{view.rank}: {view.name}",
        )
        title = f"{view.rank[:1].upper()}{view.rank[1:]}:"
        charts.append(Chart(svg, title, f"{view.name}, F1 {100 * view.f1:.0f}\u00a0%", view.audio))
    text = (
        "The worst, the median and the best clips by their segment-based F1"
        + (", the mean of the systems" if len(systems) > 1 else "")
        + ". Above, the log-mel spectrogram; below, the true events (solid) and the detected ones (hatched)."
    )
    return ChartSection("Test clips", text + _first_run(systems), tuple(charts))


def _first_run(systems: Sequence[ComparedSystem]) -> str:
    return " Of several runs, the first is shown." * any(len(system.runs) > 1 for system in systems)


def _run_charts(run: Run, name: str) -> list[Chart]:
    history = run.history
    epochs = [epoch + 1 for epoch in history.get("epoch", [])]
    losses = _columns(history, "loss/")
    total = losses.pop("total", None)
    found = []
    if losses:
        found.append(plots.lines(epochs, losses, "Loss terms", "mean over elements", log=True))
    if total:
        found.append(plots.lines(epochs, {"total": total}, "Training loss", "weighted sum"))
    spread = {column: values for column, values in _columns(history, "kl/").items() if column in ("mean", "max")}
    if spread:
        found.append(plots.lines(epochs, spread, "KL divergence of a latent dimension", "nats a step", log=True))
    if "kl/active_dims" in history:
        active = {"active": history["kl/active_dims"]}
        found.append(plots.lines(epochs, active, "Active latent dimensions", "dimensions"))
    selection = _columns(history, "val/")
    if selection:
        best = "selection" if "selection" in selection else None
        found.append(plots.lines(epochs, selection, "Model selection", "score", best=best))
    return [Chart(svg, name) for svg in found]


def _labels(results: dict[str, Result]) -> list[str]:
    """Return the classes of all results, sorted, so that a class has the same colour in every chart."""
    return sorted({label for result in results.values() for label in result.per_class})


def _curves(system: ComparedSystem, split: str) -> dict:
    return system.results[split].curves if split in system.results else {}


def _scaled(value: float | None, scale: float) -> float | None:
    return None if value is None else scale * value


def _columns(history: dict[str, list[float]], prefix: str) -> dict[str, list[float]]:
    """Return the columns whose names start with `prefix`, by the rest of the name. All-nan columns are left out."""
    found = {name.removeprefix(prefix): values for name, values in history.items() if name.startswith(prefix)}
    return {name: values for name, values in found.items() if not all(math.isnan(value) for value in values)}
