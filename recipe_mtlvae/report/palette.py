"""Colours of classes and systems for pages and charts. Does not import matplotlib."""

from __future__ import annotations

from collections.abc import Sequence

# M. A. Petroff, "Accessible color sequences for data visualization", 2021: ten colours that colour-blind people can
# tell apart, ordered so that neighbours differ strongly. All are visible on white and on near-black.
PALETTE = (
    "#3f90da", "#ffa90e", "#bd1f01", "#94a4a2", "#832db6", "#a96b59", "#e76300", "#b9ac70", "#717581", "#92dadd",
)  # fmt: skip
# M. Okabe and K. Ito, "Color universal design", 2008: for systems, whose colours differ from those of classes
SYSTEM_COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9")


def palette(names: Sequence[str], colours: Sequence[str] = PALETTE) -> dict[str, str]:
    """Give each name the colour of its position in the list. With more names than colours, the colours repeat."""
    return {name: colours[i % len(colours)] for i, name in enumerate(names)}
