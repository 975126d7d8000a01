"""Cutting a recording of any length into windows of the training length, and joining their scores."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from recipe_mtlvae.audio.streaming import overlapped
from recipe_mtlvae.inputs.registry import Input
from recipe_mtlvae.inputs.transforms import Transforms

TAIL = 0.01  # of a window: a recording this much longer than the training length is still one window


@dataclass(frozen=True)
class Window:
    """A stretch of a recording, as long as a training clip."""

    first_step: int  # the output step of the recording at which it begins
    values: dict[str, Tensor]  # by input: (width, steps) on the grid, unscaled


def cut_windows(
    blocks: Iterable[np.ndarray], transforms: Transforms, steps: int, device: torch.device | str = "cpu"
) -> Iterator[Window]:
    """Yield windows of `steps` output steps that overlap by half, from blocks of samples, (n,) float32 each.

    A recording up to the training length is padded with zeros, as in training. A longer one is cut without padding,
    because zeros would change a window's scaling: windows are stretches of its inputs' values, and the last one ends
    with the recording.
    """
    inputs, blocks = transforms.inputs, iter(blocks)
    length = next(iter(inputs.values())).clip_samples
    head = _head(blocks, int(length * (1 + TAIL)))
    if len(head) <= int(length * (1 + TAIL)):
        samples = np.pad(head[:length], (0, max(length - len(head), 0)))
        compute = {name: _computing(transform, device) for name, transform in transforms.by_name.items()}
        values = {name: compute[name](samples)[None] for name in inputs}
        yield Window(0, {name: source.on_grid(values[name], steps)[0] for name, source in inputs.items()})
        return
    copies = itertools.tee(itertools.chain([head], blocks), len(inputs))
    pieces = {
        name: value_pieces(own, inputs[name], transforms.by_name[name], device)
        for name, own in zip(inputs, copies, strict=True)
    }
    tracks = {name: _Track(inputs[name], steps, pieces[name]) for name in inputs}
    latest = first = 0
    while all(track.holds(first) for track in tracks.values()):
        yield Window(first, {name: track.window(first) for name, track in tracks.items()})
        latest, first = first, first + max(1, steps // 2)
    if (last := min(track.last_window for track in tracks.values())) > latest:
        yield Window(last, {name: track.window(last) for name, track in tracks.items()})


class _Track:
    """One input along a recording. Holds its values from the start of the latest window on."""

    def __init__(self, source: Input, steps: int, pieces: Iterator[Tensor]) -> None:
        features = source.conf.features
        self.source, self.steps = source, steps  # output steps per window
        self.step = features.hop_length * features.frames_per_step  # samples per output step
        self.pieces = pieces
        self.first = 0  # index of the first value held
        self.held = next(pieces)

    def holds(self, step: int) -> bool:
        """Whether the recording reaches the end of the window that begins with output step `step`."""
        end = self._end(step)
        while (lacking := end - self.first - self.held.shape[1]) > 0 and (piece := next(self.pieces, None)) is not None:
            self.held = torch.cat([self.held, piece], dim=1)
        return lacking <= 0

    @property
    def last_window(self) -> int:
        """The output step with which the last window begins, which ends with the recording."""
        total = self.first + self.held.shape[1]
        last = (total - self.source.shape[1]) * self.source.hop // self.step
        while self._end(last + 1) <= total:  # at a low rate, the last values cover several output steps
            last += 1
        return last

    def window(self, step: int) -> Tensor:
        """Values (width, steps) on the grid from output step `step` on, which may begin within a step of the input."""
        begin, within = divmod(step * self.step, self.source.hop)
        self.held, self.first = self.held[:, begin - self.first :], begin
        values = self.held[:, : self._end(step) - begin]
        return self.source.on_grid(values[None], self.steps, within)[0]

    def _end(self, step: int) -> int:
        """The number of the recording's values up to the end of the window that begins with output step `step`."""
        return self.source.steps(step * self.step + self.source.clip_samples)


def value_pieces(
    blocks: Iterable[np.ndarray], source: Input, transform: nn.Module, device: torch.device | str = "cpu"
) -> Iterator[Tensor]:
    """Yield an input's values in pieces, (width, steps) each; joined, they are the values of the joined blocks."""
    piece = source.piece
    pieces = (block[first : first + piece] for block in blocks for first in range(0, len(block), piece))
    return overlapped(pieces, _computing(transform, device), source.hop, 1, source.reach)


def _computing(transform: nn.Module, device: torch.device | str) -> Callable[[np.ndarray], Tensor]:
    """Return `transform` as a function of one recording: (samples,) -> (width, steps)."""

    @torch.inference_mode()
    def compute(samples: np.ndarray) -> Tensor:
        return transform(torch.from_numpy(samples).to(device)[None])[0]

    return compute


def _head(blocks: Iterator[np.ndarray], length: int) -> np.ndarray:
    """Join the first blocks until they hold more than `length` samples or there are no more."""
    parts: list[np.ndarray] = []
    while sum(map(len, parts)) <= length and (block := next(blocks, None)) is not None:
        parts.append(block)
    return parts[0] if len(parts) == 1 else np.concatenate([np.empty(0, np.float32), *parts])


class JoinedScores:
    """Joins the scores of a recording's windows with triangular weights, so that no window border is visible."""

    def __init__(self, classes: int, width: int) -> None:
        self.weak = np.zeros(classes, np.float32)  # the largest of the windows' clip probabilities
        self.windows = 0
        centre = (width - 1) / 2
        self._weight = (1.0 - np.abs(np.arange(width) - centre) / (centre + 1)).astype(np.float32)[:, None]
        self._sum = np.zeros((width, classes), np.float32)  # doubled in length whenever it is full
        self._total = np.zeros((width, 1), np.float32)
        self._end = 0

    def add(self, first: int, scores: np.ndarray, weak: np.ndarray) -> None:
        """Add the window that begins at step `first`: scores (width, classes), weak (classes,)."""
        self._end = first + len(scores)
        if self._end > len(self._sum):
            more = ((0, max(self._end - len(self._sum), len(self._sum))), (0, 0))
            self._sum, self._total = np.pad(self._sum, more), np.pad(self._total, more)
        self._sum[first : self._end] += self._weight * scores
        self._total[first : self._end] += self._weight
        self._latest = scores
        self.weak = np.maximum(self.weak, weak)
        self.windows += 1

    def scores(self, steps: int) -> np.ndarray:
        """Return (steps, classes), with fewer steps if the windows cover fewer; a single window's scores stay as is."""
        if self.windows == 1:
            return self._latest[:steps]
        steps = min(steps, self._end)
        return self._sum[:steps] / self._total[:steps]
