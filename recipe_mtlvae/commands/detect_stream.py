"""`python -m recipe_mtlvae detect --stream -`: raw PCM on standard input, events as JSON lines."""

from __future__ import annotations

import argparse
import json
import math
import sys
from collections.abc import Iterator
from pathlib import Path

from recipe_mtlvae.audio.decoding import RATES
from recipe_mtlvae.errors import fail, warn
from recipe_mtlvae.inference.decoding_options import by_class, operating_point, split_names
from recipe_mtlvae.inference.live import FORMATS, LiveDetector, LiveEvent, pcm


def main(argv: list[str]) -> None:
    """Ends with its input, and on Ctrl-C; raises RecipeError where the input is no raw PCM."""
    options = _parse(argv)
    if sys.stdin.isatty():
        raise fail("--stream -: expected sound on standard input", "arecord -t raw -f S16_LE -r 16000 -c 1 | ...")
    from recipe_mtlvae.inference.detector import Detector
    from recipe_mtlvae.nets.checkpoint import load_checkpoint

    checkpoint = load_checkpoint(options.checkpoint)
    detector = Detector(
        checkpoint,
        classes=None if options.classes is None else split_names(options.classes, checkpoint.classes),
        threshold=options.threshold,
        median_filter=options.median_filter,
        operating_point=options.operating_point,
    )
    for note in detector.notes:
        warn(note, "note")
    live = LiveDetector(detector, options.rate, options.latency)
    seconds = detector.conf.data.clip_seconds
    print(
        f"listening: a line at most {live.latency:.2f} s after the sound, and the time to compute it; "
        f"scaled over the last {seconds:g} s",
        file=sys.stderr,
    )
    try:
        for samples in pcm(sys.stdin.buffer, options.sample_format, options.channels):
            _say(live.feed(samples))
    except KeyboardInterrupt:
        pass  # the last events are still to be said
    _say(live.finish())
    share = live.computing / max(live.heard, 1e-9)
    print(f"{live.heard:.1f} s heard; computing took {100 * share:.0f} % of that time", file=sys.stderr)


def _say(events: Iterator[LiveEvent]) -> None:
    for event in events:
        print(json.dumps(vars(event)), flush=True)


def _parse(argv: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m recipe_mtlvae detect --stream -",
        description="Raw PCM on standard input, events as JSON lines: one where an event begins (offset null), one "
        "where it ends. Example: arecord -t raw -f S16_LE -r 16000 -c 1 | python -m recipe_mtlvae detect --stream - "
        "--checkpoint best.ckpt",
        allow_abbrev=False,
    )
    parser.add_argument("--checkpoint", type=Path, required=True, help="best.ckpt of a run")
    parser.add_argument("--stream", choices=("-",), required=True, help="-: standard input")
    parser.add_argument("--rate", type=_rate, default=16000, metavar="HZ", help="default 16000")
    parser.add_argument("--channels", type=int, choices=range(1, 33), default=1, metavar="N", help="default 1")
    parser.add_argument("--sample_format", choices=tuple(FORMATS), default="s16le", help="default s16le")
    parser.add_argument(
        "--latency", type=_seconds, default=1.0, metavar="SECONDS", help="from a sound to its line; default 1"
    )
    parser.add_argument("--classes", metavar="A,B", help="report these classes only")
    parser.add_argument("--threshold", type=by_class, metavar="X", help="of all classes, or Dog=0.3,Speech=0.6")
    parser.add_argument("--median_filter", type=by_class, metavar="S", help="seconds, of all classes or by class")
    parser.add_argument(
        "--operating_point",
        type=operating_point,
        metavar="P",
        help="precision=0.9, recall=0.9 or f1: thresholds by class that held it on selection data",
    )
    return parser.parse_args(argv)


def _rate(text: str) -> int:
    rate = int(text)
    if not RATES[0] <= rate <= RATES[1]:
        raise argparse.ArgumentTypeError(f"expected {RATES[0]} to {RATES[1]} Hz, got {rate}")
    return rate


def _seconds(text: str) -> float:
    seconds = float(text)
    if not math.isfinite(seconds):
        raise argparse.ArgumentTypeError(f"expected seconds, got {text}")
    return seconds
