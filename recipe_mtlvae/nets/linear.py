"""The configuration of the system linear: one linear layer on a pretrained encoder's embeddings, the simplest use."""

from __future__ import annotations

from typing import TYPE_CHECKING

from recipe_mtlvae.conf_types import section
from recipe_mtlvae.tasks import TASKS

if TYPE_CHECKING:
    from torch import nn

    from recipe_mtlvae.conf import Conf


@section
class Section:
    """`linear` of the configuration; it has no settings."""


def check(conf: Conf) -> None:
    """Check the settings. Raises ValueError for a task without labels, and for augmentations of the log-mel alone."""
    if unlabelled := [task for task in conf.tasks if TASKS[task].labels == "none"]:
        raise ValueError(f"tasks: a linear layer learns from labels alone, got {', '.join(unlabelled)}")
    conf.augment.require_no_bands("a linear layer sees embeddings alone")


def inputs(conf: Conf) -> tuple[str, ...]:
    """Return the network's inputs, names of inputs/registry.py. It ignores the log-mel, which is for pages alone."""
    return ("log_mel", "embeddings")


def build(conf: Conf, classes: int) -> nn.Module:
    """Return the network with random weights, for `classes` event classes."""
    from recipe_mtlvae.nets.linear_layer import LinearLayer

    return LinearLayer(conf.encoder.width, classes)
