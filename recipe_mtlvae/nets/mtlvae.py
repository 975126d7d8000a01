"""The system mtlvae by its configuration: the shared recurrent VAE of nets/vae.py, which needs no configuration."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from recipe_mtlvae.conf import Conf
    from recipe_mtlvae.nets.vae import MTLVAE


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
