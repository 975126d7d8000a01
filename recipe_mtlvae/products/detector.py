"""From audio of any length to scores and events, with a trained checkpoint."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from recipe_mtlvae.data.audio import read_audio
from recipe_mtlvae.data.features import LogMel, scale
from recipe_mtlvae.errors import Fault, RecipeError
from recipe_mtlvae.labels import Event, Grid, cut_events
from recipe_mtlvae.nets.checkpoint import Checkpoint, load_checkpoint
from recipe_mtlvae.scoring.postprocess import Decoding

TAIL = 0.01  # of a window: a clip this much longer than the training length is still one window


@dataclass(frozen=True)
class Detection:
    """What was found in one recording."""

    path: Path
    duration: float  # s
    scores: np.ndarray  # (steps, classes), unprocessed probabilities
    weak: np.ndarray  # (classes,) clip probabilities, the largest over the windows
    events: list[Event]


@dataclass(frozen=True)
class _Window:
    """A stretch of one recording, as long as the clips in training."""

    recording: int
    first_step: int  # of the recording's grid
    samples: torch.Tensor  # (samples,)


class Detector:
    """A checkpoint at work: `Detector.load("best.ckpt").detect("x.wav")`."""

    def __init__(self, checkpoint: Checkpoint, device: str | None = None) -> None:
        self.conf, self.classes = checkpoint.conf, checkpoint.classes
        self.device = torch.device(device or ("cuda" if torch.cuda.is_available() else "cpu"))
        self.net = checkpoint.net.to(self.device)
        self.log_mel = LogMel(self.conf.features).to(self.device)
        self.grid = Grid.of(self.conf.features, self.conf.data.clip_seconds)
        self.decoding = Decoding.fixed(self.conf.postprocess, len(self.classes))
        if checkpoint.decoding is not None:
            self.decoding = Decoding.from_dict(checkpoint.decoding)

    @classmethod
    def load(cls, path: str | Path, network: str = "net", device: str | None = None) -> Detector:
        """Raises RecipeError for a file that is no checkpoint of this recipe."""
        return cls(load_checkpoint(Path(path), network), device)

    def detect(self, path: str | Path) -> Detection:
        """Events of one recording, with the median filters and thresholds of `decoding`."""
        return next(self.detect_all([Path(path)]))

    def detect_all(
        self, paths: Iterable[Path], faults: list[Fault] | None = None, batch_size: int = 32
    ) -> Iterator[Detection]:
        """One Detection a recording, in order; windows of different recordings share batches.

        A recording that cannot be read is left out and its fault added to `faults`; without such a list,
        it raises RecipeError.
        """
        waiting: dict[int, _Joined] = {}  # in the order of the recordings
        windows: list[_Window] = []
        for number, path in enumerate(paths):
            try:
                audio = read_audio(path, self.conf.features.sample_rate, None)
            except RecipeError as error:
                if faults is None:
                    raise
                faults += error.faults
                continue
            waiting[number], new = self._cut(number, path, audio.samples, audio.duration)
            windows += new
            while len(windows) >= batch_size:
                self._score(windows[:batch_size], waiting)
                del windows[:batch_size]
            while waiting and (first := next(iter(waiting.values()))).missing == 0:
                yield self._finish(first)
                del waiting[next(iter(waiting))]
        if windows:
            self._score(windows, waiting)
        for joined in waiting.values():
            yield self._finish(joined)

    def _cut(self, number: int, path: Path, samples: np.ndarray, duration: float) -> tuple[_Joined, list[_Window]]:
        """Half-overlapping windows of the training length; the last one padded with zeros."""
        step = self.conf.features.hop * self.conf.features.frames_per_step
        length = int(self.conf.data.clip_seconds * self.conf.features.sample_rate)
        hop = self.grid.steps // 2
        count = 1 + max(0, int(np.ceil((len(samples) - length * (1 + TAIL)) / (hop * step))))
        windows = []
        for first in range(0, count * hop, hop):
            part = torch.from_numpy(samples[first * step : first * step + length])
            windows.append(_Window(number, first, torch.nn.functional.pad(part, (0, length - len(part)))))
        steps = min(int(np.ceil(len(samples) / step)), (count - 1) * hop + self.grid.steps)
        return _Joined(path, duration, steps, count, len(self.classes), self.grid.steps), windows

    @torch.inference_mode()
    def _score(self, windows: list[_Window], waiting: dict[int, _Joined]) -> None:
        waveform = torch.stack([window.samples for window in windows]).to(self.device)
        prediction = self.net.predict(scale(self.log_mel(waveform)))
        strong, weak = prediction.strong.float().cpu().numpy(), prediction.weak.float().cpu().numpy()
        for window, steps, clip in zip(windows, strong, weak, strict=True):
            waiting[window.recording].add(window.first_step, steps, clip)

    def _finish(self, joined: _Joined) -> Detection:
        scores = joined.scores()
        found = self.decoding.events(scores, self.grid.edges(len(scores)), self.classes)
        events = list(cut_events(found, joined.duration))
        return Detection(joined.path, joined.duration, scores, joined.weak, events)


class _Joined:
    """One recording's windows, joined by a triangular weight so that no border shows."""

    def __init__(self, path: Path, duration: float, steps: int, windows: int, classes: int, width: int) -> None:
        self.path, self.duration, self.steps = path, duration, steps
        self.missing = windows
        self.weak = np.zeros(classes, np.float32)
        centre = (width - 1) / 2
        self.weight = (1.0 - np.abs(np.arange(width) - centre) / (centre + 1)).astype(np.float32)[:, None]
        self.single = windows == 1
        self.sum = np.zeros((steps + width, classes), np.float32)
        self.total = np.zeros((steps + width, 1), np.float32)

    def add(self, first: int, scores: np.ndarray, weak: np.ndarray) -> None:
        weight = np.float32(1.0) if self.single else self.weight  # one window keeps its scores to the last bit
        self.sum[first : first + len(scores)] += weight * scores
        self.total[first : first + len(scores)] += weight
        self.weak = np.maximum(self.weak, weak)
        self.missing -= 1

    def scores(self) -> np.ndarray:
        """(steps, classes)"""
        return self.sum[: self.steps] / self.total[: self.steps]
