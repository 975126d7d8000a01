"""The system mtlvae by its configuration: the shared recurrent VAE of nets/vae.py, which needs no configuration."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pydantic import Field

from recipe_mtlvae.conf_types import Bool, Int, section

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
        tasks=conf.tasks,
    )
