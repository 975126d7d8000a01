"""Read the files of a run for a page: scores, curves, history, energy and size. A missing file becomes a gap."""

from __future__ import annotations

import csv
import io
import json
import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from recipe_mtlvae.conf import CONF_DIR, Conf, conf_from_dict, load_conf
from recipe_mtlvae.conf_files import load_yaml
from recipe_mtlvae.corpus.splits import main_split, scored_splits
from recipe_mtlvae.errors import RecipeError, fail, reason_of
from recipe_mtlvae.files import read_text
from recipe_mtlvae.scoring.energy import is_energy
from recipe_mtlvae.systems import SYSTEMS

GIVEN = " by the given truth"  # added to the name of the given split, to tell it from a run's own split of that name


@dataclass(frozen=True)
class Run:
    """One run folder, exp/<tag>/."""

    name: str
    folder: Path
    conf: Conf | None
    metrics: dict[str, dict[str, Any]]  # by split: metrics.json, metrics_<split>.json; test splits, then select splits
    curves: dict[str, dict[str, Any]]  # by split: psd_roc_<split>.json
    history: dict[str, list[float]]  # history.csv by column, a value an epoch, nan where none was logged
    energy: dict[str, dict[str, Any]]  # by phase: energy.json
    model: dict[str, Any]  # model.json
    gaps: tuple[str, ...]  # one sentence each: what is missing on the page, and why

    def figure(self, *keys: str) -> float | None:
        """Return the number at `keys`, from section to entry, of model.json; None if there is none."""
        value: Any = self.model
        for key in keys:
            value = value.get(key) if isinstance(value, dict) else None
        return value if isinstance(value, int | float) and abs(value) < math.inf else None


@dataclass(frozen=True)
class Published:
    """A system's figures as its authors published them (conf/published.yaml)."""

    name: str
    group: str  # report | baseline | later
    source: str
    data: str
    headline: bool
    energy: dict[str, Any]
    splits: dict[str, dict[str, float]]  # scores by split, macro, 0 to 1

    def scores(self, split: str) -> dict[str, float]:
        """The scores published for `split`; empty where there are none."""
        return self.splits.get(split.removesuffix(GIVEN), {})


def open_run(folder: Path, name: str | None = None) -> Run:
    """Read a run folder. Raises RecipeError if it holds no scores."""
    run = read_run(folder, name)
    if not run.metrics:
        raise fail("expected metrics.json, found no scores", "run stage 3 first", folder)
    return run


def read_run(folder: Path, name: str | None = None) -> Run:
    """Read a run folder, which may lack any of its files: each missing file becomes a gap."""
    gaps: list[str] = []
    conf = _read(folder / "conf.yaml", gaps, lambda text: conf_from_dict(load_yaml(text)))
    known = conf or load_conf()  # without conf.yaml, DESED's splits are assumed
    metrics = {}
    for split in scored_splits(known):
        is_test = known.data.splits[split].role == "test"
        metrics[split] = _read_json(folder / metrics_name(split, known), gaps if is_test else [])
    metrics = {split: content for split, content in metrics.items() if content}
    curves = {split: _read_json(folder / f"psd_roc_{split}.json", gaps) for split in metrics}
    return Run(
        name=name or folder.name,
        folder=folder,
        conf=conf,
        metrics=metrics,
        curves={split: curve for split, curve in curves.items() if curve},
        history=_read(folder / "history.csv", gaps, _history) or {},
        energy=_read(folder / "energy.json", gaps, _phases) or {},
        model=_read_json(folder / "model.json", gaps),
        gaps=tuple(gaps),
    )


def bare_run(folder: Path, name: str) -> Run:
    """Return a Run without contents, for a folder of scores or events that is not a run."""
    gaps = ("How it was trained, its energy and its size are not known: this folder is not a run.",)
    return Run(name, folder, None, {}, {}, {}, {}, {}, gaps)


def networks_of(name: str, folder: Path) -> dict[str, Path]:
    """Return the folder of each network of a run, by its name on the page.

    A teacher, which has a subfolder of the run, is shown as a system of its own.
    """
    others = {network for system in SYSTEMS.values() for network in system.networks[1:]}
    there = [network for network in sorted(others) if (folder / network / "scores").is_dir()]
    return {name: folder} | {f"{name}, {network}": folder / network for network in there}


def metrics_name(split: str, conf: Conf) -> str:
    """Return the name of the file in a run folder that holds the metrics of `split`."""
    return "metrics.json" if split == main_split(conf) else f"metrics_{split}.json"


def read_published(file: Path | None = None) -> list[Published]:
    """Read the table of published figures, by default conf/published.yaml."""
    file = file or CONF_DIR / "published.yaml"
    try:
        rows = load_yaml(file.read_text(encoding="utf-8"))
        return [_published(**row) for row in rows]
    except (OSError, UnicodeDecodeError, yaml.YAMLError, TypeError) as error:
        raise fail(f"expected a list of published figures: {error}", "see conf/published.yaml", file) from None


def _published(
    name: str, group: str, source: str, data: str, headline: bool, energy: dict | None = None, **splits: dict
) -> Published:
    return Published(name, group, source, data, headline, energy or {}, {key: {**splits[key]} for key in splits})


def _read_json(file: Path, gaps: list[str]) -> dict[str, Any]:
    return _read(file, gaps, _mapping) or {}


def _read(file: Path, gaps: list[str], parse: Callable[[str], Any]) -> Any:
    """Parse the text of a file. If the file is missing or damaged, add a gap and return None."""
    try:
        return parse(read_text(file))
    except FileNotFoundError:
        gaps.append(f"{file.name} is missing.")
    except (OSError, ValueError, RecursionError, yaml.YAMLError, csv.Error, RecipeError) as error:
        gaps.append(f"{file.name} cannot be read: {reason_of(error)}.")
    return None


def _mapping(text: str) -> dict[str, Any]:
    content = json.loads(text)
    if not isinstance(content, dict):
        raise ValueError("expected a JSON object")
    return content


def _phases(text: str) -> dict[str, dict[str, Any]]:
    content = json.loads(text)
    if not is_energy(content):
        raise ValueError("expected a JSON object of figures for each phase")
    return content


def _history(text: str) -> dict[str, list[float]]:
    rows = list(csv.DictReader(io.StringIO(text, newline="")))
    if not rows or "epoch" not in rows[0]:
        raise ValueError("expected one row per epoch, with a column epoch")
    return {name: [_number(row[name]) for row in rows] for name in rows[0] if name}


def _number(text: str | None) -> float:
    try:
        return float(text or "nan")
    except ValueError:
        return math.nan
