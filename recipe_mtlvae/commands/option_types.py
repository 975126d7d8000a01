"""Command-line options that several programs share, and their types."""

from __future__ import annotations

import argparse


def count(text: str) -> int:
    """Parse a whole number of at least 1."""
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"expected a number of at least 1, got {text!r}")
    return int(text)


def add_settings(parser: argparse.ArgumentParser, where: str = "") -> None:
    """Add the option --set KEY=VALUE, whose values conf.load_conf takes as `settings`."""
    text = "one value of the configuration" + where + "; may be repeated"
    parser.add_argument("--set", dest="settings", action="append", default=[], metavar="KEY=VALUE", help=text)
