"""A corpus for the benchmarks: feature stores of the default shapes, just large enough for an epoch."""

from __future__ import annotations

from pathlib import Path

from recipe_mtlvae.conf import Conf, load_conf
from tests.tiny import TONES, make_tiny_corpus

# Training draws its batches from these clips repeatedly; the select split is as large as in the mini corpus
CLIPS = {"synthetic_train": 60, "strong_real": 60, "weak": 120, "unlabeled": 60, "synthetic_validation": 80}
CLASSES = (*TONES, *(f"class{number}" for number in range(10 - len(TONES))))


def corpus_conf(*settings: str) -> Conf:
    """Return a configuration with ten classes and the splits that training reads.

    Clips last 10 s: the shorter clips of the tiny corpus are padded.
    """
    unused = [f"data.splits.{name}=null" for name in load_conf().data.splits if name not in CLIPS]
    data = ["data.name=tiny", "data.prepare=none", f"data.classes=[{', '.join(CLASSES)}]"]
    return load_conf(settings=[*data, *unused, "train.accelerator=cpu", *settings])


def make_corpus(root: Path, conf: Conf) -> None:
    make_tiny_corpus(root, conf, counts=CLIPS)
