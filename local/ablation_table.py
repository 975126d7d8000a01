"""One table of the ablation's runs beside the report's Figures 2 and 3."""

from __future__ import annotations

import re
import statistics
import sys
from dataclasses import dataclass
from pathlib import Path

from recipe_mtlvae.errors import exit_code_of, fail
from recipe_mtlvae.files import write_text
from recipe_mtlvae.report.runs import Published, read_published, read_run
from recipe_mtlvae.scoring.scenarios import METRICS

# conf/ablation's systems in the order of the report's figures: file, title, the row's name in conf/published.yaml
ROWS = {
    "synthetic": ("strong synthetic only", "MTL-VAE, strong synthetic only"),
    "synthetic_weak": ("+ weak real", "MTL-VAE, strong synthetic + weak"),
    "synthetic_weak_unlabeled": (
        "+ reconstruction of unlabeled",
        "MTL-VAE, strong synthetic + weak + reconstruction",
    ),
    "four_tasks": ("+ strong real: all four, variational", "MTL-VAE, all four tasks"),
    "strong_real": ("strong real only", "MTL-VAE, strong real only"),
    "deterministic": ("all four, deterministic", "MTL-VAE, deterministic encoder"),
}
REPORTED = ROWS["four_tasks"][1]  # whose published figures say which ones the table has


@dataclass(frozen=True)
class Cell:
    """One score of one system on one split, in %."""

    ours: list[float]  # a value a seed
    report: float


def main() -> None:
    if len(sys.argv) != 3:
        raise fail("usage: python -m local.ablation_table EXP_DIR PREFIX")
    runs, prefix = Path(sys.argv[1]), sys.argv[2]
    table = table_of(runs, prefix)
    file = runs / f"{prefix}.md"
    write_text(file, table)
    print(f"{table}\nwritten to {file}")


def table_of(runs: Path, prefix: str) -> str:
    """A Markdown table; ours as the mean over the seeds, with the standard deviation where there are several."""
    published = {row.name: row for row in read_published()}
    splits = list(published[REPORTED].splits)
    shown = [metric for metric in METRICS if metric.key in published[REPORTED].scores(splits[0])]
    heads = [f"{metric.short}, {split}" for metric in shown for split in splits]
    lines = ["| system | " + " | ".join(heads) + " |", "|---" * (1 + len(heads)) + "|"]
    for system, (title, name) in ROWS.items():
        cells = [
            _cell(runs, f"{prefix}-{system}", published[name], split, metric.key)
            for metric in shown
            for split in splits
        ]
        lines.append(f"| {title} | " + " | ".join(map(_show, cells)) + " |")
    note = "Each cell: ours, then (the report's, on DESED). Macro F1 in %; ours is the mean over the seeds."
    return "\n".join([*lines, "", note]) + "\n"


def _cell(runs: Path, stem: str, published: Published, split: str, score: str) -> Cell:
    seeds = re.compile(re.escape(stem) + r"-\d+")  # not the baselines that --baseline trains beside them
    folders = sorted(folder for folder in runs.glob(f"{stem}-*") if seeds.fullmatch(folder.name))
    scores = [metrics[split] for folder in folders if split in (metrics := read_run(folder).metrics)]
    if not scores:
        raise fail(f"no run of {stem} has scores of {split}", "run local/ablation.sh", runs)
    return Cell([100 * found[score] for found in scores], 100 * published.scores(split)[score])


def _show(cell: Cell) -> str:
    spread = f" ± {statistics.stdev(cell.ours):.1f}" if len(cell.ours) > 1 else ""
    return f"{statistics.mean(cell.ours):.1f}{spread} ({cell.report:.1f})"


if __name__ == "__main__":
    sys.exit(exit_code_of(main))
