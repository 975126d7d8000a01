"""Find events in raw PCM on standard input, written as JSON lines: `python -m recipe_mtlvae detect --stream -`."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator

from recipe_mtlvae.audio.decoding import RATES
from recipe_mtlvae.commands.detection_options import add_detection_options, open_detector, seconds
from recipe_mtlvae.errors import fail
from recipe_mtlvae.inference.live import FORMATS, LiveDetector, LiveEvent, pcm


def main(argv: list[str]) -> None:
    """Detect until the input ends or Ctrl-C is pressed. Raises RecipeError if the input is not raw PCM."""
    options = _parse(argv)
    if sys.stdin.isatty():
        raise fail("--stream -: expected sound on standard input", "arecord -t raw -f S16_LE -r 16000 -c 1 | ...")
    detector = open_detector(options)
    live = LiveDetector(detector, options.rate, options.latency)
    print(
        f"listening: a line at most {live.latency:.2f} s after the sound, and the time to compute it; "
        f"scaled over the last {detector.conf.data.clip_seconds:g} s",
        file=sys.stderr,
    )
    try:
        for samples in pcm(sys.stdin.buffer, options.sample_format, options.channels):
            _print(live.feed(samples))
    except KeyboardInterrupt:
        pass  # the remaining events are printed below
    _print(live.finish())
    share = live.computing / max(live.heard, 1e-9)
    print(f"{live.heard:.1f} s received; computing took {100 * share:.0f} % of that time", file=sys.stderr)


def _print(events: Iterator[LiveEvent]) -> None:
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
    add_detection_options(parser, whole=False)
    parser.add_argument("--stream", choices=("-",), required=True, help="-: standard input")
    parser.add_argument("--rate", type=sample_rate, default=16000, metavar="HZ", help="default 16000")
    parser.add_argument("--channels", type=int, choices=range(1, 33), default=1, metavar="N", help="default 1")
    parser.add_argument("--sample_format", choices=tuple(FORMATS), default="s16le", help="default s16le")
    parser.add_argument(
        "--latency",
        type=seconds,
        default=1.0,
        metavar="SECONDS",
        help="most time from a sound to its line, without the computing time; default 1",
    )
    return parser.parse_args(argv)


def sample_rate(text: str) -> int:
    rate = int(text)
    if not RATES[0] <= rate <= RATES[1]:
        raise argparse.ArgumentTypeError(f"expected {RATES[0]} to {RATES[1]} Hz, got {rate}")
    return rate
