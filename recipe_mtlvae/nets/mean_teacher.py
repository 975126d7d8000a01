"""The system mean_teacher by its configuration: the baseline's CRNN of nets/crnn.py, as it is."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from recipe_mtlvae.conf import Conf
    from recipe_mtlvae.nets.crnn import CRNN


def build(conf: Conf, classes: int) -> CRNN:
    """A network of random weights for so many event classes."""
    from recipe_mtlvae.nets.crnn import CRNN

    return CRNN(classes=classes)
