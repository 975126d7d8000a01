"""Command-line options that the detection commands share, and the detector that they configure."""

from __future__ import annotations

import argparse
import math
import re
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from recipe_mtlvae.errors import fail, warn
from recipe_mtlvae.inference.chosen_decoding import ByClass
from recipe_mtlvae.scoring.precision_recall import OperatingPoint

if TYPE_CHECKING:  # torch is slow to import
    from recipe_mtlvae.inference.detector import Detector

# Options of Detector, except `classes`
DETECTOR_OPTIONS = ("threshold", "median_filter", "min_duration", "operating_point")


def add_detection_options(parser: argparse.ArgumentParser, whole: bool = True) -> None:
    """Add --checkpoint and the options that decide which events are reported.

    whole: whether whole recordings are read, so that the length of each event is known and --min_duration applies.
    """
    parser.add_argument("--checkpoint", type=Path, required=True, help="best.ckpt of a run")
    parser.add_argument("--classes", metavar="A,B", help="report these classes only")
    after = "default: those of the checkpoint, by class"
    parser.add_argument(
        "--threshold", type=by_class, metavar="X", help=f"0 to 1, for all classes or as Dog=0.3,Speech=0.6 ({after})"
    )
    parser.add_argument(
        "--median_filter",
        type=by_class,
        metavar="S",
        help=f"seconds, 0 for none, for all classes or by class ({after})",
    )
    parser.add_argument(
        "--operating_point",
        type=operating_point,
        metavar="P",
        help="precision=0.9, recall=0.9 or f1: the threshold of each class that reached it on the selection data",
    )
    if whole:
        parser.add_argument(
            "--min_duration", type=seconds, default=0.0, metavar="S", help="seconds; shorter events are left out"
        )


def open_detector(options: argparse.Namespace, device: str | None = None) -> Detector:
    """Load the checkpoint with the chosen options, and print the notes of the detector.

    Raises RecipeError for a file that is not a checkpoint, and for options that do not fit the checkpoint.
    """
    from recipe_mtlvae.inference.detector import Detector
    from recipe_mtlvae.nets.checkpoint import load_checkpoint

    checkpoint = load_checkpoint(options.checkpoint)
    classes = None if options.classes is None else split_names(options.classes, checkpoint.classes)
    chosen = {name: value for name, value in vars(options).items() if name in DETECTOR_OPTIONS}
    detector = Detector(checkpoint, device, classes=classes, **chosen)
    if not detector.reported:
        raise fail("--classes: expected at least one", f"of {', '.join(detector.classes)}")
    for note in detector.notes:
        warn(note, "note")
    return detector


def operating_point(text: str) -> str:
    """Check that Detector accepts `text` as an operating point, and return it."""
    try:
        OperatingPoint.parse(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None
    return text


def split_names(text: str, classes: Sequence[str]) -> list[str]:
    """Split `Dog,Speech` into names; the name of a class may itself contain commas."""
    names = []
    while text:
        known = [label for label in classes if text == label or text.startswith(f"{label},")]
        name = max(known, key=len) if known else text.partition(",")[0]
        names.append(name)
        text = text[len(name) + 1 :]
    return names


def by_class(text: str) -> ByClass:
    """Parse `0.4` or `Dog=0.3,Speech=0.6`; names may contain commas and equal signs."""
    try:
        try:
            return float(text)
        except ValueError:
            pairs = re.findall(r"(.+?)=([-+.\dEe]+|nan|inf)(?:,|$)", text)
            if not pairs or ",".join(f"{name}={value}" for name, value in pairs) != text.removesuffix(","):
                raise
            return {name: float(value) for name, value in pairs}
    except ValueError:
        raise argparse.ArgumentTypeError(f"expected a number or class=number,...; got {text!r}") from None


def seconds(text: str) -> float:
    value = float(text)
    if not 0 <= value < math.inf:
        raise argparse.ArgumentTypeError(f"expected seconds from 0 on, got {text!r}")
    return value


def result_folder(text: str) -> Path:
    if not text:
        raise argparse.ArgumentTypeError("expected a folder, got ''")
    return Path(text)
