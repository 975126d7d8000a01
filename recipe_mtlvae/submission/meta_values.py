"""The values that a package's meta file gives for a system, its training and its figures, by a profile's {names}."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from operator import attrgetter
from pathlib import Path
from typing import Any, get_type_hints

import numpy as np

from recipe_mtlvae.conf import Conf
from recipe_mtlvae.conf_sections import AugmentConf
from recipe_mtlvae.conf_types import Probability
from recipe_mtlvae.errors import RecipeError, fail
from recipe_mtlvae.labels import Grid
from recipe_mtlvae.report.runs import Run
from recipe_mtlvae.scoring.reference import attach, read_written_reference, reference_path
from recipe_mtlvae.scoring.scenarios import METRICS
from recipe_mtlvae.scoring.scores import read_scores
from recipe_mtlvae.submission.profile import Profile
from recipe_mtlvae.systems import SYSTEMS, system_module


def meta_values(runs: Sequence[Run], conf: Conf, profile: Profile, split: str) -> dict[str, Any]:
    """Return the values by name. Each figure is the mean over the runs; None if one of them was not measured.

    The energy of each phase is in kWh; MACs are for 10 s of audio. Raises RecipeError if a run has no scores of
    dev-test, which is the split that the profile names.
    """
    for run in runs:
        if profile.devtest not in run.metrics:
            raise fail(f"no scores of the split '{profile.devtest}'", "run stage 3", run.folder)
    metrics = [run.metrics[profile.devtest] for run in runs]
    classes = [scores.get("per_class", {}) for scores in metrics]
    given = {name: float("nan") if value is None else value for name, value in profile.figures.items()}
    return {
        **profile.names,
        "name": SYSTEMS[conf.system].title,
        "abbreviation": SYSTEMS[conf.system].abbreviation,
        "machine_learning_method": SYSTEMS[conf.system].method,
        "machine_learning_semi_supervised": semi_supervised(conf),
        "authors": [_author(author) for author in map(asdict, profile.authors)],
        "source_code": profile.source_code,
        "sample_rate_khz": short(conf.features.sample_rate / 1000),
        "data_augmentation": data_augmentation(conf),
        "embeddings": embeddings(conf),
        "training_data": training_data(conf, profile),
        "external_data": external_data(conf, profile),
        "post_processing": post_processing(conf),
        "threshold": conf.postprocess.threshold,
        "parameters": runs[0].model.get("parameters"),
        "macs_10s": runs[0].model.get("macs_10s"),
        "kwh_training": _kwh(runs, "training"),
        "kwh_devtest": _kwh(runs, profile.devtest),
        "kwh_evaluation": _kwh(runs, split),
        "kwh_baseline_training": conf.energy.baseline_training_kwh,
        "kwh_baseline_devtest": conf.energy.baseline_devtest_kwh,
        "kwh_baseline_evaluation": conf.energy.baseline_eval_kwh,
        "energy_measured_by": _measured_by(runs),
        "psds1": _rounded(_mean(scores.get("psds1") for scores in metrics), 4),
        "psds2": _rounded(_mean(scores.get("psds2") for scores in metrics), 4),
        "event_f1_percent": _percent(_mean(scores.get("event_f1") for scores in metrics)),
        **(_psds_with_events(runs, conf, profile.devtest) if "_with_events}" in str(profile.meta) else {}),
        "class_wise": {
            label: {"F-score": _percent(_mean(by_class.get(label, {}).get("event_f1") for by_class in classes))}
            for label in classes[0]
        },
        **given,
    }


def data_augmentation(conf: Conf) -> str | None:
    """Return the names of the augmentations of training clips that are switched on."""
    kinds = get_type_hints(AugmentConf, include_extras=True)
    names = [name for name, kind in kinds.items() if kind == Probability and getattr(conf.augment, name) > 0]
    return ", ".join(name.replace("_", " ") for name in names) or None


def embeddings(conf: Conf) -> str | None:
    """Return the name of the pretrained encoder whose embeddings the network takes."""
    return conf.encoder.name if "embeddings" in system_module(conf.system).inputs(conf) else None


def training_data(conf: Conf, profile: Profile) -> list[str]:
    """Return the profile's names of the data sets that the active tasks are trained on."""
    return [text for task, text in profile.training_data.items() if task in conf.tasks]


def external_data(conf: Conf, profile: Profile) -> list[str] | None:
    """Return the data from outside the challenge: data sets, recordings in a soundbank, and pretrained weights."""
    found = [text for task, text in profile.external_data.items() if task in conf.tasks]
    if conf.data.soundbank is not None:
        found.append(f"recordings of {Path(conf.data.soundbank).name}")
    if encoder := embeddings(conf):
        found.append(f"pretrained weights of {encoder}")
    return found or None


def semi_supervised(conf: Conf) -> str | None:
    """Return the semi-supervised methods that are switched on, if unlabeled clips are used at all."""
    ways = _switched_on(SYSTEMS[conf.system].semi_supervised, conf) if "reconstruction" in conf.tasks else ()
    return ", ".join(ways) or None


def post_processing(conf: Conf) -> str | None:
    """Return the system's own post-processing, then the median filter unless it has one step, which changes nothing."""
    ways, steps = _switched_on(SYSTEMS[conf.system].post_processing, conf), conf.postprocess.median_filter
    if steps > 1:
        step_seconds = Grid.of(conf.features, conf.data.clip_seconds).step_seconds
        ways.append(f"median filtering ({short(steps * step_seconds * 1000)} ms)")
    return ", ".join(ways) or None


def _switched_on(ways: Mapping[str, str], conf: Conf) -> list[str]:
    """Return the descriptions in `ways` whose configuration key is neither 0 nor false."""
    return [way for key, way in ways.items() if attrgetter(key)(conf)]


def short(value: float) -> int | float:
    """Round to three decimals at most; 16 rather than 16.0."""
    value = round(value, 3)
    return int(value) if value == int(value) else value


def _psds_with_events(runs: Sequence[Run], conf: Conf, split: str) -> dict[str, Any]:
    """Return PSDS over the clips with events, as the challenge's tools of 2023 and 2024 count it, and how many."""
    keys = [metric.key for metric in METRICS if metric.is_psds]
    found = []
    for run in runs:
        try:
            reference = read_written_reference(reference_path(run.folder, split))
            scores = attach(read_scores(run.folder / "scores" / split), reference, allow_missing=False).scores
        except RecipeError:  # a run without its truth or its scores
            return {**{f"{key}_with_events": None for key in keys}, "clips_with_events": None}
        from recipe_mtlvae.scoring.toolkit_count import psds_with_events  # slow: sed_scores_eval

        found.append(psds_with_events(scores, reference, conf.postprocess.median_filter))
    means = {f"{key}_with_events": _rounded(_mean(one.psds[key] for one in found), 4) for key in keys}
    return {**means, "clips_with_events": found[0].clips}


def _author(author: dict[str, Any]) -> dict[str, Any]:
    """Return an author's entry, with `corresponding` only if true: the challenge's readers take any value for true."""
    return (
        author if author["corresponding"] else {k: v for k, v in author.items() if k not in ("corresponding", "email")}
    )


def _kwh(runs: Sequence[Run], phase: str) -> float | None:
    kwh = _mean(run.energy.get(phase, {}).get("kwh") for run in runs)
    return None if kwh is None else float(f"{kwh:.6g}")


def _measured_by(runs: Sequence[Run]) -> str | None:
    """Return how and on what each training was measured. Figures are comparable only if this is the same."""
    found = []
    for phase in (run.energy.get("training", {}) for run in runs):
        parts = [f"codecarbon {phase['codecarbon']}" if phase.get("codecarbon") else None]
        parts += [phase.get(key) for key in ("mode", "cpu_model", "gpu_model")]
        found.append(", ".join(str(part) for part in parts if part))
    return "; ".join(filter(None, dict.fromkeys(found))) or None


def _mean(values: Iterable[float | None]) -> float | None:
    """Return the mean; None if any of the values is None."""
    known = list(values)
    return None if None in known else float(np.mean(known))


def _percent(share: float | None) -> float | None:
    return None if share is None else _rounded(100 * share, 2)


def _rounded(value: float | None, digits: int) -> float | None:
    return None if value is None else round(float(value), digits)
