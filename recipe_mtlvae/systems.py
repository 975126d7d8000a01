"""The systems that the recipe trains: everything that lists systems reads this table.

To add one: its line here, `nets/<name>.py` with the types of its section (Section), what its network takes (inputs) and
what builds it (build), `local/training/<name>.py` with its training, and its section in conf/base.yaml. Only strings
stand here, and those modules in nets/ import torch within functions, so that a configuration is read without it.
"""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import ModuleType


@dataclass(frozen=True)
class System:
    """One system; its key in SYSTEMS is the configuration's `system` and names its two modules."""

    title: str
    abbreviation: str  # at most 10 characters, as the challenge asks
    method: str  # these two in a challenge's words: machine_learning_method,
    semi_supervised: Mapping[str, str]  # and what it does with unlabeled clips, by the weight of its loss
    section: str  # of the configuration: its own settings
    networks: tuple[str, ...]  # their names in its checkpoints; the first is its own, which selects the epoch
    training: str  # LightningModule in local/training/<name>.py
    tasks: tuple[str, ...] = ()  # those that it cannot train without
    post_processing: Mapping[str, str] = field(default_factory=dict)  # of its scores, by the key that switches it on
    baseline: str = "mean_teacher"  # what --baseline trains beside it: conf/<baseline>.yaml, a system of that name


SYSTEMS = {
    "mtlvae": System(
        title="Multi-task recurrent variational autoencoder",
        abbreviation="MTL-VAE",
        method="recurrent VAE",
        semi_supervised={
            "loss.reconstruction": "reconstruction of unlabeled clips",
            "loss.consistency": "mean-teacher student",
        },
        section="vae",
        networks=("net",),
        training="MTLVAETraining",
        post_processing={"vae.clip_gate": "multiplication by clip probabilities"},
    ),
    "mean_teacher": System(
        title="Mean-teacher CRNN",
        abbreviation="MT-CRNN",
        method="CRNN",
        semi_supervised={"mean_teacher.consistency": "mean-teacher student"},
        section="mean_teacher",
        networks=("net", "teacher"),
        training="MeanTeacherTraining",
        tasks=("weak", "reconstruction"),
    ),
    "linear": System(
        title="Linear layer on embeddings",
        abbreviation="Linear",
        method="linear layer",
        semi_supervised={},
        section="linear",
        networks=("net",),
        training="LinearTraining",
    ),
}


def system_module(name: str) -> ModuleType:
    """`nets/<name>.py` of a registered system."""
    return importlib.import_module(f"recipe_mtlvae.nets.{name}")


def baselines() -> set[str]:
    """Names of the systems that others are held against."""
    return {system.baseline for system in SYSTEMS.values()}
