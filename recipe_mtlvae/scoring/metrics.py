"""PSDS and F1 in the official scenarios, computed with sed_scores_eval."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import singledispatch
from typing import Any

import numpy as np

from recipe_mtlvae.errors import fail
from recipe_mtlvae.labels import Event
from recipe_mtlvae.scoring import scenarios
from recipe_mtlvae.scoring.f1 import f1
from recipe_mtlvae.scoring.matching import active_segments
from recipe_mtlvae.scoring.scenarios import EventScenario, Intersection, PSDScenario, SegmentScenario
from recipe_mtlvae.scoring.scores import ScoreFolder
from recipe_mtlvae.scoring.statistics import Changes, changes

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # its dependencies warn about pkg_resources
    from sed_scores_eval import intersection_based
    from sed_scores_eval.collar_based.intermediate_statistics import statistics_fn as collar_counts
    from sed_scores_eval.intersection_based.intermediate_statistics import statistics_fn as intersection_counts

Events = Mapping[str, Sequence[Event]]  # by clip


@dataclass(frozen=True)
class Curve:
    """A PSD-ROC as a staircase: from efpr[i] on, the effective true positive rate is etpr[i]."""

    efpr: np.ndarray  # effective false positives per hour, up to the scenario's max_efpr
    etpr: np.ndarray


@dataclass(frozen=True)
class Metrics:
    """Figures from 0 to 1 by metric key, over the classes and for each class; None where a class has no truth."""

    macro: dict[str, float]
    per_class: dict[str, dict[str, float | None]]
    absent_classes: tuple[str, ...]  # without truth, left out of `macro`
    psd_roc: dict[str, Curve]  # by metric key of each PSDS


@dataclass(frozen=True)
class Counts:
    """Counts of the events detected at one operating point, each (clips, classes)."""

    tps: np.ndarray
    fps: np.ndarray
    references: np.ndarray  # true events or segments

    def f1(self) -> np.ndarray:
        """Return F1 (classes,) over all clips; 0 where all truth of a class lies past the end of its clips."""
        return np.nan_to_num(f1(self.tps.sum(axis=0), self.fps.sum(axis=0), self.references.sum(axis=0)))


@dataclass(frozen=True)
class ClipStatistics:
    """All statistics that the figures need, clip by clip. Computed once, they can be summed over any set of clips."""

    clips: tuple[str, ...]
    classes: tuple[str, ...]  # with truth
    absent_classes: tuple[str, ...]
    truth: dict[str, list[tuple[float, float, str]]]
    durations: dict[str, float]  # s
    psd: dict[str, dict[str, Changes]]  # by metric key of each PSDS, then by class
    f1: dict[str, Counts]  # by metric key of every other figure


@dataclass(frozen=True)
class Detections:
    """The events that `count` counts, by clip, in the same order of clips and without events of other classes."""

    detected: dict[str, list[Event]]
    truth: dict[str, Sequence[Event]]
    durations: Mapping[str, float]  # s
    classes: tuple[str, ...]


def score(scores: ScoreFolder, detected: Events, truth: Events, durations: Mapping[str, float]) -> Metrics:
    """Compute PSDS from `scores` and F1 from the events `detected` at one operating point, both after post-processing.

    The clips are those of `durations` (seconds); each must have scores and truth. Events of one class in one clip must
    be disjoint. A clip that is not in `detected` is event-free. Raises RecipeError if no clip has a true event.
    """
    return figures(clip_statistics(scores, detected, truth, durations))


def clip_statistics(
    scores: ScoreFolder, detected: Events, truth: Events, durations: Mapping[str, float]
) -> ClipStatistics:
    """Compute the statistics of each clip; parameters and errors are those of `score`."""
    clips = tuple(sorted(durations))
    columns = {label: i for i, label in enumerate(scores.classes)}
    labels = {event.label for clip in clips for event in truth[clip]}
    if unknown := sorted(labels - columns.keys()):
        raise fail(f"the truth has events of {', '.join(unknown)}; the scores have only {', '.join(scores.classes)}")
    classes = tuple(label for label in scores.classes if label in labels)
    if not classes:
        raise fail("no clip that is scored has an event in its truth: there is nothing to measure")
    psds = [metric for metric in scenarios.METRICS if metric.is_psds]
    changes_by_scenario = changes(
        [scores.clips[clip] for clip in clips],
        [truth[clip] for clip in clips],
        {label: columns[label] for label in classes},
        [_usable(metric.scenario, classes).criteria for metric in psds],
    )
    known = {clip: [event for event in detected.get(clip, ()) if event.label in labels] for clip in clips}
    truth = {clip: truth[clip] for clip in clips}
    detections = Detections(known, truth, durations, classes)
    return ClipStatistics(
        clips=clips,
        classes=classes,
        absent_classes=tuple(label for label in scores.classes if label not in labels),
        truth={clip: _tuples(events) for clip, events in truth.items()},
        durations={clip: float(durations[clip]) for clip in clips},
        psd={metric.key: found for metric, found in zip(psds, changes_by_scenario, strict=True)},
        f1={metric.key: count(metric.scenario, detections) for metric in scenarios.METRICS if not metric.is_psds},
    )


def figures(statistics: ClipStatistics) -> Metrics:
    """Compute the metrics over all clips."""
    macro: dict[str, float] = {}
    per_class: dict[str, dict[str, float | None]] = {
        label: {} if label in statistics.classes else dict.fromkeys(scenarios.metric_keys())
        for label in sorted(statistics.classes + statistics.absent_classes)
    }
    psd_roc: dict[str, Curve] = {}
    for metric in scenarios.METRICS:
        name = metric.key
        if metric.is_psds:
            macro[name], by_class, psd_roc[name] = _psds(statistics, name, _usable(metric.scenario, statistics.classes))
        else:
            values = statistics.f1[name].f1()
            macro[name], by_class = float(values.mean()), dict(zip(statistics.classes, values.tolist(), strict=True))
        for label, value in by_class.items():
            per_class[label][name] = float(value)
    return Metrics(macro, per_class, statistics.absent_classes, psd_roc)


def _usable(scenario: PSDScenario, classes: Sequence[str]) -> PSDScenario:
    """Return the scenario, without cross triggers if there is only one class, which cannot trigger another."""
    if len(classes) > 1:
        return scenario
    return replace(scenario, criteria=replace(scenario.criteria, cttc=None), alpha_ct=0.0)


def _parameters(dtc: float, gtc: float, cttc: float | None) -> dict[str, float | None]:
    return {"dtc_threshold": dtc, "gtc_threshold": gtc, "cttc_threshold": cttc}


def _tuples(events: Sequence[Event]) -> list[tuple[float, float, str]]:
    return [(event.onset, event.offset, event.label) for event in events]


@singledispatch
def count(scenario: Any, detections: Detections) -> Counts:
    """Return the counts of one figure. Each class of scenario registers its own function."""
    raise TypeError(f"no function counts {type(scenario).__name__}")


@count.register
def _(scenario: EventScenario, detections: Detections) -> Counts:
    return _event_counts(detections, collar_counts, asdict(scenario))


@count.register
def _(scenario: Intersection, detections: Detections) -> Counts:
    return _event_counts(detections, intersection_counts, _parameters(scenario.dtc, scenario.gtc, scenario.cttc))


def _event_counts(
    detections: Detections, counts_of: Callable[..., dict[str, np.ndarray]], parameters: Mapping[str, float | None]
) -> Counts:
    """Return the counts by `counts_of`, a function of sed_scores_eval for one class in one clip."""
    detected, truth, classes = detections.detected, detections.truth, detections.classes
    shape = (len(truth), len(classes))
    counts = Counts(np.zeros(shape, dtype=int), np.zeros(shape, dtype=int), np.zeros(shape, dtype=int))
    for row, clip in enumerate(truth):
        found, expected = _times(detected[clip], classes), _times(truth[clip], classes)
        for column in range(len(classes)):
            counts.references[row, column] = len(expected[column])
            if not found[column]:
                continue
            if not expected[column]:
                counts.fps[row, column] = len(found[column])
                continue
            onsets, offsets = np.array(found[column]).T[:, None]  # (1, detections): one operating point
            true_onsets, true_offsets = np.array(expected[column]).T
            result = counts_of(onsets, offsets, true_onsets, true_offsets, {}, {}, **parameters)
            counts.tps[row, column], counts.fps[row, column] = result["tps"][0], result["fps"][0]
    return counts


def _times(events: Sequence[Event], classes: Sequence[str]) -> list[list[tuple[float, float]]]:
    """Return the (onset, offset) of each event, by class."""
    times: list[list[tuple[float, float]]] = [[] for _ in classes]
    for event in events:
        times[classes.index(event.label)].append((event.onset, event.offset))
    return times


@count.register
def _(scenario: SegmentScenario, detections: Detections) -> Counts:
    counts = []
    for clip, truth in detections.truth.items():
        place = (detections.durations[clip], detections.classes, scenario.segment_length)
        found, there = (active_segments(events, *place) for events in (detections.detected[clip], truth))
        counts.append([(found & there).sum(axis=0), (found & ~there).sum(axis=0), there.sum(axis=0)])
    return Counts(*np.array(counts).transpose(1, 0, 2))


def _psds(statistics: ClipStatistics, name: str, scenario: PSDScenario) -> tuple[float, dict[str, float], Curve]:
    criteria = scenario.criteria
    value, by_class, (etpr, efpr), _ = intersection_based.psds(
        scores=None,
        ground_truth=statistics.truth,
        audio_durations=statistics.durations,
        deltas=_deltas(statistics, name, scenario),
        **_parameters(criteria.dtc, criteria.gtc, criteria.cttc),
        alpha_ct=scenario.alpha_ct,
        alpha_st=scenario.alpha_st,
        unit_of_time="hour",
        max_efpr=scenario.max_efpr,
    )
    steps = np.append(True, etpr[1:] != etpr[:-1])  # points within one step of the staircase are redundant
    steps[-1] = True
    return float(value), by_class, Curve(efpr[steps], etpr[steps])


def _deltas(statistics: ClipStatistics, name: str, scenario: PSDScenario) -> dict[str, dict[str, tuple]]:
    """Return the changes in sed_scores_eval's format, without those at scores below the end of the class's curve."""
    hours = sum(statistics.durations.values()) / 3600
    truth_hours = dict.fromkeys(statistics.classes, 0.0)
    for onset, offset, label in (event for events in statistics.truth.values() for event in events):
        truth_hours[label] += (offset - onset) / 3600
    deltas: dict[str, dict[str, tuple]] = {clip: {} for clip in statistics.clips}
    for label, every in statistics.psd[name].items():
        kept = every.score >= _last_score(every, scenario, hours, truth_hours)
        counts = {"tps": every.tps, "fps": every.fps}
        counts |= {f"cts\\{other}": cts for other, cts in every.cts.items()}  # as sed_scores_eval flattens {"cts": {}}
        # start with a change of 0, since sed_scores_eval fails on a class without changes
        counts = {key: np.append(0, count[kept]) for key, count in counts.items()}
        scores = np.append(0.0, every.score[kept])
        clips = np.append(0, every.clip[kept])
        borders = np.searchsorted(clips, np.arange(len(statistics.clips) + 1)).tolist()
        for clip, first, last in zip(statistics.clips, borders[:-1], borders[1:], strict=True):
            part = {key: count[first:last] for key, count in counts.items()}
            deltas[clip][label] = (scores[first:last], part)
    return deltas


def _last_score(every: Changes, scenario: PSDScenario, hours: float, truth_hours: Mapping[str, float]) -> float:
    """Return the lowest score at which the class's effective false positive rate is within the scenario's limit.

    Most changes lie at lower scores, in the noise where nothing sounds, and the curve ends before them.
    """
    order = np.argsort(-every.score)
    rate = np.cumsum(every.fps[order]) / hours
    for other, cts in every.cts.items():
        rate = rate + scenario.alpha_ct * np.cumsum(cts[order]) / truth_hours[other] / len(every.cts)
    score = every.score[order]
    complete = np.append(score[1:] != score[:-1], True)[: len(score)]
    within = complete & (rate <= scenario.max_efpr * (1 + 1e-9))  # sed_scores_eval cuts exactly
    return float(score[within].min()) if within.any() else np.inf
