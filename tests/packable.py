"""A run as stages 1 to 3 leave it, a completed submission profile, and a reader of the packed ZIP file."""

from __future__ import annotations

import dataclasses
import json
import zipfile
from pathlib import Path

import numpy as np
import yaml

from recipe_mtlvae.conf import Conf, conf_to_dict
from recipe_mtlvae.scoring.scores import write_scores
from recipe_mtlvae.submission.profile import Author, Profile, read_profile

STEP = 0.064
LABEL = "Doe-Muller_TUX_task4_1"
EVALUATION = [f"any name {i}.wav" for i in range(3)]


def filled_profile() -> Profile:
    """Return the shipped profile with authors, for the classes of the tiny corpus."""
    shipped = read_profile()
    affiliation = dataclasses.replace(shipped.authors[0].affiliation, abbreviation="TUX")
    authors = (
        Author(lastname="Roe", firstname="Al", email=None, corresponding=False, affiliation=affiliation),
        dataclasses.replace(
            shipped.authors[0], lastname="Doe-Müller", firstname="Jo", email="jo@tux.org", affiliation=affiliation
        ),
    )
    return dataclasses.replace(
        shipped, authors=authors, rules=dataclasses.replace(shipped.rules, classes=("Beep", "Hum"))
    )


def make_run(run_dir: Path, conf: Conf, split: str, names: list[str], seed: int = 0) -> Path:
    """Make a run as stages 1 to 3 leave it, with smooth random scores."""
    rng = np.random.default_rng(seed)
    for name in names:
        scores = np.cumsum(rng.normal(0, 0.3, (31, 2)), axis=0)
        write_scores(run_dir / "scores" / split, Path(name).stem, 1 / (1 + np.exp(-scores)), STEP, ("Beep", "Hum"))
    score = {"psds1": 0.1234567, "psds2": 0.5, "event_f1": 0.321, "segment_f1": 0.5, "intersection_f1": 0.4}
    absent = dict.fromkeys(score)
    phase = {"kwh": 0.00123456789, "mode": "CPU estimated (constant)", "codecarbon": "3.3", "cpu_model": "A CPU"}
    contents = {
        "metrics.json": {"split": "validation", **score, "per_class": {"Beep": score, "Hum": absent}},
        "model.json": {"parameters": 1234567, "macs_10s": 250000000},
        "energy.json": {"training": phase, "validation": {**phase, "kwh": 2e-05}, split: {**phase, "kwh": 3e-05}},
    }
    for name, content in contents.items():
        (run_dir / name).write_text(json.dumps(content))
    (run_dir / "conf.yaml").write_text(yaml.safe_dump(conf_to_dict(conf), sort_keys=False))
    return run_dir


def read_zip(path: Path) -> dict[str, str]:
    with zipfile.ZipFile(path) as archive:
        return {name: archive.read(name).decode() for name in archive.namelist()}


def with_report(profile: Profile, tmp_path: Path) -> Profile:
    report = tmp_path / "report.pdf"
    report.write_bytes(b"%PDF-1.4\n%%EOF\n")
    return dataclasses.replace(profile, report=str(report))
