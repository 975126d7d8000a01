"""Choose each class's bounding box parameters on clips that are in no test set; and, for a fair comparison, each
class's median filter in the same way.

There are two aims. For PSDS, a class takes the setting that is best for its own PSDS1. For events, it takes the setting
and the threshold that together are best for its own event-based F1. A class without events takes what is best on
average over the other classes.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from recipe_mtlvae.labels import merge_events
from recipe_mtlvae.scoring.bounding_boxes import ABSOLUTE, LENGTHS, RELATIVE, BoxParameters, box_scores
from recipe_mtlvae.scoring.f1 import f1
from recipe_mtlvae.scoring.matching import collar_hits
from recipe_mtlvae.scoring.postprocess import Decoding, median_filter, odd_steps
from recipe_mtlvae.scoring.scenarios import EVENT
from recipe_mtlvae.scoring.scores import ClipScores, ScoreFolder
from recipe_mtlvae.scoring.tuning import THRESHOLDS, StrongClips, events_of, truth_of

MEDIAN_SECONDS = tuple(0.2 * i for i in range(11))  # number and range as in the paper; the even spacing is ours
MIDDLE_FIRST = sorted(THRESHOLDS, key=lambda threshold: abs(threshold - 0.5))  # 0.5 is chosen if all are equally good
Setting = BoxParameters | int  # how a class's scores are smoothed: by boxes, or by a median filter (output steps)


@dataclass(frozen=True)
class TunedSettings:
    """The tuned settings: one value for each class, lengths in output steps."""

    psds: tuple[Setting, ...]
    events: tuple[Setting, ...]
    thresholds: tuple[float, ...]  # chosen together with `events`

    def as_dict(self) -> dict[str, Any]:
        """Return lists of plain types, as stored in the checkpoint and model.json."""
        return {
            "psds": [own if isinstance(own, int) else list(own) for own in self.psds],
            "events": [own if isinstance(own, int) else list(own) for own in self.events],
            "thresholds": list(self.thresholds),
        }


def grid(step_seconds: float) -> list[BoxParameters]:
    """Return the box parameters to try, lengths in output steps.

    The middle of the grid comes first, so that it is chosen if all are equally good.
    """
    merging = [*((value, False) for value in ABSOLUTE), *((value, True) for value in RELATIVE)]
    lengths = dict.fromkeys(2 * max(1, round(length / 2 / step_seconds)) for length in LENGTHS)
    found = [BoxParameters(length, merge, relative) for length in lengths for merge, relative in merging]
    return sorted(found, key=lambda one: (abs(one.length * step_seconds - LENGTHS[1]), one.relative, one.merge != 0.2))


def tune_boxes(clips: StrongClips, classes: Sequence[str], step_seconds: float) -> TunedSettings:
    """Choose the box parameters and threshold of each class. Deterministic; takes minutes for thousands of clips."""

    def boxed(scores: np.ndarray, parameters: BoxParameters) -> np.ndarray:
        return box_scores(scores, 1.0, [parameters] * scores.shape[1])

    return _tune(grid(step_seconds), boxed, clips, classes, step_seconds)


def tune_medians(clips: StrongClips, classes: Sequence[str], step_seconds: float, fixed: int) -> TunedSettings:
    """Choose the median filter and threshold of each class.

    Of equally good filters, the one nearest to `fixed` (steps) is chosen.
    """
    lengths = {odd_steps(seconds, step_seconds) for seconds in MEDIAN_SECONDS}
    tried = sorted(lengths, key=lambda steps: (abs(steps - fixed), steps))
    return _tune(tried, median_filter, clips, classes, step_seconds)


def _tune(
    tried: Sequence[Setting],
    smooth: Callable[[np.ndarray, Setting], np.ndarray],
    clips: StrongClips,
    classes: Sequence[str],
    step_seconds: float,
) -> TunedSettings:
    """Try each setting on all clips. `smooth` applies a setting to all classes of a clip's scores (steps, classes)."""
    truth, ends, references = truth_of(clips, classes)
    psds, event_f1 = np.zeros((len(tried), len(classes))), np.zeros((len(tried), len(MIDDLE_FIRST), len(classes)))
    for i, setting in enumerate(tried):
        smoothed = np.array([smooth(scores, setting) for scores in clips.scores])
        psds[i] = _psds1(smoothed, clips, classes, step_seconds)
        for j, threshold in enumerate(MIDDLE_FIRST):
            found = events_of(smoothed.transpose(0, 2, 1) > threshold, step_seconds, ends)
            hits = collar_hits(found, truth, EVENT, len(ends))
            true, false = (counts.reshape(-1, len(classes)).sum(axis=0) for counts in hits)
            event_f1[i, j] = f1(true, false, references.sum(axis=0))
    chosen = np.array([np.unravel_index(one, event_f1.shape[:2]) for one in _best(event_f1.reshape(-1, len(classes)))])
    return TunedSettings(
        tuple(tried[row] for row in _best(psds)),
        tuple(tried[row] for row in chosen[:, 0]),
        tuple(MIDDLE_FIRST[column] for column in chosen[:, 1]),
    )


def _best(objective: np.ndarray) -> np.ndarray:
    """Return the best row of `objective` (settings, classes) for each class (classes,).

    A class without events has nan in its column and takes the row that is best on average over the other classes.
    """
    known = np.isfinite(objective).all(axis=0)
    mean = objective[:, known].mean(axis=1) if known.any() else np.zeros(len(objective))
    return np.where(known, np.nan_to_num(objective), mean[:, None]).argmax(axis=0)


def _psds1(smoothed: np.ndarray, clips: StrongClips, classes: Sequence[str], step_seconds: float) -> np.ndarray:
    """Return the PSDS1 of each class (classes,); nan where a class has no truth."""
    from recipe_mtlvae.scoring.metrics import score  # slow: sed_scores_eval

    edges = np.arange(smoothed.shape[1] + 1) * step_seconds
    names = [str(i) for i in range(len(smoothed))]
    durations = dict(zip(names, clips.durations.tolist(), strict=True))
    cut = {}
    for name, scores in zip(names, smoothed, strict=True):
        own = np.append(edges[:-1][edges[:-1] < durations[name]], durations[name])
        cut[name] = ClipScores(own, scores[: len(own) - 1])
    truth = dict(zip(names, (merge_events(events) for events in clips.events), strict=True))
    folder = ScoreFolder(tuple(classes), cut)
    per_class = score(folder, dict.fromkeys(names, ()), truth, durations).per_class
    values = (per_class[label]["psds1"] for label in classes)
    return np.array([np.nan if value is None else value for value in values])


def decoding_by_aim(content: dict[str, Any], aim: str, decoding: Decoding) -> Decoding:
    """Return `decoding` with the boxes or median filters for `aim`, "psds" or "events".

    content: as TunedSettings.as_dict gives it.
    """
    thresholds, found = tuple(map(float, content["thresholds"])), content[aim]
    if isinstance(found[0], int):
        return Decoding(thresholds, tuple(found))
    parameters = tuple(BoxParameters(float(length), float(merge), bool(kind)) for length, merge, kind in found)
    return Decoding(thresholds, decoding.median_filters, parameters)
