"""How a system was trained and how it decides, in the words of a meta file, from its configuration."""

from __future__ import annotations

from pathlib import Path
from typing import get_type_hints

from recipe_mtlvae.conf import Conf
from recipe_mtlvae.conf_sections import AugmentConf
from recipe_mtlvae.conf_types import Probability
from recipe_mtlvae.labels import Grid
from recipe_mtlvae.submission.profile import Profile
from recipe_mtlvae.systems import SYSTEMS, system_module


def data_augmentation(conf: Conf) -> str | None:
    """The augmentations of training clips that are switched on."""
    kinds = get_type_hints(AugmentConf, include_extras=True)
    names = [name for name, kind in kinds.items() if kind == Probability and getattr(conf.augment, name) > 0]
    return ", ".join(name.replace("_", " ") for name in names) or None


def embeddings(conf: Conf) -> str | None:
    """The pretrained encoder whose embeddings the network takes."""
    return conf.encoder.name if "embeddings" in system_module(conf.system).inputs(conf) else None


def training_data(conf: Conf, profile: Profile) -> list[str]:
    """The profile's names of the sets that the active tasks are trained on."""
    return [text for task, text in profile.training_data.items() if task in conf.tasks]


def external_data(conf: Conf, profile: Profile) -> list[str] | None:
    """Those that are not the challenge's own, recordings from which soundscapes were made, and pretrained weights."""
    found = [text for task, text in profile.external_data.items() if task in conf.tasks]
    if conf.data.soundbank is not None:
        found.append(f"recordings of {Path(conf.data.soundbank).name}")
    if encoder := embeddings(conf):
        found.append(f"pretrained weights of {encoder}")
    return found or None


def semi_supervised(conf: Conf) -> str | None:
    """The system's way, where unlabeled clips are used at all."""
    return SYSTEMS[conf.system].semi_supervised if "reconstruction" in conf.tasks else None


def post_processing(conf: Conf) -> str | None:
    """None for a median filter of one step, which changes nothing."""
    steps = conf.postprocess.median_filter
    if steps == 1:
        return None
    return f"median filtering ({short(steps * Grid.of(conf.features, conf.data.clip_seconds).step_seconds * 1000)} ms)"


def short(value: float) -> int | float:
    """16 rather than 16.0; three decimals at most."""
    value = round(value, 3)
    return int(value) if value == int(value) else value
