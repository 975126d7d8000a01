"""Thresholds and median filters for detection: the user's choice, and the checkpoint's own for the rest."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from recipe_mtlvae.errors import fail
from recipe_mtlvae.scoring.postprocess import Decoding, odd_steps
from recipe_mtlvae.scoring.precision_recall import OperatingPoint, PrecisionRecall

ByClass = float | Mapping[str, float]  # one value for all classes, or values for some of them by name


def chosen_decoding(
    decoding: Decoding,
    classes: Sequence[str],
    step_seconds: float,
    threshold: ByClass | None,
    median_filter: ByClass | None,  # s
) -> Decoding:
    """Return `decoding` with the given thresholds and median filters; what is not given keeps its value.

    Raises RecipeError for an unknown class and for a value out of range.
    """
    thresholds, filters = decoding.thresholds, decoding.median_filters
    if threshold is not None:
        given = _for_each(threshold, classes, "threshold", 1.0)
        thresholds = tuple(own if new is None else new for own, new in zip(thresholds, given, strict=True))
    if median_filter is not None and decoding.boxes is not None:
        raise fail("median_filter: this checkpoint detects by bounding boxes, without median filters")
    if median_filter is not None:
        given = _for_each(median_filter, classes, "median_filter", math.inf)
        steps = (None if seconds is None else odd_steps(seconds, step_seconds) for seconds in given)
        filters = tuple(own if new is None else new for own, new in zip(filters, steps, strict=True))
    return replace(decoding, thresholds=thresholds, median_filters=filters)


def at_operating_point(
    decoding: Decoding, stored: Mapping[str, Any] | None, classes: Sequence[str], reported: Sequence[str], text: str
) -> tuple[Decoding, tuple[str, ...]]:
    """Return `decoding` with the thresholds that reach an operating point on the clips that selected the network.

    The second value holds notes for the user about the `reported` classes. stored: the checkpoint's counts, as
    PrecisionRecall.as_dict gives them. Raises RecipeError if `text` is no operating point, if the checkpoint holds no
    counts, and if no reported class has both events and detections on those clips.
    """
    wanted = _operating_point(text)
    if stored is None:
        hint = "./run.sh --stage 1 of its run counts them; or give --threshold"
        raise fail("--operating_point: this checkpoint holds no precision and recall of its classes", hint)
    counts = PrecisionRecall.from_dict(stored)
    found = {
        label: counts.choose(i, wanted, own)
        for i, (label, own) in enumerate(zip(classes, decoding.thresholds, strict=True))
    }
    shown = {label: found[label] for label in reported}
    known = [one for one in shown.values() if one is not None]
    if not known:
        what = "no reported class has both events and detections on the clips that selected the network"
        raise fail(f"--operating_point {text}: {what}", "give --threshold")
    precision, recall = (sum(getattr(one, name) for one in known) / len(known) for name in ("precision", "recall"))
    notes = [
        f"operating point {text}: precision {precision:.2f}, recall {recall:.2f} on selection data, mean of classes"
    ]
    far = [
        f"{label} ({getattr(one, wanted.kind):.2f})"
        for label, one in shown.items()
        if one is not None and not one.reached
    ]
    if far:
        notes.append(f"{text} is not reached on selection data, the nearest is taken: {', '.join(far)}")
    if silent := [label for label, one in shown.items() if one is None]:
        notes.append(f"without detections or events on selection data, own thresholds stay: {', '.join(silent)}")
    thresholds = tuple(
        own if one is None else one.threshold for own, one in zip(decoding.thresholds, found.values(), strict=True)
    )
    return replace(decoding, thresholds=thresholds), tuple(notes)


def _operating_point(text: str) -> OperatingPoint:
    try:
        return OperatingPoint.parse(text)
    except ValueError as error:
        raise fail(f"operating_point: {error}") from None


def known_classes(names: Iterable[str], classes: Sequence[str]) -> tuple[str, ...]:
    """Return `names`, one or several, in the order of `classes`. Raises RecipeError for a name that is not a class."""
    names = {names} if isinstance(names, str) else set(names)
    if unknown := sorted(names - set(classes)):
        raise fail(f"unknown class {', '.join(unknown)}: the checkpoint knows {', '.join(classes)}")
    return tuple(label for label in classes if label in names)


def _for_each(given: ByClass, classes: Sequence[str], name: str, most: float) -> list[float | None]:
    if isinstance(given, Mapping):
        known_classes(given, classes)
    values = [given.get(label) if isinstance(given, Mapping) else given for label in classes]
    for value in values:
        if value is not None and not (math.isfinite(value) and 0 <= value <= most):
            raise fail(f"{name} {value:g}: expected 0 " + (f"to {most:g}" if math.isfinite(most) else "or more"))
    return values
