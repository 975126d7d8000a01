"""Draw .readme/energy.png from the first table of results in README.md: python -m tests.readme_picture"""

from __future__ import annotations

import json
import re

import matplotlib
from matplotlib.figure import Figure

from recipe_mtlvae.report.palette import SYSTEM_COLOURS
from recipe_mtlvae.report.theme import MARKERS, STYLE
from tests.readme import PROJECT, TEXT

PICTURE = PROJECT / ".readme" / "energy.png"
SHOWN = {  # part of the row's name in the table: name in the picture
    "baseline, student": "baseline (mean-teacher CRNN)",
    "conf/mtlvae.yaml": "the report's system",
    "conf/mtlvae_plus.yaml": "mtlvae_plus",
    "conf/mtlvae_yamnet.yaml": "mtlvae_yamnet (pretrained)",
}
CORPORA = {"mini, synthesised sounds": 0, "ESC-10, recordings": 1}  # corpus: column of its PSDS1


def points() -> dict[str, dict[str, tuple[float, float]]]:
    """Return (energy of training as a share of the baseline's, PSDS1 on validation) by corpus and system."""
    table = TEXT[TEXT.index("| system | energy of training |") :].partition("\n\n")[0]
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in table.splitlines()[2:]]
    found: dict[str, dict[str, tuple[float, float]]] = {corpus: {} for corpus in CORPORA}
    for key, name in SHOWN.items():
        cells = next(cells for cells in rows if key in cells[0])
        energies = cells[1].split(", ")
        for corpus, column in CORPORA.items():
            whole, _, times = energies[min(column, len(energies) - 1)].partition("/")
            psds1 = re.search(r"\.\d+", cells[2 + column])
            found[corpus][name] = (1 / float(times) if times else float(whole), float(psds1[0]))
    return found


def draw() -> None:
    """Draw the picture. Its metadata holds its numbers, so that a test fails when README no longer has the same."""
    with matplotlib.rc_context(STYLE | {"font.size": 11, "grid.color": "#dddddd"}):
        figure = Figure(figsize=(9.6, 3.7), layout="constrained", facecolor="white")
        panels = figure.subplots(1, len(CORPORA))
        for axes, (corpus, systems) in zip(panels, points().items(), strict=True):
            for i, (name, (energy, psds1)) in enumerate(systems.items()):
                axes.plot(energy, psds1, MARKERS[i], color=SYSTEM_COLOURS[i], markersize=10, label=name, linestyle="")
            axes.set(
                title=corpus,
                xlabel="energy of training, the baseline's is 1 (log)",
                ylabel="PSDS1, validation",
                xscale="log",
            )
            axes.set_xticks([1 / 32, 1 / 16, 1 / 8, 1 / 4, 1 / 2, 1], ["1/32", "1/16", "1/8", "1/4", "1/2", "1"])
            axes.minorticks_off()
            axes.set_xlim(1 / 45, 1.4)
            axes.set_ylim(0.0, 1.15 * max(psds1 for _, psds1 in systems.values()))
            axes.spines[["top", "right"]].set_visible(False)
            axes.grid(linewidth=0.7)
        figure.legend(*panels[0].get_legend_handles_labels(), loc="outside lower center", ncols=len(SHOWN))
        figure.savefig(PICTURE, dpi=110, metadata={"Description": json.dumps(points())})


if __name__ == "__main__":
    draw()
