"""Bounding boxes' parameters, each class's own, chosen on clips of no test set.

By two aims: for PSDS the filter and the merging with the best single-class PSDS1; for events both and a threshold
together, by the class's event-based F1. A class without events takes what is best on average over the others.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from recipe_mtlvae.labels import merge_events
from recipe_mtlvae.scoring.bounding_boxes import ABSOLUTE, LENGTHS, RELATIVE, BoxParameters, box_scores
from recipe_mtlvae.scoring.f1 import f1
from recipe_mtlvae.scoring.matching import EventTable, collar_hits
from recipe_mtlvae.scoring.postprocess import Decoding
from recipe_mtlvae.scoring.scenarios import EVENT
from recipe_mtlvae.scoring.scores import ClipScores, ScoreFolder
from recipe_mtlvae.scoring.tuning import THRESHOLDS, StrongClips, events_of


@dataclass(frozen=True)
class BoxTuning:
    """One value a class, lengths in output steps."""

    psds: tuple[BoxParameters, ...]
    events: tuple[BoxParameters, ...]
    thresholds: tuple[float, ...]  # of `events`

    def as_dict(self) -> dict[str, Any]:
        """Of lists of plain types, as the checkpoint and model.json hold it."""
        return {
            "psds": [list(own) for own in self.psds],
            "events": [list(own) for own in self.events],
            "thresholds": list(self.thresholds),
        }


def grid(step_seconds: float) -> list[BoxParameters]:
    """The middle one first: it stays where all are alike."""
    merging = [*((value, False) for value in ABSOLUTE), *((value, True) for value in RELATIVE)]
    lengths = dict.fromkeys(2 * max(1, round(length / 2 / step_seconds)) for length in LENGTHS)
    found = [BoxParameters(length, merge, relative) for length in lengths for merge, relative in merging]
    return sorted(found, key=lambda one: (abs(one.length * step_seconds - LENGTHS[1]), one.relative, one.merge != 0.2))


def tune_boxes(clips: StrongClips, classes: Sequence[str], step_seconds: float) -> BoxTuning:
    """Deterministic; minutes for thousands of clips."""
    truth = EventTable.of([merge_events(events) for events in clips.events], classes)
    ends = np.repeat(clips.durations, len(classes))
    tried = grid(step_seconds)
    psds, event_f1 = np.zeros((len(tried), len(classes))), np.zeros((len(tried), len(THRESHOLDS), len(classes)))
    for i, parameters in enumerate(tried):
        boxed = np.array([box_scores(scores, 1.0, [parameters] * len(classes)) for scores in clips.scores])
        psds[i] = _psds1(boxed, clips, classes, step_seconds)
        for j, threshold in enumerate(THRESHOLDS):
            found = events_of(boxed.transpose(0, 2, 1) > threshold, step_seconds, ends)
            hits = collar_hits(found, truth, EVENT, len(ends))
            true, false = (counts.reshape(-1, len(classes)).sum(axis=0) for counts in hits)
            references = np.bincount(truth.group, minlength=len(ends)).reshape(-1, len(classes)).sum(axis=0)
            event_f1[i, j] = f1(true, false, references)
    chosen = np.array([np.unravel_index(one, event_f1.shape[:2]) for one in _best(event_f1.reshape(-1, len(classes)))])
    return BoxTuning(
        tuple(tried[row] for row in _best(psds)),
        tuple(tried[row] for row in chosen[:, 0]),
        tuple(THRESHOLDS[column] for column in chosen[:, 1]),
    )


def _best(objective: np.ndarray) -> np.ndarray:
    """The best row (classes,) of (settings, classes); nan: a class that there was not to find."""
    known = np.isfinite(objective).all(axis=0)
    mean = objective[:, known].mean(axis=1) if known.any() else np.zeros(len(objective))
    return np.where(known, np.nan_to_num(objective), mean[:, None]).argmax(axis=0)


def _psds1(boxed: np.ndarray, clips: StrongClips, classes: Sequence[str], step_seconds: float) -> np.ndarray:
    """(classes,); nan where a class has no truth."""
    from recipe_mtlvae.scoring.metrics import score  # slow: sed_scores_eval

    edges = np.arange(boxed.shape[1] + 1) * step_seconds
    names = [str(i) for i in range(len(boxed))]
    durations = dict(zip(names, clips.durations.tolist(), strict=True))
    cut = {}
    for name, scores in zip(names, boxed, strict=True):
        own = np.append(edges[:-1][edges[:-1] < durations[name]], durations[name])
        cut[name] = ClipScores(own, scores[: len(own) - 1])
    truth = dict(zip(names, (merge_events(events) for events in clips.events), strict=True))
    folder = ScoreFolder(tuple(classes), cut)
    per_class = score(folder, dict.fromkeys(names, ()), truth, durations).per_class
    values = (per_class[label]["psds1"] for label in classes)
    return np.array([np.nan if value is None else value for value in values])


def box_decoding(content: dict[str, Any], aim: str, decoding: Decoding) -> Decoding:
    """`decoding` with the boxes of an aim, psds or events, out of BoxTuning.as_dict."""
    parameters = tuple(BoxParameters(float(length), float(merge), bool(kind)) for length, merge, kind in content[aim])
    return Decoding(tuple(map(float, content["thresholds"])), decoding.median_filters, parameters)
