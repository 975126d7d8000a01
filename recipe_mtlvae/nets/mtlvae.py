"""The configuration of the system mtlvae: the shared recurrent VAE of nets/vae.py, which itself needs none."""

from __future__ import annotations

import math
from itertools import pairwise
from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import Field

from recipe_mtlvae.conf_types import Bool, Float, Int, section

if TYPE_CHECKING:
    from recipe_mtlvae.conf import Conf
    from recipe_mtlvae.nets.vae import MTLVAE

MOST_WEIGHTS = 2**28


@section
class Section:
    """`vae` of the configuration."""

    hidden: Int = Field(ge=1, le=2**16)
    layers: Int = Field(ge=1, le=64)
    latent: Int = Field(ge=1, le=2**13)
    variational: Bool
    outputs_per_step: Int = Field(ge=1, le=64)
    front_end: Literal["stack", "separable", "plain"]
    front_end_widths: tuple[Annotated[Int, Field(ge=1, le=2**10)], ...] = Field(min_length=1, max_length=12)
    dropout: Float = Field(ge=0, lt=1)
    sees: tuple[Literal["log_mel", "embeddings"], ...] = Field(min_length=1)
    kld_warmup_steps: Int = Field(ge=0, le=10**9)
    shared_strong_head: Bool
    reconstructs: Literal["unlabeled", "all"]
    masked: Float = Field(ge=0, le=0.9)
    clip_gate: Bool


def check(conf: Conf) -> None:
    """Check that the settings fit together and the network is not too large. Raises ValueError naming the key."""
    vae, frames, blocks = conf.vae, conf.features.frames_per_step, len(conf.vae.front_end_widths)
    if vae.front_end != "stack" and (frames.bit_count() != 1 or frames > 2**blocks):
        what = f"expected a power of two up to {2**blocks} for {blocks} vae.front_end_widths"
        raise ValueError(f"features.frames_per_step: {what}, got {frames}")
    if vae.outputs_per_step != 1 and (vae.front_end != "stack" or "embeddings" in vae.sees):
        raise ValueError(
            f"vae.outputs_per_step: expected 1 with convolutions or embeddings, got {vae.outputs_per_step}"
        )
    if vae.masked and "embeddings" in vae.sees:
        raise ValueError(f"vae.masked: expected 0 where the encoder sees embeddings, got {vae.masked:g}")
    if "log_mel" not in vae.sees:
        conf.augment.require_no_bands("the encoder sees embeddings alone")
    if vae.clip_gate and "weak" not in conf.tasks:
        raise ValueError("vae.clip_gate: expected false without the task weak, which learns clip probabilities")
    if conf.loss.consistency and not (conf.train.weight_average and {"weak", "reconstruction"} & {*conf.tasks}):
        what = "expected 0 without train.weight_average above 0 and the task weak or reconstruction, its clips"
        raise ValueError(f"loss.consistency: {what}, got {conf.loss.consistency:g}")
    width = conf.features.n_mels * frames * vae.outputs_per_step
    gru = 6 * vae.hidden * (width + 3 * vae.hidden * vae.layers)  # both directions; the decoder has a GRU, too
    weights = 2 * gru + 10 * vae.hidden * vae.latent + 9 * sum(map(math.prod, pairwise(vae.front_end_widths)))
    if weights > MOST_WEIGHTS:
        what = f"expected a network of at most {MOST_WEIGHTS:,} weights"
        raise ValueError(f"vae.hidden: {what}, got about {weights:,} with layers, latent and features as they are")


def inputs(conf: Conf) -> tuple[str, ...]:
    """Return the network's inputs, names of inputs/registry.py."""
    return ("log_mel", "embeddings") if "embeddings" in conf.vae.sees else ("log_mel",)


def build(conf: Conf, classes: int) -> MTLVAE:
    """Return the network with random weights, for `classes` event classes."""
    from recipe_mtlvae.nets.vae import MTLVAE

    return MTLVAE(
        classes=classes,
        mels=conf.features.n_mels,
        frames_per_step=conf.features.frames_per_step,
        outputs_per_step=conf.vae.outputs_per_step,
        hidden=conf.vae.hidden,
        layers=conf.vae.layers,
        latent=conf.vae.latent,
        variational=conf.vae.variational,
        front_end=conf.vae.front_end,
        front_end_widths=conf.vae.front_end_widths,
        dropout=conf.vae.dropout,
        shared_strong_head=conf.vae.shared_strong_head,
        sees=conf.vae.sees,
        embedding_width=conf.encoder.width,
        clip_gate=conf.vae.clip_gate,
        tasks=conf.tasks,
    )
