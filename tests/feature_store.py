"""Feature stores of a few short clips; a part of THREE_CLIPS bytes holds three of them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import soundfile

from recipe_mtlvae.conf import load_conf
from recipe_mtlvae.corpus.metadata import Clip
from recipe_mtlvae.inputs.log_mel import LogMelInput
from recipe_mtlvae.inputs.store import StoreJob, StoreReport, build_stores

SECONDS = 0.25
SOURCE = LogMelInput(load_conf(settings=[f"data.clip_seconds={SECONDS}"]))
SHAPE = SOURCE.shape
THREE_CLIPS = 3 * 2 * SHAPE[0] * SHAPE[1]  # bytes


def write_clip(path: Path, seed: int, seconds: float = SECONDS) -> Clip:
    samples = 0.1 * np.random.default_rng(seed).standard_normal(round(seconds * 16000))
    soundfile.write(path, samples, 16000)
    return Clip(path.name, path, None, None)


def eight_clips(folder: Path) -> list[Clip]:
    folder.mkdir()
    return [write_clip(folder / f"{number}.wav", number) for number in range(8)]


def build(clips: list[Clip], folder: Path, workers: int = 1) -> StoreReport:
    return build_stores([StoreJob(clips, folder)], SOURCE, workers)[0]


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def spoil(clips: list[Clip]) -> None:
    """Make two of the clips unreadable."""
    clips[2].path.write_text("no audio")
    clips[6].path.write_bytes(b"")
