"""report.html: a self-contained page about one system or several, made from files alone."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from recipe_mtlvae.corpus.splits import Corpus
from recipe_mtlvae.report.comparison import chart_sections, costs, tables
from recipe_mtlvae.report.comparison.clips import clip_views
from recipe_mtlvae.report.comparison.compared import FEW_CLIPS, ComparedSystem
from recipe_mtlvae.report.comparison.compared_splits import (
    dev_test_of,
    is_selection,
    shown_splits,
    split_name,
    split_title,
    splits_of,
)
from recipe_mtlvae.report.comparison.conditions import conditions, conf_text
from recipe_mtlvae.report.comparison.energy_use import baseline_of, with_network
from recipe_mtlvae.report.comparison.failures import failures
from recipe_mtlvae.report.comparison.headline import headline
from recipe_mtlvae.report.comparison.threshold_choice import POINTS, threshold_choices
from recipe_mtlvae.report.pages import write_page
from recipe_mtlvae.report.runs import read_published
from recipe_mtlvae.scoring import scenarios
from recipe_mtlvae.scoring.results import ZERO_F1

FIRST_CLASSES = 20  # the worst ones, always visible; the others are folded away
CLIPS_EACH = 4  # this many best, median and worst clips


def write_report(systems: Sequence[ComparedSystem], corpus: Corpus | None, title: str, file: Path) -> str:
    """Write the page to `file`. Returns its tables as text for the terminal.

    corpus: holds the spectrograms and the sound of the test clips; None: the page shows neither.
    """
    published = read_published()
    several = len(systems) > 1
    shown = shown_splits(systems)
    split = shown[0]
    gaps = [f"{run.name}: {gap}" if several else gap for one in systems for run in one.runs for gap in run.gaps]
    gaps = list(dict.fromkeys(gaps))
    clips = clip_views(systems, split, corpus, CLIPS_EACH, gaps)
    groups = tables.score_groups(systems, [system for system in published if system.headline])
    differences, cost_table = tables.difference_groups(systems), costs.cost_rows(systems)
    write_page(
        file,
        "comparison/report.html",
        title=title,
        systems=systems,
        several=several,
        metrics=scenarios.METRICS,
        zero_f1=ZERO_F1,
        headline=headline(systems, split),
        groups=groups,
        spread=any(result.intervals for system in systems for result in system.results.values()),
        seeds=any(len(system.runs) > 1 for system in systems),
        narrow=tables.NARROW,
        few_clips=FEW_CLIPS,
        differences=differences,
        classes=[(split_title(systems, one).lower(), tables.class_groups(systems, one)) for one in shown],
        first_classes=FIRST_CLASSES,
        failures=failures(systems, split),
        costs=cost_table,
        selection=any(is_selection(systems, one) for one in splits_of(systems)),
        dev_test=split_name(dev_test_of(systems)).lower(),
        weighed_by=with_network(by, by.name) if several and (by := baseline_of(systems)) else "",
        note=tables.published_note(published),
        points=POINTS,
        choices=threshold_choices(systems),
        sections=chart_sections.sections(systems, shown, clips, corpus),
        published=tables.published_groups(published),
        conditions=conditions(systems),
        confs=[(system.name, conf_text(system)) for system in systems if system.runs[0].conf],
        gaps=gaps,
    )
    text = [tables.scores_text(groups), *([tables.scores_text(differences)] if differences else [])]
    return "\n".join([*text, costs.costs_text(cost_table, systems)])
