"""Sound event detection with a multi-task recurrent variational autoencoder.

`from recipe_mtlvae import MTLVAE, CRNN, Detector` imports only what is asked for.
"""

from __future__ import annotations

import sys

if sys.argv[:1] == ["-m"]:  # Python looks for the main module, as of `python -m recipe_mtlvae` or `-m local.train`
    import os

    # It would look for every other module in the caller's folder first, and run a numpy.py that lies there
    if not sys.flags.safe_path and os.path.realpath(sys.path[0]) != os.path.dirname(os.path.dirname(__file__)):
        del sys.path[0]
        os.environ["PYTHONSAFEPATH"] = "1"  # for the processes that this one starts

    from recipe_mtlvae import interrupts

    interrupts.at_start()

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
