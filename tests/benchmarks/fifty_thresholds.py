"""Post-processing and metrics as the baseline recipe does them: filter, decode and count at each of 50 thresholds.

A plain rewrite of what its trainer does: one table of events per threshold, each written as a TSV, the intersection
criteria on these tables, PSDS from the 50 points, and F1 at threshold 0.5 by sed_eval.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import scipy.ndimage

from recipe_mtlvae.labels import Event
from recipe_mtlvae.scoring.scenarios import EVENT, INTERSECTION, PSDS1, PSDS2, SEGMENT, Intersection, PSDScenario
from recipe_mtlvae.scoring.scores import ScoreFolder

THRESHOLDS = tuple(round(0.01 + 0.02 * number, 2) for number in range(50))
COLUMNS = ["event_label", "onset", "offset"]

Points = dict[float, pd.DataFrame]


def measured(
    scores: ScoreFolder, truth: Mapping[str, Sequence[Event]], durations: Mapping[str, float], size: int, folder: Path
) -> dict[str, float]:
    """Return all figures of scenarios.METRICS and write one TSV per threshold to `folder`.

    The scores are unprocessed; `size` is the length of the median filter in steps.
    """
    points = decoded(scores, size, (*THRESHOLDS, 0.5))
    for threshold, table in points.items():
        table.to_csv(folder / f"predictions_th_{threshold:.2f}.tsv", sep="\t", index=False)
    expected = table_of(truth)
    curve = {threshold: points[threshold] for threshold in THRESHOLDS}
    return {
        "psds1": psds(curve, expected, durations, PSDS1),
        "psds2": psds(curve, expected, durations, PSDS2),
        **sed_eval_f1(points[0.5], expected, durations),
        "intersection_f1": intersection_f1(points[0.5], expected, INTERSECTION),
    }


def decoded(scores: ScoreFolder, size: int, thresholds: Sequence[float]) -> Points:
    """Return the events of all clips at each threshold."""
    points = {threshold: pd.DataFrame(columns=[*COLUMNS, "filename"]) for threshold in thresholds}
    for clip, item in scores.clips.items():
        for threshold in thresholds:
            active = scipy.ndimage.median_filter((item.scores > threshold).astype(np.int8), (size, 1))
            rows = []
            for column, label in enumerate(scores.classes):
                borders = np.flatnonzero(np.diff(active[:, column], prepend=0, append=0))
                rows += [[label, item.edges[a], item.edges[b]] for a, b in borders.reshape(-1, 2)]
            if rows:
                table = pd.DataFrame(rows, columns=COLUMNS)
                table["filename"] = clip
                points[threshold] = pd.concat([points[threshold], table] if len(points[threshold]) else [table])
    return {threshold: table.reset_index(drop=True) for threshold, table in points.items()}


def table_of(truth: Mapping[str, Sequence[Event]]) -> pd.DataFrame:
    rows = [[event.label, event.onset, event.offset, clip] for clip, events in truth.items() for event in events]
    return pd.DataFrame(rows, columns=[*COLUMNS, "filename"])


def counts(
    found: pd.DataFrame, expected: pd.DataFrame, criteria: Intersection
) -> tuple[pd.Series, pd.Series, pd.DataFrame]:
    """Return true positives and false positives per class, and cross triggers per pair of classes."""
    found = found.assign(detection=np.arange(len(found)), length=found.offset - found.onset)
    expected = expected.assign(event=np.arange(len(expected)), event_length=expected.offset - expected.onset)
    pairs = found.merge(expected, on="filename", suffixes=("", "_true"))
    first, last = np.maximum(pairs.onset, pairs.onset_true), np.minimum(pairs.offset, pairs.offset_true)
    pairs = pairs.assign(shared=np.maximum(last - first, 0.0))
    same = pairs[pairs.event_label == pairs.event_label_true]
    inside = same.groupby("detection").shared.sum().reindex(found.detection, fill_value=0.0)
    relevant = (inside.round(6) >= (criteria.dtc * found.length.to_numpy()).round(6)).to_numpy()
    covered = same[relevant[same.detection]].groupby("event").shared.sum().reindex(expected.event, fill_value=0.0)
    # events that no relevant detection overlaps are filled in with a coverage of 0
    hit = (covered.round(6) >= (criteria.gtc * expected.event_length.to_numpy()).round(6)).to_numpy()
    wrong = found[~relevant]
    crossed = pd.DataFrame(columns=["event_label", "event_label_true"])
    if criteria.cttc is not None:
        others = pairs[(pairs.event_label != pairs.event_label_true) & ~relevant[pairs.detection]]
        others = others.groupby(["detection", "event_label", "event_label_true", "length"], as_index=False).shared.sum()
        crossed = others[others.shared.round(6) >= (criteria.cttc * others.length).round(6)]
    return (
        expected[hit].groupby("event_label").size(),
        wrong.groupby("event_label").size(),
        crossed.groupby(["event_label", "event_label_true"]).size().unstack(fill_value=0),
    )


def psds(points: Points, expected: pd.DataFrame, durations: Mapping[str, float], scenario: PSDScenario) -> float:
    """The polyphonic sound detection score of these operating points."""
    classes = sorted(expected.event_label.unique())
    hours = sum(durations.values()) / 3600
    number = expected.groupby("event_label").size()
    truth_hours = (expected.offset - expected.onset).groupby(expected.event_label).sum() / 3600
    curves: dict[str, list[tuple[float, float]]] = {label: [] for label in classes}
    for table in points.values():
        hits, wrong, crossed = counts(table, expected, scenario.criteria)
        rates = crossed.reindex(index=classes, columns=classes, fill_value=0) / truth_hours[classes]
        for label in classes:
            cross_rate = scenario.alpha_ct * rates.loc[label].sum() / max(len(classes) - 1, 1)
            curves[label].append((wrong.get(label, 0) / hours + cross_rate, hits.get(label, 0) / number[label]))
    x = np.unique([0.0, *(rate for curve in curves.values() for rate, _ in curve if rate <= scenario.max_efpr)])
    stairs = np.array([[max([0.0, *(y for r, y in curve if r <= at)]) for at in x] for curve in curves.values()])
    height = np.maximum(stairs.mean(axis=0) - scenario.alpha_st * stairs.std(axis=0), 0.0)
    return float(height @ np.diff(x, append=scenario.max_efpr)) / scenario.max_efpr


def intersection_f1(found: pd.DataFrame, expected: pd.DataFrame, criteria: Intersection) -> float:
    hits, wrong, _ = counts(found, expected, criteria)
    number = expected.groupby("event_label").size()
    f1 = [2 * hits.get(c, 0) / (hits.get(c, 0) + wrong.get(c, 0) + number[c]) for c in number.index]
    return float(np.mean(f1))


def sed_eval_f1(found: pd.DataFrame, expected: pd.DataFrame, durations: Mapping[str, float]) -> dict[str, float]:
    """Event- and segment-based macro F1."""
    import sed_eval

    labels = sorted(expected.event_label.unique())
    events = sed_eval.sound_event.EventBasedMetrics(
        labels, t_collar=EVENT.onset_collar, percentage_of_length=EVENT.offset_collar_rate
    )
    segments = sed_eval.sound_event.SegmentBasedMetrics(labels, time_resolution=SEGMENT.segment_length)
    for clip in durations:
        lists = [table[table.filename == clip].to_dict("records") for table in (expected, found)]
        events.evaluate(*lists)
        segments.evaluate(*lists, evaluated_length_seconds=durations[clip])
    by_name = {"event_f1": events, "segment_f1": segments}
    return {name: by.results_class_wise_average_metrics()["f_measure"]["f_measure"] for name, by in by_name.items()}
