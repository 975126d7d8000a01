"""Scores of prepared splits from their stored inputs, for encoders that cannot be run on audio here."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import numpy as np
import torch

from recipe_mtlvae.inference.detector import Detection
from recipe_mtlvae.inputs.prepared import Split
from recipe_mtlvae.inputs.transforms import scaled
from recipe_mtlvae.labels import Grid
from recipe_mtlvae.nets.checkpoint import Checkpoint


class StoredDetector:
    """The part of Detector that stage 2 uses: `detect_all`, for the splits' own files of at most one clip's length."""

    def __init__(self, checkpoint: Checkpoint, device: str | None, splits: Sequence[Split]) -> None:
        self.conf, self.classes = checkpoint.conf, checkpoint.classes
        self.device = torch.device(device or ("cuda" if torch.cuda.is_available() else "cpu"))
        self.net = checkpoint.net.to(self.device)
        self.grid = Grid.of(self.conf.features, self.conf.data.clip_seconds)
        self._rows = {clip.path: (split, row) for split in splits for row, clip in enumerate(split.clips)}

    def detect_all(self, paths: Iterable[Path], batch_size: int = 32) -> Iterator[Detection]:
        """Like Detector.detect_all, but without events."""
        paths = list(paths)
        for start in range(0, len(paths), batch_size):
            yield from self._scores(paths[start : start + batch_size])

    @torch.inference_mode()
    def _scores(self, paths: Sequence[Path]) -> Iterator[Detection]:
        places = [self._rows[path] for path in paths]
        inputs = places[0][0].inputs
        values = {name: np.concatenate([split.stores[name].read([row]) for split, row in places]) for name in inputs}
        tensors = {name: torch.from_numpy(array).float().to(self.device) for name, array in values.items()}
        prediction = self.net.predict(**scaled(inputs, tensors, self.grid.steps))
        strong, weak = prediction.strong.float().cpu().numpy(), prediction.weak.float().cpu().numpy()
        for path, (split, row), steps, clip in zip(paths, places, strong, weak, strict=True):
            duration = float(split.store.durations[row])
            count = math.ceil(duration / self.grid.step_seconds - 1e-6)
            yield Detection(path, duration, self.classes, self.grid.step_seconds, steps[:count], clip, [])
