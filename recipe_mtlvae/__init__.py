"""Sound event detection with a multi-task recurrent variational autoencoder.

`from recipe_mtlvae import MTLVAE, CRNN, Detector` imports only what is asked for.
"""

from __future__ import annotations

import importlib
from typing import Any

_WHERE = {
    "MTLVAE": "recipe_mtlvae.nets.vae",
    "CRNN": "recipe_mtlvae.nets.crnn",
    "Detector": "recipe_mtlvae.inference.detector",
}
__all__ = ["CRNN", "MTLVAE", "Detector"]


def __getattr__(name: str) -> Any:
    if name not in _WHERE:
        raise AttributeError(f"module 'recipe_mtlvae' has no attribute '{name}'")
    return getattr(importlib.import_module(_WHERE[name]), name)
