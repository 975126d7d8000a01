"""The encoder `toolkit`: embeddings computed by the toolkit's extract_embeddings.py, read from its HDF5 files."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from recipe_mtlvae.errors import Fault, fail
from recipe_mtlvae.files import content_hash, file_stamp
from recipe_mtlvae.inputs.encoders.encoder import Encoder, Layer
from recipe_mtlvae.labels import samples_of

if TYPE_CHECKING:
    import h5py
    from torch import nn

# The toolkit's file names for DESED's splits; the file of any other split has the name of the split
FILES = {
    "synthetic_train": ("synth_train",),
    "strong_real": ("strong_train",),
    "weak": ("weak_train", "weak_val"),
    "unlabeled": ("unlabeled_train",),
    "synthetic_validation": ("synth_val",),
    "validation": ("devtest",),
}
SUFFIXES = (".hdf5", ".h5")
# BEATs: 62 steps of 160 ms, each stored as 8 consecutive patches over frequency. A step sees 16 frames of 25 ms, one
# every 10 ms
BEATS_TOKENS, BEATS_PATCHES, BEATS_STEP, BEATS_CENTRE = 496, 8, 0.16, 0.0875
SHOWN = 3  # clips that an error names


class ToolkitFiles(Encoder):
    """The folder encoder.weights of the toolkit's files, in the layout of 2022 or the one used since 2023."""

    from_audio = portable = False
    reach, piece = 0, 1 << 19

    @functools.cached_property
    def tokens(self) -> int:
        """Frames per clip, as stored in the files."""
        return self._files()[0].tokens

    @functools.cached_property
    def frames(self) -> int:
        return self.tokens // BEATS_PATCHES if self.tokens == BEATS_TOKENS else self.tokens

    @property
    def layers(self) -> tuple[Layer, ...]:
        seconds = self.conf.data.clip_seconds / self.frames  # frames of other encoders: evenly over the clip
        centre, step = (BEATS_CENTRE, BEATS_STEP) if self.tokens == BEATS_TOKENS else (seconds / 2, seconds)
        return (Layer(self.conf.encoder.width, 1, centre, step),)

    @property
    def row(self) -> int:
        return samples_of(self.conf.data.clip_seconds, self.conf.features.sample_rate) // self.frames

    @property
    def key(self) -> str:
        stamps = [(file.path.name, *file_stamp(file.path)) for file in self._files()]
        return content_hash("toolkit", sorted(stamps), self.conf.encoder.width, self.conf.data.clip_seconds)

    def check(self) -> None:
        for file in self._files():
            if file.width != self.conf.encoder.width:
                raise fail(f"encoder.width: expected {self.conf.encoder.width}, got {file.width}", path=file.path)
            if file.tokens != self.tokens:
                what = f"expected {self.tokens} frames a clip, as in the other files, got {file.tokens}"
                raise fail(what, path=file.path)

    def transform(self, real: bool = False) -> nn.Module:
        what = "the network was trained on embeddings out of the toolkit's files: new recordings need their encoder"
        raise fail(what, "train with encoder.name yamnet or onnx to detect in them")

    def lacking(self, split: str, names: Sequence[str]) -> list[Fault]:
        files = self._of(split)
        missing = [name for name in names if not any(_stem(name) in file.row_of for file in files)]
        if not missing:
            return []
        known = {_stem(name) for name in names}
        others = [stem for file in files for stem in file.row_of if stem not in known]
        what = f"lacks {len(missing)} of the {len(names)} clips of split '{split}': {_listed(missing)}"
        what += f"; it has {len(others)} others: {_listed(others)}" if others else ""
        return [Fault(what, "extract embeddings of these clips, of at most 10 s", files[-1].path)]

    def rows(self, split: str, names: Sequence[str]) -> np.ndarray:
        files = self._of(split)
        clips = []
        for name in names:
            file = next(file for file in files if _stem(name) in file.row_of)
            clips.append(self._frames(file.read(file.row_of[_stem(name)])))
        return np.stack(clips)

    def _frames(self, values: np.ndarray) -> np.ndarray:
        """(width, tokens) -> (width, frames): average the patches of each step of BEATs over frequency."""
        if self.tokens == BEATS_TOKENS:
            return values.reshape(len(values), -1, BEATS_PATCHES).mean(axis=2)
        return values

    def _files(self) -> list[HDF5File]:
        """Return the files of all splits."""
        return [file for name in self.conf.data.splits for file in self._of(name)]

    def _of(self, split: str) -> list[HDF5File]:
        """Return the files of a split. Raises RecipeError if there are none, or if one is of another kind."""
        names = FILES.get(split, (split,))
        paths = [self.file / f"{name}{suffix}" for name in names for suffix in SUFFIXES]
        there = [path for path in paths if path.is_file()]
        if not there:
            raise fail(f"no file of the toolkit's embeddings of split '{split}'", "put it there", paths[0])
        return [_open(path) for path in there]


class HDF5File:
    """One of the toolkit's files, open for reading."""

    def __init__(self, path: Path, file: h5py.File) -> None:
        self.path = path
        self.values = file["frame_embeddings"]  # (clips, width, tokens); 2022: (clips, width) of arrays (tokens,)
        self.ragged = self.values.ndim == 2
        if self.ragged:
            attributes = file.attrs if len(file.attrs) else self.values.attrs
            self.row_of = {_stem(name): int(row) for name, row in attributes.items()}
        else:
            names = [name.decode() if isinstance(name, bytes) else str(name) for name in file["filenames"][()]]
            self.row_of = {_stem(name): row for row, name in enumerate(names)}
        self.width = self.values.shape[1]
        self.tokens = len(self.values[0, 0]) if self.ragged else self.values.shape[2]
        if not self.tokens:
            raise ValueError("no frames")

    def read(self, row: int) -> np.ndarray:
        """Return a clip's values (width, tokens) float32.

        In the layout of 2022, a longer clip is cut, and the last frame of a shorter clip is repeated.
        """
        if not self.ragged:
            return self.values[row].astype(np.float32)
        values = np.stack([channel[: self.tokens] for channel in self.values[row]]).astype(np.float32)
        return np.pad(values, ((0, 0), (0, self.tokens - values.shape[1])), mode="edge")


@functools.cache
def _open(path: Path) -> HDF5File:
    """Open a file, once per process."""
    try:
        import h5py
    except ImportError:
        raise fail("the toolkit's embeddings need the package h5py", "pip install h5py", path) from None
    try:
        return HDF5File(path, h5py.File(path, "r"))
    except (OSError, KeyError, IndexError, TypeError, ValueError, AttributeError):
        hint = "expected what the toolkit's extract_embeddings.py writes"
        raise fail("not the toolkit's embeddings, or a damaged file", hint, path) from None


def _stem(name: Any) -> str:
    return str(name).removesuffix(".wav")


def _listed(names: Sequence[str]) -> str:
    return ", ".join(names[:SHOWN]) + (" ..." if len(names) > SHOWN else "")
