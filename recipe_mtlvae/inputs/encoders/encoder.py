"""The base class of the encoders that the input `embeddings` uses, and the list of all encoders.

To add one, write a subclass of Encoder in a new file, list it in ENCODERS, and add its name to the configuration's
schema.
"""

from __future__ import annotations

import functools
import hashlib
import importlib
import re
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from recipe_mtlvae.conf import Conf
from recipe_mtlvae.errors import Fault, fail

if TYPE_CHECKING:  # torch is slow to import
    import numpy as np
    from torch import nn

# By name: module, class
ENCODERS = {
    "yamnet": ("recipe_mtlvae.inputs.encoders.yamnet_rows", "YAMNetEncoder"),
    "onnx": ("recipe_mtlvae.inputs.encoders.onnx_file", "OnnxEncoder"),
    "toolkit": ("recipe_mtlvae.inputs.encoders.toolkit_files", "ToolkitFiles"),
}
# In an ONNX file, the name of a file of tensors: protobuf's fields `key` and `value`, each with its length in a byte
_LOCATION = re.compile(rb"\x0a\x08location\x12(?=([\x01-\x7f])(.{1,127}))", re.DOTALL)


class Layer(NamedTuple):
    """The part of a stored row that holds one layer."""

    channels: int
    repeats: int  # steps of the layer per row
    centre: float  # s from the start of a recording to the centre of the first step's receptive field
    step: float  # s from one step of the layer to the next


class Encoder(ABC):
    """A configuration's encoder. Its values are stored in rows; each row holds one or more steps of every layer."""

    layers: tuple[Layer, ...]
    row: int  # samples from one row to the next
    reach: int  # a row depends on samples up to this many rows before and after
    piece: int  # samples of a long recording computed at a time
    from_audio = True  # False: read from files, by the names of a prepared split's clips
    portable = True  # whether an exported file can contain the encoder

    def __init__(self, conf: Conf, saved: Mapping[str, Any] | None = None) -> None:
        self.conf = conf
        self.saved = saved  # `state`, as a checkpoint has saved it; None: there is no checkpoint

    @property
    @abstractmethod
    def key(self) -> str:
        """Hash of everything that the values depend on."""

    @property
    def state(self) -> dict[str, Any]:
        """What a checkpoint saves of the encoder, so that it can detect."""
        return {}

    @abstractmethod
    def check(self) -> None:
        """Raise RecipeError if the encoder's files are missing, damaged or of another kind."""

    @abstractmethod
    def transform(self, real: bool = False) -> nn.Module:
        """See Input.transform."""

    def lacking(self, split: str, names: Sequence[str]) -> list[Fault]:
        """See Input.lacking."""
        return []

    def rows(self, split: str, names: Sequence[str]) -> np.ndarray:
        """Return the values (clips, width, rows) of some clips of a split; only if not from_audio."""
        raise NotImplementedError

    @property
    def file(self) -> Path:
        if self.conf.encoder.weights is None:
            what = "embeddings need the encoder's weights"
            raise fail(what, "stage 0 fetches them; or give the official yamnet.h5 as encoder.weights=FILE")
        return Path(self.conf.encoder.weights)


def encoder_of(conf: Conf, saved: Mapping[str, Any] | None = None) -> Encoder:
    """Return the encoder of a configuration. saved: its state in a checkpoint, if there is one."""
    module, kind = ENCODERS[conf.encoder.name]
    return getattr(importlib.import_module(module), kind)(conf, saved)


@functools.cache
def file_hash(file: Path) -> str:
    """Return the SHA-256 of a file of weights and of the files in which ONNX stores its large tensors, if any."""
    try:
        content = file.read_bytes()
        found = hashlib.sha256(content)
        names = {
            match[2][: match[1][0]].decode(errors="surrogateescape"): None for match in _LOCATION.finditer(content)
        }
        for path in (file.parent / name for name in names):
            if path.is_file():
                found.update(path.read_bytes())
    except OSError as error:
        hint = "give the encoder's file in encoder.weights"
        raise fail(f"the encoder's weights cannot be read ({error.strerror})", hint, file) from None
    return found.hexdigest()
