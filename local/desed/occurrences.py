"""Which classes occur together: co-occurrence figures in desed's JSON format."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from local.desed.http import read_json
from recipe_mtlvae.conf import Conf
from recipe_mtlvae.errors import fail
from recipe_mtlvae.files import write_json


def read_occurrences(conf: Conf, keep: Path) -> dict[str, dict]:
    """Return the figures of fetch.occurrences: {main folder: {proba, co-occurences: {max_events, classes, probas}}}.

    keep: file where fetched figures are kept for another run. Raises RecipeError if they cannot be read.
    """
    place = conf.fetch.occurrences
    if place is None:
        raise fail("generated soundscapes need co-occurrence figures", "give fetch.occurrences an address or a file")
    if not place.startswith("http"):
        return _checked(_read(Path(place)), place)
    if keep.exists():
        return _checked(_read(keep), keep)
    figures = _checked(read_json(place, conf.fetch), place)
    write_json(keep, figures)
    return figures


def main_event(figures: dict[str, dict], index: int, clips: int) -> str:
    """Return the foreground folder of the main event of clip `index`, so that every folder has its share of `clips`."""
    position = (index + 0.5) / clips * sum(entry["proba"] for entry in figures.values())
    for folder, entry in figures.items():
        position -= entry["proba"]
        if position < 0:
            return folder
    return folder


def _read(path: Path) -> Any:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise fail("no such file of co-occurrence figures", "correct fetch.occurrences", path) from None
    except ValueError:
        raise fail("expected co-occurrence figures in JSON", "correct fetch.occurrences", path) from None


def _checked(figures: Any, place: Path | str) -> dict[str, dict]:
    """Return the figures. Raises RecipeError if they are not in desed's format."""
    try:
        for entry in figures.values():
            others = entry["co-occurences"]
            parts = others["probas"]
            sound = len(others["classes"]) == len(parts) and abs(sum(parts) - 1) < 1e-6 and min(parts) >= 0
            if not (sound and entry["proba"] > 0 and others["max_events"] >= 0):
                raise ValueError
        if not figures:
            raise ValueError
    except (AttributeError, KeyError, TypeError, ValueError):
        what = "expected {folder: {proba, co-occurences: {max_events, classes, probas that sum to 1}}}"
        raise fail(what, "correct fetch.occurrences", place) from None
    return figures
