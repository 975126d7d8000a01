"""What the input `embeddings` asks of an encoder, and the encoders there are.

To add one: a file with its subclass of Encoder, its line in ENCODERS, its name in the configuration's schema.
"""

from __future__ import annotations

import functools
import hashlib
import importlib
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


class Layer(NamedTuple):
    """One layer's part of a row of stored values."""

    channels: int
    repeats: int  # its steps to a row
    centre: float  # s from the start of a recording to the middle of what its first step sees
    step: float  # s


class Encoder(ABC):
    """An encoder of a configuration; its values come in rows, each of some steps of every layer."""

    layers: tuple[Layer, ...]
    row: int  # samples
    reach: int  # rows to either side whose samples a row depends on
    piece: int  # samples of a long recording at a time
    from_audio = True  # False: only read from files, by the names of a prepared split's clips
    portable = True  # whether an exported file can hold it

    def __init__(self, conf: Conf, carried: Mapping[str, Any] | None = None) -> None:
        self.conf = conf
        self.carried = carried  # what a checkpoint keeps of it; None: no checkpoint

    @property
    @abstractmethod
    def key(self) -> str:
        """Hash of all that its values depend on."""

    @property
    def kept(self) -> dict[str, Any]:
        """What a checkpoint keeps of it, to detect with it again."""
        return {}

    @abstractmethod
    def check(self) -> None:
        """Raises RecipeError where its files are missing, damaged or of another kind."""

    @abstractmethod
    def transform(self, real: bool = False) -> nn.Module:
        """As Input.transform."""

    def lacking(self, split: str, names: Sequence[str]) -> list[Fault]:
        """Where its files lack clips of a split."""
        return []

    def rows(self, split: str, names: Sequence[str]) -> np.ndarray:
        """(clips, width, rows) of a split's clips, where it is not from_audio."""
        raise NotImplementedError

    @property
    def file(self) -> Path:
        if self.conf.encoder.weights is None:
            what = "embeddings need the encoder's weights"
            raise fail(what, "stage 0 fetches them; or give the official yamnet.h5 as encoder.weights=FILE")
        return Path(self.conf.encoder.weights)


def encoder_of(conf: Conf, carried: Mapping[str, Any] | None = None) -> Encoder:
    """That of a configuration."""
    module, kind = ENCODERS[conf.encoder.name]
    return getattr(importlib.import_module(module), kind)(conf, carried)


@functools.cache
def file_hash(file: Path) -> str:
    """Of a file of weights, and of the one beside it in which ONNX keeps large tensors."""
    try:
        parts = [path.read_bytes() for path in (file, file.with_suffix(".data")) if path == file or path.exists()]
    except OSError as error:
        hint = "give the encoder's file in encoder.weights"
        raise fail(f"the encoder's weights cannot be read ({error.strerror})", hint, file) from None
    return hashlib.sha256(b"".join(parts)).hexdigest()
