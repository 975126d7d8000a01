"""The configuration of the system mean_teacher: the baseline's CRNN of nets/crnn.py."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pydantic import Field

from recipe_mtlvae.conf_types import MANY, Bool, Float, Int, section

if TYPE_CHECKING:
    from recipe_mtlvae.conf import Conf
    from recipe_mtlvae.nets.crnn import CRNN


@section
class Section:
    """`mean_teacher` of the configuration."""

    strong_clips: Int = Field(ge=1, le=2**16)
    weak_clips: Int = Field(ge=1, le=2**16)
    unlabeled_clips: Int = Field(ge=1, le=2**16)
    consistency: Float = Field(ge=0, le=1e6)
    warmup_epochs: Int = Field(ge=0, le=MANY)
    ema: Float = Field(ge=0, le=1)
    embeddings: Bool


def check(conf: Conf) -> None:
    """Check that the features are those of the baseline's CRNN. Raises ValueError naming the key."""
    for key, only in (("n_mels", 128), ("frames_per_step", 4)):
        if (value := getattr(conf.features, key)) != only:
            raise ValueError(f"features.{key}: expected {only}, all that the baseline's CRNN takes, got {value}")


def inputs(conf: Conf) -> tuple[str, ...]:
    """Return the network's inputs, names of inputs/registry.py."""
    return ("log_mel", "embeddings") if conf.mean_teacher.embeddings else ("log_mel",)


def build(conf: Conf, classes: int) -> CRNN:
    """Return the network with random weights, for `classes` event classes."""
    from recipe_mtlvae.nets.crnn import CRNN

    return CRNN(classes=classes, embedding_width=conf.encoder.width if conf.mean_teacher.embeddings else None)
