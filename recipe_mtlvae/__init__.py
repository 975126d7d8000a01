"""Sound event detection with a multi-task recurrent variational autoencoder.

MTLVAE, CRNN and Detector are imported lazily: `from recipe_mtlvae import CRNN` loads only the module of CRNN.
"""

from __future__ import annotations

import sys

if sys.argv[:1] == ["-m"]:  # Python is still locating the main module, for example of `python -m local.train`
    import os

    # Python would search the caller's folder first for every other module, and import a numpy.py that lies there
    if not sys.flags.safe_path and os.path.realpath(sys.path[0]) != os.path.dirname(os.path.dirname(__file__)):
        del sys.path[0]
        os.environ["PYTHONSAFEPATH"] = "1"  # inherited by child processes

    from recipe_mtlvae import interrupts

    interrupts.at_start()

import importlib
from typing import Any

_MODULES = {
    "MTLVAE": "recipe_mtlvae.nets.vae",
    "CRNN": "recipe_mtlvae.nets.crnn",
    "Detector": "recipe_mtlvae.inference.detector",
}
__all__ = ["CRNN", "MTLVAE", "Detector"]


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module 'recipe_mtlvae' has no attribute '{name}'")
    return getattr(importlib.import_module(_MODULES[name]), name)
