"""The systems that the recipe trains. All code that lists systems reads this table.

To add a system: its entry here; `nets/<name>.py` with the types of its section (Section), the inputs of its network
(inputs) and a function that builds it (build); `local/training/<name>.py` with its training; and its section in
conf/base.yaml. This table holds only strings, and those modules in nets/ import torch within functions, so that a
configuration can be read without torch.
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
    method: str  # machine_learning_method, in the challenge's words
    semi_supervised: Mapping[str, str]  # its use of unlabeled clips, in these words, by the weight of the loss
    section: str  # of the configuration, with its own settings
    networks: tuple[str, ...]  # their names in its checkpoints; the first one selects the epoch
    training: str  # LightningModule in local/training/<name>.py
    tasks: tuple[str, ...] = ()  # tasks without which it cannot be trained
    post_processing: Mapping[str, str] = field(default_factory=dict)  # of its scores, by the key that switches it on
    baseline: str = "mean_teacher"  # the system that --baseline trains beside it, by conf/<baseline>.yaml


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
    """Return the module `nets/<name>.py` of a system in the table."""
    return importlib.import_module(f"recipe_mtlvae.nets.{name}")


def baselines() -> set[str]:
    """Return the names of the systems with which others are compared."""
    return {system.baseline for system in SYSTEMS.values()}
