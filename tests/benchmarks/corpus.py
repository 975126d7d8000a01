"""A corpus of noise in DESED's layout with its feature stores, as large as an epoch needs it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import soundfile

from recipe_mtlvae.conf import Conf, load_conf
from recipe_mtlvae.data.corpus import read_files, store_folder
from recipe_mtlvae.data.store import build_store

# Training draws 25 batches an epoch from them, over and over; selection has as many clips as in the mini corpus
CLIPS = {"synthetic_train": 60, "strong_real": 60, "weak": 120, "unlabeled": 60, "synthetic_validation": 80}
CLASSES = tuple(f"class{number}" for number in range(10))


def corpus_conf(*settings: str) -> Conf:
    unused = [f"data.splits.{name}=null" for name in load_conf().data.splits if name not in CLIPS]
    data = ["data.name=noise", "data.prepare=none", f"data.classes=[{', '.join(CLASSES)}]"]
    return load_conf(settings=[*data, *unused, "train.accelerator=cpu", *settings])


def make_corpus(root: Path, conf: Conf) -> None:
    """Write every split of `conf` and build its feature store."""
    rng = np.random.default_rng(0)
    rate, seconds = conf.features.sample_rate, conf.data.clip_seconds
    for name, split in conf.data.splits.items():
        rows = []
        for number in range(CLIPS[name]):
            clip, label = f"{name}_{number}.wav", CLASSES[number % len(CLASSES)]
            path = root / split.audio / clip
            path.parent.mkdir(parents=True, exist_ok=True)
            soundfile.write(path, 0.1 * rng.standard_normal(round(seconds * rate)), rate)
            cells = {"strong": f"\t1.0\t4.0\t{label}", "weak": f"\t{label}", "none": ""}
            rows.append(clip + cells[split.labels])
        header = {"strong": "\tonset\toffset\tevent_label", "weak": "\tevent_labels", "none": ""}[split.labels]
        metadata = root / split.metadata
        metadata.parent.mkdir(parents=True, exist_ok=True)
        metadata.write_text("\n".join(["filename" + header, *rows]) + "\n")
        clips = read_files(conf, root, name, CLASSES).clips
        build_store(clips, store_folder(conf, root, name), conf.features, seconds, False)
