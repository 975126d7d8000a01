"""Tables for a terminal."""

from __future__ import annotations

from collections.abc import Sequence

from recipe_mtlvae.errors import printable


def text_table(rows: Sequence[Sequence[str]], align: str = "<>", gap: int = 2) -> str:
    """Return rows with equal numbers of cells as aligned columns; unprintable characters are escaped.

    align: < or > for each column; the last one applies to all further columns.
    """
    shown = [[printable(cell) for cell in row] for row in rows]
    widths = [max(map(len, column)) for column in zip(*shown, strict=True)]
    sides = align.ljust(len(widths), align[-1])
    return "\n".join(
        (" " * gap).join(f"{cell:{side}{width}}" for cell, side, width in zip(row, sides, widths, strict=True)).rstrip()
        for row in shown
    )
