"""Compare a system's output with its reference: from scores or operating points to metrics.json."""

from __future__ import annotations

import contextlib
import gc
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from recipe_mtlvae.errors import fail, printable
from recipe_mtlvae.labels import Event, merge_events
from recipe_mtlvae.scoring.box_tuning import decoding_by_aim
from recipe_mtlvae.scoring.operating_points import read_operating_points, step_scores
from recipe_mtlvae.scoring.postprocess import Decoding, events_above, odd_steps, step_seconds
from recipe_mtlvae.scoring.reference import Reference, attach
from recipe_mtlvae.scoring.scenarios import METRICS
from recipe_mtlvae.scoring.scores import ScoreFolder

THRESHOLD = 0.5


@dataclass(frozen=True)
class SystemOutput:
    """A system's output on the clips of a reference, ready to be measured."""

    scores: ScoreFolder
    detected: Mapping[str, Sequence[Event]]
    reference: Reference
    scored: int  # clips with scores
    threshold: float
    median_filter_seconds: float
    notes: tuple[str, ...]
    operating_points: int | None = None  # number of thresholds at which PSDS is measured; None: every score

    @property
    def undetected(self) -> tuple[str, ...]:
        """Classes that have truth but are not detected in any clip of the reference."""
        there = {event.label for events in self.reference.truth.values() for event in events}
        found = {event.label for clip in self.reference.truth for event in self.detected.get(clip, ())}
        return tuple(label for label in self.scores.classes if label in there - found)


@contextlib.contextmanager
def uncollected() -> Iterator[None]:
    """Turn the garbage collector off for the block. It would take a quarter of the time, as there are many events."""
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()


def prepare(
    scores: ScoreFolder,
    reference: Reference,
    threshold: float,
    *,
    steps: int = 1,
    seconds: float = 0.0,
    allow_missing: bool = False,
) -> SystemOutput:
    """Apply a median filter to the scores and detect the events above `threshold`.

    The filter has `steps` steps or, if `seconds` is given, the odd number of steps nearest to it. With `allow_missing`,
    clips without scores count as event-free. Raises RecipeError if scores do not fit the reference or the filter.
    """
    filtered = 0.0
    if seconds or steps > 1:
        step = step_seconds(scores)
        longest = max(float(item.edges[-1]) for item in scores.clips.values())
        if seconds > longest:
            raise fail(f"median filter of {seconds:g} s: the longest clip has {longest:g} s", "give a shorter one")
        steps = odd_steps(seconds, step) if seconds else steps
        decoding = Decoding((threshold,) * len(scores.classes), (steps,) * len(scores.classes))
        scores, filtered = decoding.filtered(scores), steps * step if steps > 1 else 0.0
    attached = attach(scores, reference, allow_missing)
    notes = []
    if seconds and abs(filtered - seconds) > 1e-6:
        notes.append(f"median filter of {filtered:g} s, the nearest odd number of steps to {seconds:g} s")
    if attached.missing:
        notes.append(f"{attached.missing} clips without scores count as event-free")
    if attached.others:
        notes.append(f"{attached.others} scored clips are not in the clip list: left out")
    detected = events_above(attached.scores, threshold)
    scored = len(reference.durations) - attached.missing
    return SystemOutput(attached.scores, detected, reference, scored, threshold, filtered, tuple(notes))


def read_points(folder: Path, reference: Reference, classes: Sequence[str] | None = None) -> SystemOutput:
    """Read a folder of operating points. F1 counts the events of the file whose threshold is nearest to 0.5.

    classes: the score columns, which must include all labels that occur; None: all labels that occur, sorted.
    """
    points = read_operating_points(folder)
    labels = points.labels | {event.label for events in reference.truth.values() for event in events}
    if classes is not None and (unknown := sorted(labels - set(classes))):
        raise fail(f"class lists differ: the other systems lack {', '.join(unknown)}", path=folder)
    scores = step_scores(points, classes or sorted(labels), reference.durations)
    threshold = points.nearest(THRESHOLD)
    named = {clip for clips in points.events.values() for clip in clips}
    if named and not named & reference.durations.keys():
        raise fail("none of these clips is in the clip list: file names differ", path=folder)
    notes = []
    if others := len(named - reference.durations.keys()):
        notes.append(f"{others} clips of the operating points are not in the clip list: left out")
    detected = {clip: merge_events(events) for clip, events in points.events[threshold].items()}
    return SystemOutput(
        scores, detected, reference, len(reference.durations), threshold, 0.0, tuple(notes), len(points.events)
    )


def measure(
    system: SystemOutput, split: str, metrics_file: Path, curves_file: Path, beside: Mapping[str, Any] = {}
) -> None:
    """Compute all metrics, write both files and print the table. `beside` adds sections to metrics.json, by name."""
    from recipe_mtlvae.scoring import results  # slow (sed_scores_eval), so loaded only after the input was checked
    from recipe_mtlvae.scoring.metrics import score

    metrics = score(system.scores, system.detected, system.reference.truth, system.reference.durations)
    content = {
        "split": split,
        **metrics.macro,
        "per_class": metrics.per_class,
        "absent_classes": list(metrics.absent_classes),
        "coverage": {"scored": system.scored, "expected": system.reference.expected},
        "clip_list_hash": system.reference.clip_list_hash,
        "median_filter_seconds": system.median_filter_seconds,
        "threshold": system.threshold,
        "versions": results.versions(),
        **beside,
    }
    results.write(metrics_file, curves_file, content, metrics)
    notes = list(system.notes)
    if system.undetected:
        notes.append(f"never detected: {', '.join(system.undetected)}; {results.ZERO_F1}")
    if system.reference.unnamed:
        notes.append(f"{system.reference.unnamed} clips are not in the ground truth: event-free")
    print("\n".join([results.table(content), *map(printable, notes)]))


def measure_tuned(scores: ScoreFolder, reference: Reference, model: Mapping[str, Any]) -> dict[str, Any]:
    """Measure unprocessed `scores` with each class's own threshold and median filter; PSDS uses only the filter.

    model: {thresholds: {class: from 0 to 1}, median_filters: {class: steps}}, as in model.json.
    """
    from recipe_mtlvae.scoring.metrics import score

    fields = {name: [model[name][label] for label in scores.classes] for name in ("thresholds", "median_filters")}
    decoding = Decoding.from_dict(fields)
    kept = attach(scores, reference, allow_missing=False).scores
    filtered = decoding.filtered(kept)
    detected = events_above(filtered, decoding.thresholds)
    metrics = score(filtered, detected, reference.truth, reference.durations)
    step = step_seconds(kept)
    return {
        **metrics.macro,
        "per_class": metrics.per_class,
        "thresholds": dict(model["thresholds"]),
        "median_filters_seconds": {label: steps * step for label, steps in model["median_filters"].items()},
    }


def measure_by_aim(scores: ScoreFolder, reference: Reference, model: Mapping[str, Any]) -> dict[str, Any]:
    """Measure unprocessed `scores` with bounding boxes or median filters; PSDS and F1 each use those tuned for them.

    model: the fields of TunedSettings.as_dict, each by class, as in model.json.
    """
    from recipe_mtlvae.scoring.metrics import score

    content = {name: [values[label] for label in scores.classes] for name, values in model.items()}
    kept = attach(scores, reference, allow_missing=False).scores
    fixed = Decoding((THRESHOLD,) * len(scores.classes), (1,) * len(scores.classes))
    found = {}
    for aim in ("psds", "events"):
        decoding = decoding_by_aim(content, aim, fixed)
        smoothed = decoding.filtered(kept)
        detected = events_above(smoothed, decoding.thresholds)
        found[aim] = score(smoothed, detected, reference.truth, reference.durations)
    aims = {metric.key: "psds" if metric.is_psds else "events" for metric in METRICS}
    step, events = step_seconds(kept), model["events"]
    kind = "median_filters_seconds" if decoding.boxes is None else "lengths_seconds"
    return {
        **{key: found[aim].macro[key] for key, aim in aims.items()},
        "per_class": {
            label: {key: found[aim].per_class[label][key] for key, aim in aims.items()}
            for label in found["psds"].per_class
        },
        "thresholds": dict(model["thresholds"]),
        kind: {label: step * (own if decoding.boxes is None else own[0]) for label, own in events.items()},
    }
