"""The splits of a comparison: what they are called, and in which order they are shown."""

from __future__ import annotations

from collections.abc import Sequence

from recipe_mtlvae.corpus.splits import of_role
from recipe_mtlvae.report.comparison.compared import ComparedSystem
from recipe_mtlvae.report.pages import counted


def split_name(split: str) -> str:
    return split[:1].upper() + split[1:].replace("_", " ")


def is_selection(systems: Sequence[ComparedSystem], split: str) -> bool:
    """Whether a system was selected on this split: its scores there are no test result."""
    confs = [run.conf for system in systems for run in system.runs if run.conf]
    return any(split in of_role(conf.data.splits, "select") for conf in confs)


def split_title(systems: Sequence[ComparedSystem], split: str) -> str:
    return split_name(split) + " (selection)" * is_selection(systems, split)


def title_with_clips(systems: Sequence[ComparedSystem], split: str) -> str:
    clips = next(system.results[split].expected for system in systems if split in system.results)
    return f"{split_title(systems, split)}, {counted(clips, 'clip')}"


def splits_of(systems: Sequence[ComparedSystem]) -> list[str]:
    """The splits on which any system was measured, those of selection last."""
    found = dict.fromkeys(split for system in systems for split in system.results)
    return sorted(found, key=lambda split: is_selection(systems, split))


def shown_splits(systems: Sequence[ComparedSystem]) -> list[str]:
    """What charts show: the first split, and other ones as far as systems were measured there alone."""
    splits = splits_of(systems)
    shown = splits[:1]
    for split in splits[1:]:
        if any(split in system.results and not system.results.keys() & set(shown) for system in systems):
            shown.append(split)
    return shown


def dev_test_of(systems: Sequence[ComparedSystem]) -> str:
    """The split that stands for the challenge's dev-test: the first one on which the systems were tested."""
    return next((split for split in splits_of(systems) if not is_selection(systems, split)), "")
