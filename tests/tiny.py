"""A corpus of a few short clips in DESED's layout, made in a second: tones for events, noise for the rest."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import soundfile
import torch

from recipe_mtlvae.conf import Conf, load_conf
from recipe_mtlvae.corpus.splits import Corpus
from recipe_mtlvae.inputs.prepared import store_folder
from recipe_mtlvae.inputs.registry import inputs_of
from recipe_mtlvae.inputs.store import StoreJob, build_stores
from recipe_mtlvae.nets.checkpoint import build_network, recipe_entry

RATE = 16000
SECONDS = 2.0
VALIDATION, AUDIO = "metadata/validation/validation.tsv", "audio/validation/validation"  # one split, below the root
TONES = {"Beep": 440.0, "Hum": 1760.0}  # class: Hz
SETTINGS = [
    "data.name=tiny",
    "data.prepare=none",
    "data.classes=[Beep, Hum]",
    f"data.clip_seconds={SECONDS}",
    "vae.hidden=16",
    "vae.latent=8",
    "train.batch_size=8",
    "train.max_epochs=2",
    "train.epoch_steps=null",
    "train.accelerator=cpu",
    "train.devices=1",
    "postprocess.median_filter=3",
]
COUNTS = {
    "synthetic_train": 6,
    "strong_real": 6,
    "weak": 10,
    "unlabeled": 6,
    "synthetic_validation": 4,
    "validation": 4,
    "public": 3,
}


def tiny_conf(*settings: str) -> Conf:
    return load_conf(settings=[*SETTINGS, *settings])


def make_tiny_corpus(root: Path, conf: Conf, stores: bool = True, counts: Mapping[str, int] = COUNTS) -> Path:
    """Write every split of `conf` below `root`, with its features if `stores`. `counts` overrides numbers of COUNTS."""
    rng = np.random.default_rng(0)
    for name, split in conf.data.splits.items():
        rows = []
        for number in range({**COUNTS, **counts}[name]):
            clip = f"{name}_{number}.wav"
            label = list(TONES)[number % len(TONES)]
            onset, offset = 0.25 + 0.125 * (number % 3), 1.25 + 0.125 * (number % 4)
            _write_clip(root / split.audio / clip, label, onset, offset, rng)
            cells = {"strong": f"\t{onset}\t{offset}\t{label}", "weak": f"\t{label}", "none": ""}
            rows.append(clip + cells[split.labels])
        header = {"strong": "\tonset\toffset\tevent_label", "weak": "\tevent_labels", "none": ""}[split.labels]
        metadata = root / split.metadata
        metadata.parent.mkdir(parents=True, exist_ok=True)
        metadata.write_text("\n".join(["filename" + header, *rows]) + "\n")
    for number in range(3):
        _write_clip(root / "audio" / "eval" / "evaluation" / f"any name {number}.wav", "Beep", 0.5, 1.5, rng)
    if stores:
        corpus = Corpus(conf, root)
        for source in inputs_of(conf).values():
            folders = {name: store_folder(source, root, name) for name in corpus.splits}
            build_stores([StoreJob(corpus.files(name).clips, folder) for name, folder in folders.items()], source, 1)
    return root


def recording(path: Path, seconds: float = 2.0) -> Path:
    """Write a recording of faint noise."""
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, np.random.default_rng(0).uniform(-0.1, 0.1, round(seconds * RATE)), RATE)
    return path


def append(path: Path, row: str) -> None:
    """Append a row to a TSV."""
    with path.open("a") as file:
        file.write(row + "\n")


def save_tiny_checkpoint(path: Path, classes: tuple[str, ...] = tuple(TONES)) -> Path:
    """Save a network with random weights as the trainer would."""
    torch.manual_seed(0)
    conf = tiny_conf()
    weights = {f"net.{name}": value for name, value in build_network(conf, len(classes)).state_dict().items()}
    torch.save({"state_dict": weights, "epoch": 0, "global_step": 0, "recipe": recipe_entry(conf, classes)}, path)
    return path


def _write_clip(path: Path, label: str, onset: float, offset: float, rng: np.random.Generator) -> None:
    time = np.arange(int(SECONDS * RATE)) / RATE
    tone = np.sin(2 * np.pi * TONES[label] * time) * ((time >= onset) & (time < offset))
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, 0.5 * tone + 0.01 * rng.standard_normal(len(time)), RATE)
