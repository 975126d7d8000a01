"""A recording of any length as windows of the training length, and their scores joined again."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from recipe_mtlvae.audio.streaming import overlapped
from recipe_mtlvae.inputs.log_mel import LogMel
from recipe_mtlvae.labels import frames_of, samples_of

TAIL = 0.01  # of a window: a recording this much longer than the training length is still one window
PIECE = 1 << 15  # samples whose spectra are computed at a time: they stay in the processor's cache


@dataclass(frozen=True)
class Window:
    """A stretch of a recording, as long as the clips in training."""

    first_step: int  # of the recording's grid
    log_mel: Tensor  # (mels, frames), dB, unscaled


def cut_windows(blocks: Iterable[np.ndarray], log_mel: LogMel, clip_seconds: float, steps: int) -> Iterator[Window]:
    """Windows of `steps` output steps that overlap by half, of the samples in `blocks`, (n,) float32 each.

    A recording up to the training length is padded with zeros, as in training. In a longer one, windows are stretches
    of its log-mel; the last one ends with the recording, so that none holds zeros, which would move its scaling.
    """
    conf = log_mel.conf
    blocks = iter(blocks)
    length = samples_of(clip_seconds, conf.sample_rate)
    head = _head(blocks, int(length * (1 + TAIL)))
    if len(head) <= int(length * (1 + TAIL)):
        yield Window(0, _log_mel(log_mel, np.pad(head[:length], (0, max(length - len(head), 0)))))
        return
    width, hop = frames_of(conf, length), steps // 2
    held: Tensor | None = None  # log-mel from the latest window's begin on
    latest = -hop
    for piece in log_mel_pieces(itertools.chain([head], blocks), log_mel):
        held = piece if held is None else torch.cat([held, piece], dim=1)
        skip = 0 if latest < 0 else hop * conf.frames_per_step
        while held.shape[1] >= skip + width:
            held, latest = held[:, skip:], latest + hop
            skip = hop * conf.frames_per_step
            yield Window(latest, held[:, :width])
    if left := (held.shape[1] - width) // conf.frames_per_step:
        yield Window(latest + left, held[:, left * conf.frames_per_step :][:, :width])


def log_mel_pieces(blocks: Iterable[np.ndarray], log_mel: LogMel) -> Iterator[Tensor]:
    """(mels, frames) each; joined, they are the log-mel of the joined blocks."""
    reach = math.ceil(log_mel.conf.n_fft / 2 / log_mel.conf.hop_length)
    pieces = (block[first : first + PIECE] for block in blocks for first in range(0, len(block), PIECE))
    return overlapped(pieces, lambda samples: _log_mel(log_mel, samples), log_mel.conf.hop_length, 1, reach)


@torch.inference_mode()
def _log_mel(log_mel: LogMel, samples: np.ndarray) -> Tensor:
    """(n,) -> (mels, frames), where the module computes."""
    return log_mel(torch.from_numpy(samples).to(log_mel.window.device)[None])[0]


def _head(blocks: Iterator[np.ndarray], length: int) -> np.ndarray:
    """The first blocks joined, until they hold more than `length` samples or there are no more."""
    parts: list[np.ndarray] = []
    while sum(map(len, parts)) <= length and (block := next(blocks, None)) is not None:
        parts.append(block)
    return parts[0] if len(parts) == 1 else np.concatenate([np.empty(0, np.float32), *parts])


class JoinedScores:
    """One recording's windows, joined by a triangular weight so that no border shows."""

    def __init__(self, classes: int, width: int) -> None:
        self.weak = np.zeros(classes, np.float32)  # the largest of the windows' clip probabilities
        self.windows = 0
        centre = (width - 1) / 2
        self._weight = (1.0 - np.abs(np.arange(width) - centre) / (centre + 1)).astype(np.float32)[:, None]
        self._sum = np.zeros((width, classes), np.float32)  # twice as long whenever it is full
        self._total = np.zeros((width, 1), np.float32)
        self._end = 0

    def add(self, first: int, scores: np.ndarray, weak: np.ndarray) -> None:
        """The window that begins at step `first`: scores (width, classes), weak (classes,)."""
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
        """(steps, classes), or as many steps as the windows cover; one window keeps its scores to the last bit."""
        if self.windows == 1:
            return self._latest[:steps]
        steps = min(steps, self._end)
        return self._sum[:steps] / self._total[:steps]
