"""Scores and events of audio of any length, from a trained checkpoint."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from recipe_mtlvae.audio.decoding import RATES
from recipe_mtlvae.audio.streaming import BLOCK, Stream, array_stream, open_stream
from recipe_mtlvae.errors import Fault, RecipeError, fail
from recipe_mtlvae.inference.chosen_decoding import ByClass, at_operating_point, chosen_decoding, known_classes
from recipe_mtlvae.inference.prefetch import prefetched
from recipe_mtlvae.inference.windows import JoinedScores, Window, cut_windows
from recipe_mtlvae.inputs.transforms import Transforms
from recipe_mtlvae.labels import DetectedEvent, Grid
from recipe_mtlvae.nets.checkpoint import Checkpoint, load_checkpoint
from recipe_mtlvae.scoring.box_tuning import decoding_by_aim
from recipe_mtlvae.scoring.postprocess import Decoding

Progress = Callable[[Path, float, float], None]  # recording, seconds scored so far, its duration in seconds


@dataclass(frozen=True)
class Detection:
    """The scores and events of one recording."""

    path: Path | None  # None for an array
    duration: float  # s
    classes: tuple[str, ...]
    step_seconds: float  # step t of the scores covers [t, t + 1) * step_seconds
    scores: np.ndarray  # (steps, classes), unprocessed probabilities
    weak: np.ndarray  # (classes,) clip probabilities, the largest over the windows
    events: list[DetectedEvent]  # by onset
    damage: Fault | None = None  # which part of the recording could not be decoded, if any


class _Recording:
    """One recording that is being processed."""

    def __init__(self, path: Path | None, scores: JoinedScores) -> None:
        self.path, self.scores = path, scores
        self.duration = 0.0  # s
        self.damage: Fault | None = None
        self.missing = 0  # windows that are read but not yet scored
        self.read = False


@dataclass(frozen=True)
class _Part:
    """One item from reading a recording: a window, None at its end, or the error that prevents reading it."""

    recording: _Recording
    content: Window | RecipeError | None


_Source = tuple[Path | None, contextlib.AbstractContextManager[Stream]]


class Detector:
    """Detects events with the network of a checkpoint.

    >>> from recipe_mtlvae import Detector
    >>> detector = Detector.load("best.ckpt", threshold={"Dog": 0.4})
    >>> found = detector.detect("x.wav")
    >>> for event in found.events:
    ...     print(f"{event.onset:.2f} to {event.offset:.2f} s: {event.label}, {event.confidence:.2f}")
    >>> dog = found.scores[:, found.classes.index("Dog")]  # one value per step of found.step_seconds

    `decoding` holds the thresholds and median filters: the checkpoint's own, unless others are given. The attribute
    may be replaced. The network runs on a GPU if there is one.
    """

    def __init__(
        self,
        checkpoint: Checkpoint,
        device: str | None = None,
        *,
        classes: Iterable[str] | None = None,
        threshold: ByClass | None = None,
        median_filter: ByClass | None = None,
        min_duration: float = 0.0,
        operating_point: str | None = None,
    ) -> None:
        self.conf, self.classes = checkpoint.conf, checkpoint.classes
        self.device = torch.device(device or ("cuda" if torch.cuda.is_available() else "cpu"))
        self.net = checkpoint.net.to(self.device)
        self.transforms = Transforms(self.conf, encoder_state=checkpoint.encoder).to(self.device)
        self.grid = Grid.of(self.conf.features, self.conf.data.clip_seconds)
        decoding = Decoding.fixed(self.conf.postprocess, len(self.classes))
        if checkpoint.decoding is not None:
            decoding = Decoding.from_dict(checkpoint.decoding)
        if checkpoint.bounding_boxes is not None:
            decoding = decoding_by_aim(checkpoint.bounding_boxes, "events", decoding)
        self.decoding = chosen_decoding(decoding, self.classes, self.grid.step_seconds, threshold, median_filter)
        self.reported = tuple(self.classes if classes is None else known_classes(classes, self.classes))
        self.notes: tuple[str, ...] = ()  # precision and recall at the operating point, and classes that miss it
        if operating_point is not None:
            if threshold is not None or median_filter is not None:
                raise fail("operating_point chooses the thresholds: expected no threshold and no median_filter with it")
            self.decoding, self.notes = at_operating_point(
                decoding, checkpoint.precision_recall, self.classes, self.reported, operating_point
            )
        self.min_duration = min_duration

    @classmethod
    def load(
        cls,
        path: str | Path,
        network: str = "net",
        device: str | None = None,
        *,
        classes: Iterable[str] | None = None,
        threshold: ByClass | None = None,
        median_filter: ByClass | None = None,
        min_duration: float = 0.0,
        operating_point: str | None = None,
    ) -> Detector:
        """Load a checkpoint, such as best.ckpt of a run.

        Args:
            network: `net`, or `teacher` for the averaged network of a mean teacher
            device: a torch device; None: a GPU if there is one
            classes: classes to report; None: all
            threshold: scores above it count, for all classes or by class; classes not named keep their own
            median_filter: length in seconds, for all classes or by class; 0: no filter
            min_duration: seconds; shorter events are left out
            operating_point: `precision=0.9`, `recall=0.9` or `f1`: each class takes the threshold that reaches it on
                the clips that selected the network

        Raises RecipeError for a file that is not a checkpoint of this recipe, and for an unknown class.
        """
        return cls(
            load_checkpoint(Path(path), network),
            device,
            classes=classes,
            threshold=threshold,
            median_filter=median_filter,
            min_duration=min_duration,
            operating_point=operating_point,
        )

    def detect(self, audio: str | Path | np.ndarray, sample_rate: int | None = None) -> Detection:
        """Return the scores and events of a file, or of an array (samples,) or (samples, channels) with its rate in Hz.

        Arrays hold floats in [-1, 1], or signed integers over their whole range. Raises RecipeError for a file that
        cannot be read and for NaN or infinite samples; ValueError for an array of another shape or type, or without
        its rate.
        """
        if isinstance(audio, np.ndarray):
            stream = array_stream(mono(audio), _rate_of(sample_rate), self.conf.features.sample_rate, self._block)
            return next(self._detect([(None, contextlib.nullcontext(stream))], None, 32, None))
        return next(self.detect_all([Path(audio)]))

    def detect_all(
        self,
        paths: Iterable[Path],
        faults: list[Fault] | None = None,
        batch_size: int = 32,
        progress: Progress | None = None,
    ) -> Iterator[Detection]:
        """Yield one Detection per recording, in order. Windows of different recordings share batches.

        A recording that cannot be read is left out and its fault is added to `faults`; without such a list, RecipeError
        is raised. However long the recordings are, memory holds the windows of two batches and scores only.
        """
        rate = self.conf.features.sample_rate
        sources = ((path, open_stream(path, rate, self._block)) for path in paths)
        return self._detect(sources, faults, batch_size, progress)

    @property
    def _block(self) -> float:
        return max(BLOCK, 2 * self.conf.data.clip_seconds)  # s: a recording of one window comes in one block

    def _detect(
        self, sources: Iterable[_Source], faults: list[Fault] | None, batch_size: int, progress: Progress | None
    ) -> Iterator[Detection]:
        waiting: list[_Recording] = []
        batch: list[_Part] = []
        with prefetched(self._read(sources), batch_size) as parts:
            for part in parts:
                recording = part.recording
                if recording not in waiting:
                    waiting.append(recording)
                if isinstance(part.content, RecipeError):
                    if faults is None:
                        raise part.content
                    faults += part.content.faults
                    waiting.remove(recording)
                elif part.content is None:
                    recording.read = True
                else:
                    recording.missing += 1
                    batch.append(part)
                if len(batch) == batch_size:
                    self._score(batch, progress)
                    batch = []
                while waiting and waiting[0].read and not waiting[0].missing:
                    yield self._finish(waiting.pop(0))
        if batch:
            self._score(batch, progress)
        for recording in waiting:
            yield self._finish(recording)

    def _read(self, sources: Iterable[_Source]) -> Iterator[_Part]:
        """Decode, resample, compute the inputs and cut them into windows."""
        for path, source in sources:
            recording = _Recording(path, JoinedScores(len(self.classes), self.grid.steps))
            try:
                with source as stream:
                    recording.duration = stream.duration
                    for window in cut_windows(stream.blocks, self.transforms, self.grid.steps, self.device):
                        yield _Part(recording, window)
                    recording.duration, recording.damage = stream.duration, stream.damage  # known only now
                yield _Part(recording, None)
            except RecipeError as error:
                yield _Part(recording, error)

    @torch.inference_mode()
    def _score(self, batch: list[_Part], progress: Progress | None) -> None:
        inputs = self.transforms.inputs
        values = {name: torch.stack([part.content.values[name] for part in batch]) for name in inputs}
        prediction = self.net.predict(**{name: source.scale(values[name]) for name, source in inputs.items()})
        strong, weak = prediction.strong.float().cpu().numpy(), prediction.weak.float().cpu().numpy()
        for part, steps, clip in zip(batch, strong, weak, strict=True):
            recording, window = part.recording, part.content
            recording.scores.add(window.first_step, steps, clip)
            recording.missing -= 1
            if progress and recording.path:
                seconds = (window.first_step + self.grid.steps) * self.grid.step_seconds
                progress(recording.path, min(seconds, recording.duration), recording.duration)

    def _finish(self, recording: _Recording) -> Detection:
        step, duration = self.grid.step_seconds, recording.duration
        scores = recording.scores.scores(math.ceil(duration / step - 1e-6))
        found = self.decoding.detected(scores, step, self.classes, duration)
        events = [
            event for event in found if event.label in self.reported and event.offset - event.onset >= self.min_duration
        ]
        weak = recording.scores.weak
        return Detection(recording.path, duration, self.classes, step, scores, weak, events, recording.damage)


def mono(samples: np.ndarray) -> np.ndarray:
    """Mix samples (n,) or (n, channels), floats or signed integers, to mono: (n,) float32; integers become [-1, 1].

    Raises RecipeError for NaN or infinite samples; ValueError for another shape or type and for an empty array.
    """
    if samples.ndim not in (1, 2) or not samples.size:
        raise ValueError(f"expected samples (n,) or (n, channels), got shape {samples.shape}")
    if samples.ndim == 2 and samples.shape[1] > samples.shape[0]:
        raise ValueError(f"expected (n, channels), got {samples.shape}: transpose it")
    if np.issubdtype(samples.dtype, np.signedinteger):
        samples = samples / -float(np.iinfo(samples.dtype).min)
    elif not np.issubdtype(samples.dtype, np.floating):
        raise ValueError(f"expected floats or signed integers, got {samples.dtype}")
    samples = samples.astype(np.float32) if samples.ndim == 1 else samples.mean(axis=1, dtype=np.float32)
    if not np.isfinite(samples).all():
        raise fail("the array holds samples that are NaN or infinite")
    return samples


def _rate_of(sample_rate: int | None) -> int:
    if sample_rate is None or not RATES[0] <= sample_rate <= RATES[1]:
        raise ValueError(f"sample_rate: expected {RATES[0]} to {RATES[1]} Hz with an array, got {sample_rate}")
    return int(sample_rate)
