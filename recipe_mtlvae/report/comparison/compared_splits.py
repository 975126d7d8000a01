"""The splits of a comparison: their names on the page, and their order."""

from __future__ import annotations

from collections.abc import Sequence

from recipe_mtlvae.corpus.splits import of_role
from recipe_mtlvae.report.comparison.compared import ComparedSystem
from recipe_mtlvae.report.pages import counted


def split_name(split: str) -> str:
    return split[:1].upper() + split[1:].replace("_", " ")


def is_selection(systems: Sequence[ComparedSystem], split: str) -> bool:
    """Whether any system was selected on this split, so that its scores are not a test result."""
    confs = [run.conf for system in systems for run in system.runs if run.conf]
    return any(split in of_role(conf.data.splits, "select") for conf in confs)


def split_title(systems: Sequence[ComparedSystem], split: str) -> str:
    return split_name(split) + " (selection)" * is_selection(systems, split)


def title_with_clips(systems: Sequence[ComparedSystem], split: str) -> str:
    clips = next(system.results[split].expected for system in systems if split in system.results)
    return f"{split_title(systems, split)}, {counted(clips, 'clip')}"


def splits_of(systems: Sequence[ComparedSystem]) -> list[str]:
    """Return the splits on which any system was measured, select splits last."""
    found = dict.fromkeys(split for system in systems for split in system.results)
    return sorted(found, key=lambda split: is_selection(systems, split))


def shown_splits(systems: Sequence[ComparedSystem]) -> list[str]:
    """Return the splits that charts show: the first, and others with a system that none of those before shows."""
    splits = splits_of(systems)
    shown = splits[:1]
    for split in splits[1:]:
        if any(split in system.results and not system.results.keys() & set(shown) for system in systems):
            shown.append(split)
    return shown


def dev_test_of(systems: Sequence[ComparedSystem]) -> str:
    """Return the split that stands for the challenge's dev-test: the first that is not a select split; else ''."""
    return next((split for split in splits_of(systems) if not is_selection(systems, split)), "")
