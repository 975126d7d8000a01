"""Read recordings of any length block by block: the samples that `read_audio` returns, in constant memory."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import numpy as np

from recipe_mtlvae.audio.decoding import opened, read_mono
from recipe_mtlvae.audio.resampling import resample
from recipe_mtlvae.errors import Fault

if TYPE_CHECKING:
    from recipe_mtlvae.audio.recording import Recording

BLOCK = 30.0  # s decoded at a time
_REACH = 0.1  # s of sound on either side that the resampling filter uses at the lowest of RATES, rounded up
T = TypeVar("T")  # np.ndarray or torch.Tensor


@dataclass(frozen=True)
class Stream:
    """A recording that is read while it is used."""

    blocks: Iterator[np.ndarray]  # (n,) float32 each, mono; joined, they equal what `read_audio` returns
    source: Recording | Samples

    @property
    def duration(self) -> float:
        """Duration of the whole recording in seconds. It shrinks when an end that cannot be decoded is reached."""
        return self.source.duration

    @property
    def damage(self) -> Fault | None:
        """What is wrong with the recording, as far as it has been read."""
        return self.source.damage


@dataclass(frozen=True)
class Samples:
    """The source of a stream of samples in memory."""

    duration: float  # s
    damage: None = None


@contextlib.contextmanager
def open_stream(
    path: Path, sample_rate: int, block_seconds: float = BLOCK, first: float = 0.0, seconds: float = math.inf
) -> Iterator[Stream]:
    """Open `seconds` of a recording from second `first` on, as a stream at `sample_rate`.

    A recording shorter than a block is a single block, equal to `read_audio` to the last bit. Raises RecipeError as
    `read_audio` does; invalid samples raise it when their block is read.
    """
    with opened(path) as recording:
        rate = recording.samplerate
        start = min(round(first * rate), recording.frames)
        recording.seek(start)
        raw = _blocks(recording, round(min(seconds * rate, recording.frames - start)), round(block_seconds * rate))
        yield Stream(resampled(raw, rate, sample_rate), recording)


def array_stream(samples: np.ndarray, rate: int, sample_rate: int, block_seconds: float = BLOCK) -> Stream:
    """Return mono samples (n,) float32 in memory as a stream at `sample_rate`."""
    block = round(block_seconds * rate)
    raw = (samples[first : first + block] for first in range(0, len(samples), block))
    return Stream(resampled(raw, rate, sample_rate), Samples(len(samples) / rate))


def resampled(blocks: Iterable[np.ndarray], rate: int, sample_rate: int) -> Iterator[np.ndarray]:
    """Resample blocks. Joined, the result equals `resample` of the joined blocks."""
    if rate == sample_rate:
        return iter(blocks)
    divisor = math.gcd(rate, sample_rate)
    down, up = rate // divisor, sample_rate // divisor  # these numbers of samples have the same duration
    reach = math.ceil(_REACH * rate / down)
    return overlapped(blocks, lambda samples: resample(samples, rate, sample_rate), down, up, reach)


def overlapped(
    blocks: Iterable[np.ndarray], apply: Callable[[np.ndarray], T], unit: int, given: int, reach: int
) -> Iterator[T]:
    """Apply a function to samples that come in blocks. Joined, the results equal `apply` of the joined blocks.

    apply: returns, along its last axis, `given` values for every `unit` samples, which depend on samples up to `reach`
    units before and after. So it gets each block with `reach` units of the blocks around it; their values are cut off.
    """
    blocks = iter(blocks)
    held = next(blocks, None)
    if held is None:
        return
    before = 0  # units at the start of `held` whose values were yielded already
    for block in blocks:
        held = np.concatenate([held, block])
        ready = len(held) // unit - reach
        if ready > before:
            yield apply(held)[..., before * given : ready * given]
            before = min(ready, reach)
            held = held[(ready - before) * unit :]
    yield apply(held)[..., before * given :]


def _blocks(recording: Recording, count: int, block: int) -> Iterator[np.ndarray]:
    """Yield the next `count` samples, `block` at a time."""
    while count > 0 and len(samples := read_mono(recording, min(block, count))):
        count -= len(samples)
        yield samples
