"""The splits of a corpus as a configuration names them: what each is for, and what it may be called."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Literal

from pydantic import model_validator

from recipe_mtlvae.conf_files import shown
from recipe_mtlvae.conf_types import PathInRoot, section
from recipe_mtlvae.tasks import TASKS

LABELS = ("none", "weak", "strong")  # each holds what the one before it does
EVALUATION = "evaluation"  # the test split that data.evaluation makes
TRAINING = "training"  # stands beside the splits in energy.json


@section
class SplitConf:
    metadata: PathInRoot
    audio: PathInRoot
    labels: Literal["strong", "weak", "none"]
    role: Literal["train", "select", "test"]  # learned from; chooses epoch and thresholds; neither of both
    task: str | None  # that a train split trains

    @model_validator(mode="after")
    def _trains_a_task(self) -> SplitConf:
        if self.role != "train":
            return self
        if self.task not in TASKS:
            raise ValueError(
                f"task: expected one of {', '.join(TASKS)}, which the split trains, got {shown(self.task)}"
            )
        needed = TASKS[self.task].labels
        if LABELS.index(self.labels) < LABELS.index(needed):
            raise ValueError(f"labels: expected {needed}, which task {self.task} learns from, got {self.labels}")
        return self


def name_of_split(name: str) -> str:
    """The name, which is one of files and folders too. Raises ValueError for an unfit one."""
    if name in (EVALUATION, TRAINING) or not re.fullmatch(r"\w[\w.-]{0,99}", name):
        raise ValueError(
            f"expected a name of 1 to 100 letters, digits, '_', '-' and '.', other than {EVALUATION} and {TRAINING}"
        )
    return name


def complete_splits(content: dict[str, Any], known: Mapping[str, Any]) -> None:
    """Give every split of a nested configuration its role and task, in place; leave out those that `mini` leaves out.

    known: base.yaml's splits, whose names have their role and task by default.
    """
    data, mini = content.get("data"), content.get("mini")
    splits = data.get("splits") if isinstance(data, dict) else None
    if not isinstance(splits, dict):
        return  # refused with the other wrong types
    for name in [name for name in splits if isinstance(mini, dict) and mini.get(name) == 0]:
        del splits[name], mini[name]
    for name, split in splits.items():
        if isinstance(split, dict):
            for key in ("role", "task"):
                split.setdefault(key, known.get(name, {}).get(key))
            if split["role"] != "train":
                split["task"] = None
