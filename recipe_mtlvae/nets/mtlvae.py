"""The system mtlvae by its configuration: the shared recurrent VAE of nets/vae.py, which needs no configuration."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import Field

from recipe_mtlvae.conf_types import Bool, Float, Int, section

if TYPE_CHECKING:
    from recipe_mtlvae.conf import Conf
    from recipe_mtlvae.nets.vae import MTLVAE


@section
class Section:
    """`vae` of the configuration."""

    hidden: Int = Field(ge=1, le=2**16)
    layers: Int = Field(ge=1, le=64)
    latent: Int = Field(ge=1, le=2**16)
    variational: Bool
    outputs_per_step: Int = Field(ge=1, le=64)
    front_end: Literal["stack", "separable", "plain"]
    front_end_widths: tuple[Annotated[Int, Field(ge=1, le=2**12)], ...] = Field(min_length=1, max_length=12)
    dropout: Float = Field(ge=0, lt=1)
    kld_warmup_steps: Int = Field(ge=0, le=10**9)


def inputs(conf: Conf) -> tuple[str, ...]:
    """What the network takes, of inputs/registry.py."""
    return ("log_mel",)


def build(conf: Conf, classes: int) -> MTLVAE:
    """A network of random weights for so many event classes."""
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
        tasks=conf.tasks,
    )
