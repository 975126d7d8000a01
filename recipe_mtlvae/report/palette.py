"""Colours of classes and systems, for pages and charts alike; without matplotlib."""

from __future__ import annotations

from collections.abc import Sequence

# M. A. Petroff, "Accessible color sequences for data visualization", 2021: ten colours that the colour-blind can tell
# apart, in an order that keeps neighbours far from each other; all visible on white and on near-black.
PALETTE = (
    "#3f90da", "#ffa90e", "#bd1f01", "#94a4a2", "#832db6", "#a96b59", "#e76300", "#b9ac70", "#717581", "#92dadd",
)  # fmt: skip
# M. Okabe and K. Ito, "Color universal design", 2008: systems, so that none is taken for a class
SYSTEM_COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9")


def palette(names: Sequence[str], colours: Sequence[str] = PALETTE) -> dict[str, str]:
    """A colour for each name, the same for the same list; where there are too few, colours come again."""
    return {name: colours[i % len(colours)] for i, name in enumerate(names)}
