"""The page's tables for a terminal."""

from __future__ import annotations

from collections.abc import Sequence

from recipe_mtlvae.report.comparison.compared import ComparedSystem
from recipe_mtlvae.report.comparison.costs import CostRow
from recipe_mtlvae.report.comparison.tables import Group
from recipe_mtlvae.scoring import scenarios
from recipe_mtlvae.text_table import text_table


def scores_text(groups: Sequence[Group]) -> str:
    """Figures, then what is known of their spread."""
    headings = [metric.heading for metric in scenarios.METRICS]
    align = "<" + ">" * len(headings) + "<"
    tables = []
    for group in groups:
        rows = [[row.name, *(cell.text + "*" * cell.best for cell in row.cells), row.note] for row in group.rows]
        tables.append(text_table([[group.title, *headings, ""], *rows], align))
        rows = [[row.name, *(cell.spread.replace("\n", " ") for cell in row.cells)] for row in group.rows]
        if rows := [row for row in rows if any(row[1:])]:
            tables.append(text_table([["95 % intervals", *headings], *rows]))
    return "\n\n".join(tables) + "\n"


def costs_text(rows: Sequence[CostRow], systems: Sequence[ComparedSystem]) -> str:
    """What systems cost and cover, a row a quantity."""
    head = [["", *(system.name for system in systems)]] if len(systems) > 1 else []
    return text_table([*head, *([row.name, *row.cells] for row in rows)], "<")
