"""Change the tiny corpus and check it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import soundfile

from recipe_mtlvae.corpus.check import CorpusCheck, check_corpus
from recipe_mtlvae.corpus.splits import Corpus
from tests.tiny import RATE, tiny_conf

TRAINING = "audio/train/strong_label_real"
STRONG = "metadata/train/audioset_strong.tsv"
PAIR = np.random.default_rng(0).uniform(-0.5, 0.5, (2 * RATE, 1)) * [1.0, 1.0]  # two equal channels
HEADER = "filename\tonset\toffset\tevent_label\n"


def checked(root: Path, *settings: str) -> CorpusCheck:
    corpus = Corpus(tiny_conf(*settings), root)
    return check_corpus(corpus, *corpus.all_files())


def noise(path: Path, seconds: float = 2.0, rate: int = RATE) -> None:
    seed = int.from_bytes(path.stem.encode()[-4:])
    soundfile.write(path, 0.1 * np.random.default_rng(seed).standard_normal(round(seconds * rate)), rate)


def copy(root: Path, one: str, other: str) -> None:
    (root / other).write_bytes((root / one).read_bytes())
