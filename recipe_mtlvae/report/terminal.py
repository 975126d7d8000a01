"""The page's tables for a terminal."""

from __future__ import annotations

from collections.abc import Sequence

from recipe_mtlvae.report.compared import ComparedSystem
from recipe_mtlvae.report.costs import CostRow
from recipe_mtlvae.report.tables import SCORE_KINDS, Cell, Group


def scores_text(groups: Sequence[Group]) -> str:
    """Figures, then what is known of their spread."""
    width = max(len(row.name) for group in groups for row in group.rows) + 2
    lines = []
    for group in groups:
        lines.append(f"{group.title:<{width}}" + "".join(f"{kind.short:>10}" for kind in SCORE_KINDS))
        for row in group.rows:
            cells = "".join(f"{cell.text + '*' * cell.best:>10}" for cell in row.cells)
            lines.append(f"{row.name:<{width}}{cells}" + (f"   {row.note}" if row.note else ""))
        lines.append("")
        spreads = [row for row in group.rows if any(cell.spread for cell in row.cells)]
        if spreads:
            columns = [max(len(_one_line(row.cells[i])) for row in spreads) + 2 for i in range(len(SCORE_KINDS))]
            heads = zip((kind.short for kind in SCORE_KINDS), columns, strict=True)
            lines.append(f"{'95 % intervals':<{width}}" + "".join(f"{head:>{column}}" for head, column in heads))
            for row in spreads:
                cells = zip(map(_one_line, row.cells), columns, strict=True)
                lines.append(f"{row.name:<{width}}" + "".join(f"{cell:>{column}}" for cell, column in cells))
            lines.append("")
    return "\n".join(lines)


def costs_text(rows: Sequence[CostRow], systems: Sequence[ComparedSystem]) -> str:
    """What systems cost and cover, a row a quantity."""
    width = max(len(row.name) for row in rows) + 2
    columns = [max([len(system.name), *(len(row.cells[i]) for row in rows)]) + 3 for i, system in enumerate(systems)]
    lines = []
    if len(systems) > 1:
        names = "".join(f"{system.name:<{column}}" for system, column in zip(systems, columns, strict=True))
        lines.append(" " * width + names.rstrip())
    for row in rows:
        cells = "".join(f"{cell:<{column}}" for cell, column in zip(row.cells, columns, strict=True))
        lines.append(f"{row.name:<{width}}{cells.rstrip()}")
    return "\n".join(lines)


def _one_line(cell: Cell) -> str:
    return cell.spread.replace("\n", " ")
