"""The systems that the recipe trains: everything that lists systems reads this table.

To add one: its line here, `nets/<name>.py` (builds its network), `local/<name>.py` (trains it), and its section in
conf/base.yaml. Only strings stand here, so that a configuration is read without torch.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class System:
    """One system: `name`, its key in SYSTEMS, is the configuration's `system` and names its two modules."""

    section: str  # of the configuration: its own settings
    networks: tuple[str, ...]  # their names in its checkpoints; the first is its own, which selects the epoch
    training: str  # LightningModule in local/<name>.py
    tasks: tuple[str, ...] = ()  # those that it cannot train without
    baseline: str = "mean_teacher"  # what --baseline trains beside it: conf/<baseline>.yaml, a system of that name


SYSTEMS = {
    "mtlvae": System("vae", ("net",), "MTLVAETraining"),
    "mean_teacher": System("mean_teacher", ("net", "teacher"), "MeanTeacherTraining", tasks=("weak", "reconstruction")),
}


def baselines() -> set[str]:
    """Names of the systems that others are held against."""
    return {system.baseline for system in SYSTEMS.values()}
