"""A corpus with feature stores of the default shapes, as large as an epoch needs it."""

from __future__ import annotations

from pathlib import Path

from recipe_mtlvae.conf import Conf, load_conf
from tests.tiny import TONES, make_tiny_corpus

# Training draws its batches from them over and over; selection has as many clips as in the mini corpus
CLIPS = {"synthetic_train": 60, "strong_real": 60, "weak": 120, "unlabeled": 60, "synthetic_validation": 80}
CLASSES = (*TONES, *(f"class{number}" for number in range(10 - len(TONES))))


def corpus_conf(*settings: str) -> Conf:
    """Ten classes and clips of 10 s, into which the tiny corpus's are padded; no split that training does not read."""
    unused = [f"data.splits.{name}=null" for name in load_conf().data.splits if name not in CLIPS]
    data = ["data.name=tiny", "data.prepare=none", f"data.classes=[{', '.join(CLASSES)}]"]
    return load_conf(settings=[*data, *unused, "train.accelerator=cpu", *settings])


def make_corpus(root: Path, conf: Conf) -> None:
    make_tiny_corpus(root, conf, counts=CLIPS)
