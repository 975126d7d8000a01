"""The system linear: one linear layer on a pretrained encoder's embeddings, what one would try first with them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from recipe_mtlvae.conf_types import section
from recipe_mtlvae.tasks import TASKS

if TYPE_CHECKING:
    from torch import nn

    from recipe_mtlvae.conf import Conf


@section
class Section:
    """`linear` of the configuration: there is nothing to set."""


def check(conf: Conf) -> None:
    """Raises ValueError where a task has no labels to learn from, or an augmentation changes what is not seen."""
    if unlabelled := [task for task in conf.tasks if TASKS[task].labels == "none"]:
        raise ValueError(f"tasks: a linear layer learns from labels alone, got {', '.join(unlabelled)}")
    conf.augment.require_no_bands("a linear layer sees embeddings alone")


def inputs(conf: Conf) -> tuple[str, ...]:
    """What the network takes, of inputs/registry.py; pages show the log-mel, which the network leaves aside."""
    return ("log_mel", "embeddings")


def build(conf: Conf, classes: int) -> nn.Module:
    """A network of random weights for so many event classes."""
    from recipe_mtlvae.nets.linear_layer import LinearLayer

    return LinearLayer(conf.encoder.width, classes)
