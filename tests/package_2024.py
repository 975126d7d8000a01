"""A valid submission package of 2024, ways to change it, and its check."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path

import yaml

from recipe_mtlvae.submission.check import CheckReport, check_package
from recipe_mtlvae.submission.profile import Profile, profile_file, read_profile
from tests.package_2022 import LABEL, META, Files, write

CLIPS = 3


def profile_of(year: str, clips: int | None = CLIPS) -> Profile:
    profile = read_profile(profile_file(f"dcase{year}"))
    return dataclasses.replace(profile, rules=dataclasses.replace(profile.rules, clips=clips))


P2024 = profile_of("2024")
CLASSES = P2024.rules.classes


def scores(*rows: str, classes: tuple[str, ...] = CLASSES) -> str:
    rows = rows or (f"0\t0.064{chr(9)}" + "\t".join(["0.25"] * len(classes)),)
    return "\n".join(["\t".join(["onset", "offset", *classes]), *rows]) + "\n"


def meta(label: str = LABEL) -> dict:
    return {
        "submission": {
            "label": label,
            "name": "A system",
            "abbreviation": "System",
            "authors": [
                {"lastname": "Doe", "firstname": "Jo", "email": "jo@tux.org", "corresponding": True},
                {"lastname": "Roe", "firstname": "Al"},
            ],
        },
        "system": {
            "description": {"input_sampling_rate": 16, "acoustic_features": ["log-mel amplitude"]},
            "complexity": {"total_parameters": 1400000},
            "energy_consumption": {"training": 0.2, "devtest": 1e-05},
            "source_code": None,
        },
        "results": {"devtest": {"desed": {"PSDS1": 0.3}, "maestro": {"mPAUC": 0.6}}},
    }


def system(label: str = LABEL, clips: int = CLIPS) -> Files:
    files = {f"{label}/{label}.meta.yaml": yaml.safe_dump(meta(label), sort_keys=False)}
    for run in (1, 2, 3):
        for kind in ("", "_unprocessed"):
            folder = f"{label}/{label}_run{run}{kind}.output"
            row = f"0\t{run / 10 + len(kind) / 1000}\t" + "\t".join(["0.5"] * len(CLASSES))
            files |= {f"{folder}/clip{i}.tsv": scores(row) for i in range(clips)}
        for phase in ("training", "devtest"):
            files[f"{label}/{label}_run{run}_{phase}.emissions.csv"] = "run_id,energy_consumed\na,0.1\n"
    return files


def good() -> Files:
    return {"report.pdf": "%PDF-1.4\n", **system()}


def output(run: int, clip: int, kind: str = "") -> str:
    return f"{LABEL}/{LABEL}_run{run}{kind}.output/clip{clip}.tsv"


def check(tmp_path: Path, files: Files, profile: Profile = P2024) -> CheckReport:
    return check_package(write(tmp_path / "package.zip", files), profile)


def edit(change: Callable[[dict], object]) -> Files:
    content = meta()
    change(content)
    return {**good(), META: yaml.safe_dump(content, sort_keys=False)}


def without(part: str) -> Files:
    return {name: content for name, content in good().items() if part not in name}


def renamed(old: str, new: str) -> Files:
    return {name.replace(old, new): content.replace(old, new) for name, content in good().items()}
