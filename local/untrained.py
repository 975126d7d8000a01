"""Write score folders from YAMNet's own class scores, without any training. Takes the options of a stage.

python -m local.untrained --conf conf/linear_yamnet.yaml --tag untrained [--data ...]
./run.sh --conf conf/linear_yamnet.yaml --tag untrained --stage 3 --stop_stage 4 [--data ...]
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

import numpy as np
import torch

from local.predict import predicted_splits
from local.prediction.shares import is_current, predict_split
from local.stage import open_stage
from recipe_mtlvae.audio.decoding import read_audio
from recipe_mtlvae.conf import CONF_DIR, Conf
from recipe_mtlvae.conf_files import read_yaml
from recipe_mtlvae.errors import exit_code_of, fail
from recipe_mtlvae.files import content_hash
from recipe_mtlvae.inference.detector import Detection
from recipe_mtlvae.inputs.encoders.yamnet import STEP, WINDOW, YAMNet
from recipe_mtlvae.inputs.registry import inputs_of
from recipe_mtlvae.labels import Grid

CLASSES = CONF_DIR / "encoders" / "yamnet_classes.yaml"
FRAMES, HOP = 96, 48  # in a window, and from one window to the next: 0.96 and 0.48 s, as in the original


def main() -> None:
    stage = open_stage(2, __doc__)
    if stage.conf.encoder.name != "yamnet" or "embeddings" not in inputs_of(stage.conf):
        raise fail("expected a configuration on embeddings of yamnet", "--conf conf/linear_yamnet.yaml")
    splits = predicted_splits(stage)
    scorer = Untrained(stage.conf, stage.corpus.classes, inputs_of(stage.conf)["embeddings"].encoder.net())
    key = content_hash("untrained", scorer.columns, {split.name: split.store.key for split in splits})
    with stage.begun():
        for split in splits:
            scores = stage.run_dir / "scores" / split.name
            if not is_current(scores, key):
                predict_split(scorer, split, scores, key, stage.shard, stage.conf.energy)
            print(f"{scores}: {len(split.recordings)} clips")


class Untrained:
    """The part of Detector that stage 2 uses, with the pretrained network's own classifier."""

    def __init__(self, conf: Conf, classes: tuple[str, ...], net: YAMNet) -> None:
        self.conf, self.classes, self.net = conf, classes, net
        self.grid = Grid.of(conf.features, conf.data.clip_seconds)
        self.columns = columns_of(classes)

    @torch.inference_mode()
    def detect_all(self, paths: Iterable[Path], batch_size: int = 32) -> Iterator[Detection]:
        """Like Detector.detect_all, but without events, and one recording at a time."""
        for path in paths:
            audio = read_audio(path, self.conf.features.sample_rate, None)
            steps = int(np.ceil(audio.duration / self.grid.step_seconds - 1e-6))
            scores = self.scores(torch.from_numpy(audio.samples), steps)
            yield Detection(path, audio.duration, self.classes, self.grid.step_seconds, scores, scores.max(axis=0), [])

    def scores(self, samples: torch.Tensor, steps: int) -> np.ndarray:
        """Return the scores (steps, classes) of `samples` (samples,): those of the window with the nearest centre."""
        log_mel = self.net.log_mel(samples[None])[0]  # (frames, bands)
        lacking = max(
            FRAMES - len(log_mel), -(len(log_mel) - FRAMES) % HOP
        )  # frames of silence (mel energy 0) that complete the last window
        log_mel = torch.nn.functional.pad(log_mel, (0, 0, 0, lacking), value=float(np.log(0.001)))
        windows = log_mel.unfold(0, FRAMES, HOP).transpose(1, 2)  # (windows, frames, bands)
        found = torch.sigmoid(self.net.logits(windows)).numpy()
        ours = np.stack([found[:, numbers].max(axis=1) for numbers in self.columns.values()], axis=1)
        first = (FRAMES - 1) / 2 * STEP + WINDOW / self.conf.features.sample_rate / 2  # s, centre of the first window
        middles = (np.arange(steps) + 0.5) * self.grid.step_seconds
        return ours[np.clip(np.rint((middles - first) / (HOP * STEP)), 0, len(ours) - 1).astype(int)]


def columns_of(classes: Iterable[str]) -> dict[str, list[int]]:
    """Return, for each of our classes, the indices of the YAMNet classes that stand for it."""
    known: Mapping[str, Mapping[str, int]] = read_yaml(CLASSES)
    if missing := [label for label in classes if label not in known]:
        raise fail(f"no class of YAMNet stands for {', '.join(missing)}", "add its classes there, by number", CLASSES)
    return {label: list(known[label].values()) for label in classes}


if __name__ == "__main__":
    sys.exit(exit_code_of(main))
