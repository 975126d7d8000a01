"""A valid submission package of 2022, ways to change it, and its check."""

from __future__ import annotations

import zipfile
from collections.abc import Callable
from pathlib import Path

import yaml

from recipe_mtlvae.submission.check import CheckReport, check_package
from recipe_mtlvae.submission.profile import read_profile

LABEL = "Doe_TUX_task4_1"
META, OUTPUT = f"{LABEL}/{LABEL}.meta.yaml", f"{LABEL}/{LABEL}.output.tsv"
HEADER = "filename\tonset\toffset\tevent_label\n"
Files = dict[str, str]


def point(threshold: str, label: str = LABEL) -> str:
    return f"{label}/operating_points/predictions_th_{threshold}.tsv"


def meta(label: str = LABEL) -> dict:
    author = {"lastname": "Doe", "firstname": "Jo", "email": "jo@tux.org", "corresponding": True}
    return {
        "submission": {
            "label": label,
            "name": "A system",
            "abbreviation": "System",
            "authors": [author, {"lastname": "Roe", "firstname": "Al"}],
        },
        "system": {
            "description": {"input_sampling_rate": 16},
            "complexity": {"total_parameters": 1400000, "MACS": 2.5e8},
            "energy_consumption": {"training": 0.2, "devtest": 1.0e-05, "evaluation": 0.01, "baseline_devtest": None},
        },
        "results": {
            "development_dataset": {
                "overall": {"PSDS1": 0.3, "PSDS2": 0.5, "F-score": 40.1},
                "class_wise": {"Dog": {"F-score": 41.0}, "Cat": {"F-score": None}},
            }
        },
    }


def system(label: str = LABEL) -> Files:
    """Return a system that follows the rules: a dog detected at thresholds up to 0.69, and a cat up to 0.29."""
    files = {f"{label}/{label}.meta.yaml": yaml.safe_dump(meta(label), sort_keys=False)}
    dog, cat = "a.wav\t1.024\t2.560\tDog\n", "b 1.wav\t0.000\t9.984\tCat\n"
    files[f"{label}/{label}.output.tsv"] = HEADER + dog
    for i in range(50):
        threshold = f"{0.01 + 0.02 * i:.2f}"
        files[point(threshold, label)] = HEADER + dog * (i < 35) + cat * (i < 15)
    return files


def good() -> Files:
    return {"Doe_TUX_task4.technical_report.pdf": "%PDF-1.4\n%%EOF\n", **system()}


def write(path: Path, files: Files) -> Path:
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return path


def unpack(folder: Path, files: Files) -> Path:
    for name, content in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(content)
    return folder


def check(tmp_path: Path, files: Files) -> CheckReport:
    return check_package(write(tmp_path / "package.zip", files), read_profile())


def faults(tmp_path: Path, files: Files) -> list[str]:
    return [str(fault) for fault in check(tmp_path, files).faults]


def edit(change: Callable[[dict], object]) -> Files:
    content = meta()
    change(content)
    return {**good(), META: yaml.safe_dump(content, sort_keys=False)}


def with_row(row: str, name: str = OUTPUT) -> Files:
    return {**good(), name: good()[name] + row + "\n"}


def without(*names: str) -> Files:
    return {name: content for name, content in good().items() if name not in names}


def renamed(old: str, new: str) -> Files:
    return {name.replace(old, new): content for name, content in good().items()}
