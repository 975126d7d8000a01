"""Where a system fails: confusions between its classes, and the clips with the lowest F1."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from recipe_mtlvae.labels import Event
from recipe_mtlvae.report.comparison.clips import segment_f1, worst_first
from recipe_mtlvae.report.comparison.compared import ComparedSystem
from recipe_mtlvae.scoring.confusions import confusions
from recipe_mtlvae.scoring.evaluation import SystemOutput

CLASSES, CLIPS = 16, 10  # most that are shown
NOTHING = "nothing"


@dataclass(frozen=True)
class Confused:
    """A row of the table of confusions."""

    label: str  # the true class; empty: no class is true
    seconds: float  # that the row is counted over
    shares: dict[str, float | None]  # by class: share of these seconds in which it is detected; None if there are none


@dataclass(frozen=True)
class WrongClip:
    """A clip with its true and its detected events in words."""

    name: str
    f1: float  # segment-based, of this clip
    true: str
    detected: str


@dataclass(frozen=True)
class Failures:
    """The failures of one system on one split."""

    system: str
    classes: tuple[str, ...]  # the worst first
    left_out: int  # classes that are not shown
    confused: tuple[Confused, ...]
    clips: tuple[WrongClip, ...]


def failures(systems: Sequence[ComparedSystem], split: str) -> list[Failures]:
    """Return the failures of each system whose events are available; of several runs, those of the first."""
    found = []
    for system in systems:
        result = system.results.get(split)
        if result and result.output:
            order = result.worst_classes
            shown = tuple(order[:CLASSES])
            rows = _confused(result.output, shown)
            found.append(Failures(system.name, shown, len(order) - len(shown), rows, _wrong_clips(result.output)))
    return found


def _confused(output: SystemOutput, shown: Sequence[str]) -> tuple[Confused, ...]:
    classes, reference = output.scores.classes, output.reference
    found = confusions(reference.truth, output.detected, reference.durations, classes)
    columns = [classes.index(label) for label in shown]
    rows = []
    for row, label in [*zip(columns, shown, strict=True), (len(classes), "")]:
        shares = {other: found.rates[row, column] for other, column in zip(shown, columns, strict=True)}
        shares = {other: None if np.isnan(share) else float(share) for other, share in shares.items()}
        rows.append(Confused(label, float(found.seconds[row]), shares))
    return tuple(rows)


def _wrong_clips(output: SystemOutput) -> tuple[WrongClip, ...]:
    reference = output.reference
    scores = {
        clip: segment_f1(truth, output.detected.get(clip, ()), reference.durations[clip])
        for clip, truth in reference.truth.items()
    }
    known = {clip: value for clip, value in scores.items() if value is not None and value < 1}
    return tuple(
        WrongClip(clip, known[clip], in_words(reference.truth[clip]), in_words(output.detected.get(clip, ())))
        for clip in worst_first(known, known, reference.truth)[:CLIPS]
    )


def in_words(events: Sequence[Event]) -> str:
    """List events by onset: `Dog 0.5 to 1.2 s, Speech 3.0 to 3.5 and 4.0 to 5.0 s`; `nothing` for no events."""
    spans: dict[str, list[str]] = {}
    for event in sorted(events, key=lambda event: event.onset):
        spans.setdefault(event.label, []).append(f"{event.onset:.1f} to {event.offset:.1f}")
    return ", ".join(f"{label} {' and '.join(own)} s" for label, own in spans.items()) or NOTHING
