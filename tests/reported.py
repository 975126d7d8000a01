"""A run on a corpus with a class name that is HTML, and its report."""

from __future__ import annotations

import csv
import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import yaml

from recipe_mtlvae.conf import Conf, conf_to_dict
from recipe_mtlvae.corpus.splits import Corpus
from recipe_mtlvae.inputs.prepared import open_split
from recipe_mtlvae.labels import Grid
from recipe_mtlvae.report.comparison.measuring import systems_of_runs
from recipe_mtlvae.report.comparison.page import write_report
from recipe_mtlvae.scoring.evaluation import measure, prepare
from recipe_mtlvae.scoring.reference import reference_path, split_reference, write_reference
from recipe_mtlvae.scoring.scores import read_scores, write_scores
from tests.tiny import tiny_conf

HOSTILE = "<script>alert(1)</script>"
CLASSES = ("Beep", HOSTILE, "Hum")


def html_conf() -> Conf:
    return tiny_conf(f"data.classes={json.dumps(CLASSES)}")


def make_run(folder: Path, root: Path) -> Path:
    """Make a run folder as the stages leave it, with four validation and three public clips."""
    settings, rng = html_conf(), np.random.default_rng(1)
    folder.mkdir(parents=True)
    (folder / "conf.yaml").write_text(yaml.safe_dump(conf_to_dict(settings), sort_keys=False))
    grid, after = Grid.of(settings.features, settings.data.clip_seconds), settings.postprocess
    for split, metrics in (("validation", "metrics.json"), ("public", "metrics_public.json")):
        prepared = open_split(Corpus(settings, root), split)
        for clip in prepared.clips:
            scores = 0.7 * grid.encode(clip.events, CLASSES) + 0.4 * rng.random((grid.steps, len(CLASSES)))
            write_scores(folder / "scores" / split, Path(clip.name).stem, scores, grid.step_seconds, CLASSES)
        reference = split_reference(prepared)
        system = prepare(read_scores(folder / "scores" / split), reference, after.threshold, steps=after.median_filter)
        measure(system, split, folder / metrics, folder / f"psd_roc_{split}.json")
        write_reference(reference_path(folder, split), reference)
    with (folder / "history.csv").open("w", newline="") as stream:
        writer = csv.writer(stream)
        writer.writerow(["epoch", "step", "loss/weak", "loss/kld", "loss/total", "kl/mean", "val/selection"])
        writer.writerows([epoch, 5 * epoch, 0.5, 0.1, 0.6, 0.02, 0.3 + epoch] for epoch in range(3))
    energy = {"training": {"kwh": 0.0123, "seconds": 60.0, "mode": "CPU estimated (tdp)"}, "validation": {"kwh": None}}
    (folder / "energy.json").write_text(json.dumps(energy))
    training = {"epochs": 3, "steps": 15, "clips_seen": 120, "seconds": 61.0, "best_epoch": 3}
    model = {"system": "mtlvae", "parameters": 1234567, "macs_10s": 2.5e8, "classes": CLASSES, "training": training}
    (folder / "model.json").write_text(json.dumps(model))
    return folder


@dataclass(frozen=True)
class Written:
    """A report as stage 4 leaves it."""

    folder: Path
    text: str  # printed to the terminal
    page: str


def report(folder: Path, root: Path) -> Written:
    systems = systems_of_runs({folder.name: folder})
    text = write_report(systems, Corpus(html_conf(), root), folder.name, folder / "report.html")
    return Written(folder, text, (folder / "report.html").read_text())
