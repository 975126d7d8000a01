"""A study's table: per corpus and split the mean over the seeds, paired differences from one variant, energy, time."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from local.study.rows import Study, StudyRow
from recipe_mtlvae.conf_sections import TRAINING
from recipe_mtlvae.report.comparison.compared import ComparedSystem, difference
from recipe_mtlvae.report.comparison.compared_splits import split_title, splits_of
from recipe_mtlvae.report.comparison.costs import NOT_MEASURED, duration, kwh_text
from recipe_mtlvae.report.comparison.energy_use import mean_kwh
from recipe_mtlvae.report.comparison.json_content import comparison
from recipe_mtlvae.report.comparison.measuring import compare
from recipe_mtlvae.report.runs import Published, networks_of, read_published
from recipe_mtlvae.scoring.scenarios import METRICS, Metric
from recipe_mtlvae.text_table import text_table

NOTE = """Each figure is the mean over the runs, ± their standard deviation; in parentheses the published one, on DESED.
Below it the difference from {against}, with its paired 95 % interval over the clips, of the runs' mean;
* where it excludes zero. Energy and time of training are a run's, beside whatever else the machine did."""


@dataclass(frozen=True)
class StudyTable:
    sections: tuple[tuple[str, tuple[tuple[str, ...], ...]], ...]  # title, rows of cells; the first row is the heading
    note: str
    content: dict[str, Any]  # for JSON: the same, with all intervals and pairs

    def text(self) -> str:
        return "\n\n".join([*(f"{title}\n{text_table(rows)}" for title, rows in self.sections), self.note])

    def markdown(self) -> str:
        parts = []
        for title, (head, *rows) in self.sections:
            lines = [_line(head), _line(["---", *["---:"] * (len(head) - 1)]), *map(_line, rows)]
            parts.append(f"**{title}**\n\n" + "\n".join(lines))
        return "\n\n".join([*parts, self.note]) + "\n"


def table_of(study: Study, rows: Sequence[StudyRow], role: str | None) -> StudyTable:
    """Return the table of the finished rows. role: show only splits of this role, select or test; None: all splits."""
    published = {system.name: system for system in read_published()}
    sections, content = [], {}
    for corpus in dict.fromkeys(row.corpus for row in rows):
        sources = [
            source
            for name in study.variants  # in the order of the file
            for row in rows
            if (row.corpus, row.variant) == (corpus, name)
            for source in networks_of(study.title(name), row.folder).items()
        ]
        systems = compare(sources, None, None, role)
        content[corpus] = comparison(systems) | {TRAINING: {one.name: _training(one) for one in systems}}
        known = {study.title(name): published.get(variant.published) for name, variant in study.variants.items()}
        for split in splits_of(systems):
            sections.append((_title(corpus, systems, split), tuple(_rows(study, systems, split, known))))
    return StudyTable(tuple(sections), NOTE.format(against=study.title(study.against)), content)


def _title(corpus: str, systems: Sequence[ComparedSystem], split: str) -> str:
    clips = next(system.results[split].expected for system in systems if split in system.results)
    return f"{corpus}: {split_title(systems, split)}, {clips:,} clips"


def _rows(
    study: Study, systems: Sequence[ComparedSystem], split: str, known: Mapping[str, Published | None]
) -> Iterator[tuple[str, ...]]:
    """Yield the heading, then for each system a row of figures and, unless it is the reference, one of differences."""
    yield ("", "runs", *(metric.heading for metric in METRICS), "kWh", "time")
    reference = next((one for one in systems if one.name == study.title(study.against)), None)
    for system in (system for system in systems if split in system.results):
        theirs = known.get(system.name)
        scores = theirs.scores(split) if theirs else {}
        kwh, seconds = _training(system).values()
        costs = (kwh_text(kwh) if kwh else NOT_MEASURED, duration(seconds) if seconds else NOT_MEASURED)
        figures = (_figure(system, split, metric, scores.get(metric.key)) for metric in METRICS)
        yield (system.name, str(system.results[split].runs), *figures, *costs)
        if reference not in (None, system) and split in reference.results:
            yield ("", "", *(_difference(system, reference, split, metric) for metric in METRICS), "", "")


def _figure(system: ComparedSystem, split: str, metric: Metric, published: float | None) -> str:
    result = system.results[split]
    spread = f" ± {metric.text(result.deviation[metric.key])}" if result.deviation else ""
    return metric.text(result.macro[metric.key]) + spread + (f" ({metric.text(published)})" if published else "")


def _difference(system: ComparedSystem, reference: ComparedSystem, split: str, metric: Metric) -> str:
    found = difference(system.results[split], reference.results[split], metric.key)
    value, low, high = (metric.text(x, sign="+") for x in (found.value, found.interval.low, found.interval.high))
    return f"{value} [{low}, {high}]" + "*" * found.interval.excludes_zero


def _training(system: ComparedSystem) -> dict[str, float | None]:
    """Return the mean energy (kWh) and time (s) of training one run; None if any run was not measured."""
    seconds = [(run.model.get("training") or {}).get("seconds") for run in system.runs]
    return {"kwh": mean_kwh(system, TRAINING), "seconds": None if None in seconds else float(np.mean(seconds))}


def _line(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cell.replace("|", r"\|") for cell in cells) + " |"
