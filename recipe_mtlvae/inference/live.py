"""`detect --stream -`: events in live sound. Raw PCM comes in on standard input, events go out as JSON lines.

The recurrent layers run in both directions, so a step's scores depend on what follows. Every few steps, the network
runs over the latest stretch of sound, as long as a training clip (10 s by default) and scaled like one. It then decides
the steps that enough sound has followed. Waiting for more sound makes decisions more accurate, but later.
"""

from __future__ import annotations

import itertools
import math
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, BinaryIO

import numpy as np

from recipe_mtlvae.audio.mpeg import begins_with_frames
from recipe_mtlvae.audio.resampling import resample
from recipe_mtlvae.errors import fail

if TYPE_CHECKING:  # torch is slow to import
    from recipe_mtlvae.inference.detector import Detector

# First bytes of files with a header: they are not raw PCM
HEADERS = (b"RIFF", b"RIFX", b"RF64", b"BW64", b"riff", b"FORM", b".snd", b"dns.", b"caff", b"fLaC", b"OggS", b"ID3")
HEAD = 8192  # bytes, enough to recognize three frames of an MP3 without a header
FORMATS = {"s16le": ("<i2", 32768.0), "s32le": ("<i4", 2147483648.0), "f32le": ("<f4", 1.0)}  # dtype, full scale
WARM_UP = 2.0  # s; scaled on its own, a shorter stretch of noise becomes loud
FEWEST_STEPS = 2  # between two runs of the network, which take about 40 ms each
BATCH = 32  # windows that the network takes at once
READ = 1 << 16  # most bytes to read at a time


@dataclass(frozen=True)
class LiveEvent:
    """An event, given once when it begins and again when it ends."""

    label: str
    onset: float  # s from the beginning of the stream
    offset: float | None  # s; None: the event has begun and goes on
    confidence: float  # the highest score so far
    heard: float  # s of the stream received when this was given


class LiveDetector:
    """Detects events in sound that arrives piece by piece.

    rate: of the sound, Hz. latency: the longest time from a sound to its event in seconds, without computing. Raises
    RecipeError for a latency out of range and for a checkpoint that detects by bounding boxes.
    """

    def __init__(self, detector: Detector, rate: int, latency: float) -> None:
        if detector.decoding.boxes is not None:
            what = "this checkpoint detects by bounding boxes, which take whole recordings"
            raise fail(f"--stream: {what}", "tune it with postprocess.method=median")
        self.detector, self.rate = detector, rate
        self.step = detector.grid.step_seconds
        steps, most = round(latency / self.step), detector.grid.steps // 2
        if not FEWEST_STEPS <= steps <= most:
            raise fail(f"--latency {latency:g}: expected {FEWEST_STEPS * self.step:g} to {most * self.step:g} s")
        self.every = max(FEWEST_STEPS, steps // 4)  # steps from one run of the network to the next
        self.ahead = steps - self.every  # steps that must follow a step before it is decided
        # s received before the first decision, whose window must still contain the first step
        self.warm_up = min(WARM_UP, (detector.grid.steps - self.every) * self.step)
        self.computing = 0.0  # s spent in the network so far
        self._samples = np.empty(0, np.float32)  # the latest ones, which windows still need
        self._heard = 0  # samples received in all
        self._run = 0  # the step at which the network's latest window ends
        self._decided = 0  # steps decided so far
        self._open: dict[int, tuple[float, float]] = {}  # events that go on, by class: onset, confidence

    @property
    def latency(self) -> float:
        """The longest time from a sound to its event in seconds, without computing."""
        return (self.ahead + self.every) * self.step

    @property
    def heard(self) -> float:
        """Seconds of sound received."""
        return self._heard / self.rate

    def feed(self, samples: np.ndarray) -> Iterator[LiveEvent]:
        """Receive mono `samples` (n,) float32, and yield the events that begin or end by now."""
        self._samples = np.concatenate([self._samples, samples])
        self._heard += len(samples)
        ends = range(self._run + self.every, self._steps_heard() + 1, self.every)
        for first in range(0, len(ends), BATCH):  # several where many samples came at once
            yield from self._listen(ends[first : first + BATCH], self.ahead, self.warm_up)

    def finish(self) -> Iterator[LiveEvent]:
        """Yield the events that are left at the end of the stream."""
        if self._steps_begun() > self._decided:
            yield from self._listen([self._steps_begun()], 0, 0.0)
        for column, (onset, confidence) in self._open.items():
            yield self._event(column, onset, self.heard, confidence)
        self._open = {}

    def _steps_heard(self) -> int:
        """Whole steps received."""
        steps = round(self._heard / self.rate / self.step)
        return steps if self._sample(steps) <= self._heard else steps - 1

    def _steps_begun(self) -> int:
        """Steps received; the last one may be incomplete."""
        return math.ceil(self.heard / self.step - 1e-6)

    def _sample(self, step: int) -> int:
        """The index of a step's first sample."""
        return round(step * self.step * self.rate)

    def _listen(self, ends: Sequence[int], ahead: int, warm_up: float) -> Iterator[LiveEvent]:
        """Run the network over the windows that end at the steps `ends`, and decide up to `ahead` steps before each.

        Windows that end before `warm_up` (s) are left out.
        """
        warm = [end for end in ends if end * self.step >= warm_up]
        firsts = [max(0, end - self.detector.grid.steps) for end in warm]
        started = time.perf_counter()
        scores = self._scores([self._window(first, end) for first, end in zip(firsts, warm, strict=True)])
        self.computing += time.perf_counter() - started
        for first, end, window_scores in zip(firsts, warm, scores, strict=True):
            yield from self._decide(first, window_scores, end - ahead)
        self._run = ends[-1]
        self._forget()

    def _decide(self, first: int, scores: np.ndarray, end: int) -> Iterator[LiveEvent]:
        """Decide the steps before `end` from the scores (steps, classes) of a window that begins at step `first`."""
        smoothed = self.detector.decoding.smooth(scores)
        reported = [label in self.detector.reported for label in self.detector.classes]
        active = (smoothed > np.array(self.detector.decoding.thresholds)) & reported
        for step in range(self._decided, end):
            self._decided = step + 1
            for column in np.flatnonzero(active[step - first]).tolist():
                onset, confidence = self._open.get(column, (step * self.step, 0.0))
                self._open[column] = onset, max(confidence, float(smoothed[step - first, column]))
                if onset == step * self.step:
                    yield self._event(column, onset, None, self._open[column][1])
            for column in [column for column in self._open if not active[step - first, column]]:
                yield self._event(column, self._open[column][0], step * self.step, self._open.pop(column)[1])

    def _window(self, first: int, end: int) -> np.ndarray:
        """Samples (n,) of the steps `first` to `end` at the network's rate, padded where the stream ends within one."""
        features = self.detector.conf.features
        before = self._heard - len(self._samples)
        part = self._samples[self._sample(first) - before : self._sample(end) - before]
        samples = resample(part, self.rate, features.sample_rate)
        whole = (end - first) * features.hop_length * features.frames_per_step
        length = max(whole, self.detector.transforms.least_samples)
        return np.pad(samples[:length], (0, max(0, length - len(samples))))

    def _scores(self, windows: Sequence[np.ndarray]) -> list[np.ndarray]:
        """The scores (steps, classes) of each window; adjacent windows of one length share a batch."""
        import torch

        scores: list[np.ndarray] = []
        for _, group in itertools.groupby(windows, len):
            waveform = torch.from_numpy(np.stack(list(group))).to(self.detector.device)
            with torch.inference_mode():
                strong = self.detector.net.predict(**self.detector.transforms(waveform)).strong
            scores += list(strong.float().cpu().numpy())
        return scores

    def _forget(self) -> None:
        """Drop samples that no window needs any more, neither the next one nor the last one if the stream ends now."""
        end = min(self._run + self.every, self._steps_begun())
        kept = self._sample(max(0, end - self.detector.grid.steps))
        self._samples = self._samples[max(0, kept - (self._heard - len(self._samples))) :]

    def _event(self, column: int, onset: float, offset: float | None, confidence: float) -> LiveEvent:
        offset = None if offset is None else round(offset, 3)
        return LiveEvent(
            self.detector.classes[column], round(onset, 3), offset, round(confidence, 3), round(self.heard, 3)
        )


def pcm(source: BinaryIO, sample_format: str, channels: int) -> Iterator[np.ndarray]:
    """Yield raw samples as they arrive, channels averaged: (n,) float32 in [-1, 1] each.

    Raises RecipeError for a file with a header and for NaN or infinite samples.
    """
    dtype, full = FORMATS[sample_format]
    frame = channels * np.dtype(dtype).itemsize
    held = head = b""
    while data := source.read1(READ):
        held += data
        if len(head) < HEAD:
            head += data
            if head.startswith(HEADERS) or begins_with_frames(head):
                raise fail("--stream -: expected raw PCM, got a file with a header", "arecord -t raw, ffmpeg -f s16le")
        whole = len(held) // frame * frame
        samples = np.frombuffer(held[:whole], dtype).reshape(-1, channels).mean(axis=1, dtype=np.float64) / full
        held = held[whole:]
        if not np.isfinite(samples).all():
            raise fail("--stream -: samples that are NaN or infinite", "is it really f32le?")
        if len(samples):
            yield samples.astype(np.float32)
