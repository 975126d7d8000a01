"""The tables of figures, as rows for both the HTML template and the terminal."""

from __future__ import annotations

import math
from collections.abc import Callable, Container, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import combinations
from typing import Any

from recipe_mtlvae.report.comparison.compared import ComparedSystem, Result, difference, winner
from recipe_mtlvae.report.comparison.compared_splits import split_name, splits_of, title_with_clips
from recipe_mtlvae.report.pages import counted
from recipe_mtlvae.report.runs import Published
from recipe_mtlvae.scoring import scenarios
from recipe_mtlvae.scoring.intervals import Interval
from recipe_mtlvae.scoring.scenarios import UNOFFICIAL, Metric
from recipe_mtlvae.text_table import text_table

NONE = "-"
NARROW = "†"  # marks an interval that is likely too narrow
NEVER_DETECTED = ", never detected"


@dataclass(frozen=True)
class Cell:
    text: str
    value: float | None = None  # the exact figure, unrounded
    spread: str = ""  # standard deviation over runs and interval, one line each
    best: bool = False


@dataclass(frozen=True)
class ScoreRow:
    """One system, class or difference."""

    name: str
    note: str
    own: bool  # measured here, not published elsewhere
    cells: tuple[Cell, ...]  # in the order of scenarios.METRICS


@dataclass(frozen=True)
class Group:
    title: str
    rows: tuple[ScoreRow, ...]


def score_groups(systems: Sequence[ComparedSystem], published: Sequence[Published]) -> list[Group]:
    """Return one group per split: the scores of the systems, then the published ones."""
    groups = []
    for split in splits_of(systems):
        winners = {key: winner(systems, split, key) for key in scenarios.metric_keys()}
        rows = []
        for system in systems:
            if split in system.results:
                best = {key for key, one in winners.items() if one is system}
                rows.append(_system_row(system, split, best, len(systems) > 1))
                rows += _tuned_row(system, split) + _toolkit_row(system, split, published)
        rows += [_published_row(row, split, systems) for row in published if row.scores(split)]
        groups.append(Group(title_with_clips(systems, split), tuple(rows)))
    return groups


def difference_groups(systems: Sequence[ComparedSystem]) -> list[Group]:
    """Return one group per split: the paired differences of every two systems."""
    groups = []
    for split in splits_of(systems):
        pairs = combinations([system for system in systems if split in system.results], 2)
        rows = [_difference_row(a, b, split) for a, b in pairs]
        if rows := [row for row in rows if any(cell.value is not None for cell in row.cells)]:
            groups.append(Group(title_with_clips(systems, split), tuple(rows)))
    return groups


def published_groups(published: Sequence[Published]) -> list[Group]:
    """Return one group per split: all published figures with their sources."""
    groups = []
    for split in dict.fromkeys(split for system in published for split in system.splits):
        rows = [_row(system.name, system.source, system.scores(split)) for system in published if system.scores(split)]
        groups.append(Group(split_name(split), tuple(rows)))
    return groups


def class_groups(systems: Sequence[ComparedSystem], split: str) -> list[Group]:
    """Return one group per system: a row per class, the worst first. A class without truth has no figures."""
    groups = []
    for system in (system for system in systems if split in system.results):
        result = system.results[split]
        order, title = result.worst_classes, system.name if len(systems) > 1 else ""
        groups.append(Group(title, tuple(_class_row(result, label) for label in order)))
        for key, (name, _) in UNOFFICIAL.items():
            if tuned := _figures_beside(system, split, key):
                rows = tuple(_row(label, _decoding(tuned, label), tuned["per_class"][label]) for label in order)
                groups.append(Group(f"{system.name}, {name}", rows))
    return groups


def scores_text(groups: Sequence[Group]) -> str:
    """Return the groups as text for the terminal: the figures, then their deviations and intervals."""
    headings = [metric.heading for metric in scenarios.METRICS]
    align = "<" + ">" * len(headings) + "<"
    tables = []
    for group in groups:
        rows = [[row.name, *(cell.text + "*" * cell.best for cell in row.cells), row.note] for row in group.rows]
        tables.append(text_table([[group.title, *headings, ""], *rows], align))
        rows = [[row.name, *(cell.spread.replace("\n", " ") for cell in row.cells)] for row in group.rows]
        if rows := [row for row in rows if any(row[1:])]:
            tables.append(text_table([["95 % intervals", *headings], *rows]))
    return "\n\n".join(tables) + "\n"


def _figures_beside(system: ComparedSystem, split: str, key: str) -> Mapping[str, Any] | None:
    """Return section `key` (of scenarios.UNOFFICIAL) of the metrics.json of a system that has a single run.

    None for several runs, since a mean over runs with different tunings says little, and if the official figures of
    metrics.json are not those shown, because it was computed from other scores or with another truth.
    """
    metrics, result = system.runs[0].metrics.get(split, {}) if len(system.runs) == 1 else {}, system.results[split]
    figures = [(metrics.get(name), value) for name, value in result.macro.items()]
    same = all(isinstance(own, int | float) and math.isclose(own, value, abs_tol=1e-6) for own, value in figures)
    return metrics.get(key) if same and metrics.get("clip_list_hash") == result.clip_list_hash else None


def _tuned_row(system: ComparedSystem, split: str) -> list[ScoreRow]:
    """Return the rows of the tuned figures, shown beside the official figures and never in their place."""
    return [
        _row(f"{system.name}, {name}", f"{note}; not the official figures", found, own=True)
        for key, (name, note) in UNOFFICIAL.items()
        if (found := _figures_beside(system, split, key))
    ]


def _toolkit_row(system: ComparedSystem, split: str, published: Sequence[Published]) -> list[ScoreRow]:
    """Return PSDS as the DCASE toolkit of 2023 and 2024 counts it.

    No row if it cannot differ, or if no published figures of the same data are in the table. Without conf.yaml the data
    set is not known, and is taken to be that of the published figures.
    """
    count = system.results[split].toolkit
    data = {run.conf.data.name for run in system.runs if run.conf}
    same = any(row.scores(split) and data <= {row.data.lower()} for row in published)
    if count is None or not count.dropped or not same:
        return []
    clips = f"{count.clips:,} clips, {count.dropped} without events left out"
    note = f"as figures published from 2023 on are counted: {clips}"
    return [_row(f"{system.name}, clips with events", note, count.psds, own=True)]


def _decoding(tuned: Mapping[str, Any], label: str) -> str:
    kind = "median_filters_seconds" if "median_filters_seconds" in tuned else "lengths_seconds"
    name = "median filter" if kind == "median_filters_seconds" else "boxes from a change filter"
    return f"threshold {tuned['thresholds'][label]:g}, {name} of {tuned[kind][label]:.2f} s"


def published_note(published: Sequence[Published]) -> str:
    """Say whether the report's system is below the official baseline, since the table shows both."""
    report = next((row for row in published if row.group == "report" and row.headline), None)
    baseline = next((row for row in published if row.group == "baseline" and row.headline), None)
    split = next(iter(report.splits), "") if report else ""
    if not report or not baseline or not {"event_f1"} <= report.scores(split).keys() & baseline.scores(split).keys():
        return ""
    ours, theirs = report.scores(split)["event_f1"], baseline.scores(split)["event_f1"]
    order = "below" if ours < theirs else "not below"
    return (
        f"By the published figures, the report's system ({100 * ours:.1f} % event-based F1 on {report.data} {split}) "
        f"is {order} the official 2022 baseline ({100 * theirs:.1f} %)."
    )


def _row(
    name: str,
    note: str,
    scores: Mapping[str, float | None],
    own: bool = False,
    spread: Callable[[Metric], str] = lambda metric: "",
    best: Container[str] = (),
) -> ScoreRow:
    values = [(metric, scores.get(metric.key)) for metric in scenarios.METRICS]
    cells = (Cell(metric.text(value), value, spread(metric), metric.key in best) for metric, value in values)
    return ScoreRow(name, note, own, tuple(cells))


def _system_row(system: ComparedSystem, split: str, best: Container[str], several: bool) -> ScoreRow:
    result, conf = system.results[split], system.runs[0].conf
    notes = [f"measured here, on {conf.data.name}" if conf else "measured here"]
    if result.runs > 1:
        notes.append(f"mean and standard deviation of {result.runs} runs")
    if result.operating_points is not None:
        notes.append(f"PSDS at {counted(result.operating_points, 'threshold')}")
    if several and not system.ranked:
        notes.append("not converged: not ranked")
    return _row(system.name, "; ".join(notes), result.macro, True, partial(_spread, result), best)


def _class_row(result: Result, label: str) -> ScoreRow:
    clips = result.class_clips.get(label)
    note = f"in {counted(clips, 'clip')}" if clips else ""
    note += NEVER_DETECTED * (label in result.undetected)
    return _row(label, note, result.per_class[label], True, partial(_class_spread, result, label))


def _spread(result: Result, metric: Metric) -> str:
    parts = []
    if metric.key in result.deviation:
        parts.append(f"± {metric.text(result.deviation[metric.key])}")
    if metric.key in result.intervals:
        parts.append(_interval(metric, result.intervals[metric.key], result.is_narrow(metric)))
    return "\n".join(parts)


def _class_spread(result: Result, label: str, metric: Metric) -> str:
    found = result.class_intervals.get(label, {}).get(metric.key)
    return _interval(metric, found, result.is_narrow(metric, label)) if found else ""


def _interval(metric: Metric, found: Interval, narrow: bool, sign: str = "") -> str:
    return f"[{metric.text(found.low, sign=sign)}, {metric.text(found.high, sign=sign)}]" + NARROW * narrow


def _published_row(system: Published, split: str, systems: Sequence[ComparedSystem]) -> ScoreRow:
    data = {run.conf.data.name for one in systems if split in one.results for run in one.runs if run.conf}
    where = {False: f"on other data: {system.data}", True: f"on its authors' copy of {system.data}"}
    note = where[data == {system.data.lower()}] if data else f"on {system.data}"
    return _row(system.name, f"published, {note}", system.scores(split))


def _difference_row(a: ComparedSystem, b: ComparedSystem, split: str) -> ScoreRow:
    cells = tuple(_difference_cell(a, b, split, metric) for metric in scenarios.METRICS)
    unconverged = " and ".join(one.name for one in (a, b) if not one.ranked)
    notes = [f"not converged: {unconverged}"] if unconverged else []
    if a.results[split].operating_points != b.results[split].operating_points:
        notes.append("PSDS was measured in different ways")
    return ScoreRow(f"{a.name} minus {b.name}", "; ".join(notes), True, cells)


def _difference_cell(a: ComparedSystem, b: ComparedSystem, split: str, metric: Metric) -> Cell:
    found = difference(a.results[split], b.results[split], metric.key)
    if found is None:
        return Cell(NONE)
    narrow = any(one.results[split].is_narrow(metric) for one in (a, b))
    star = found.interval.excludes_zero and found.alike and a.ranked and b.ranked
    return Cell(metric.text(found.value, sign="+"), found.value, _interval(metric, found.interval, narrow, "+"), star)
