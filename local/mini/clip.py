"""Make one clip of the mini corpus, in a worker process."""

from __future__ import annotations

import zlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from local.mini.soundbank import SAMPLE_RATE, Sound, bank_of, class_of, make, origin_of, write_wav
from recipe_mtlvae.conf import Conf
from recipe_mtlvae.errors import Fault, RecipeError
from recipe_mtlvae.files import write_json


@dataclass(frozen=True)
class Origin:
    """What a split's clips are made of."""

    real: bool  # the domain: real or synthetic
    pool: str  # of soundbank.POOLS
    event_free: float = 0.0  # share of clips without events
    name: str = "Y{id}_{start}.000_{end}.000.wav"


ORIGINS = {
    "synthetic_train": Origin(False, "train", name="{index}.wav"),
    "synthetic_validation": Origin(False, "held_out", name="{index}.wav"),
    "real_validation": Origin(True, "held_out", event_free=0.05),
    "strong_real": Origin(True, "train"),
    "weak": Origin(True, "train"),
    "unlabeled": Origin(True, "train", event_free=0.05),
    "validation": Origin(True, "validation", event_free=0.05),
    "public": Origin(True, "validation", event_free=0.05, name="{id}_{start}_{end}.wav"),
    "evaluation": Origin(True, "validation", event_free=0.05, name="eval_{number:04d}.wav"),
}


@dataclass(frozen=True)
class PlannedClip:
    split: str
    index: int
    name: str
    audio: str  # folder, relative to the root

    def note(self, work: Path) -> Path:
        """Return the path of the JSON that marks a finished clip: name, events ([onset, offset, label]), sources."""
        return work / "truth" / self.split / f"{self.index}.json"


@dataclass(frozen=True)
class ClipMaker:
    """Makes the clips of the mini corpus, in worker processes."""

    work: Path  # its folder banks/ holds the sounds
    conf: Conf
    folders: dict[str, list[str]]  # foreground folders by bank

    def make(self, clip: PlannedClip) -> list[Fault]:
        """Make one clip, then note its truth in the work folder."""
        from local.mini.microphone import record
        from local.mini.soundscapes import make_soundscape

        origin, data = ORIGINS[clip.split], self.conf.data
        note = clip.note(self.work)
        if note.exists():
            return []
        rng = np.random.default_rng([data.seed, zlib.crc32(clip.split.encode()), clip.index])
        from_recordings = data.soundbank is not None
        bank = bank_of(origin.pool, origin.real, from_recordings)
        folders = self.folders[bank]
        classes = sorted({class_of(folder) for folder in folders})
        label = None if rng.random() < origin.event_free else classes[clip.index % len(classes)]
        seed = int(rng.integers(2**31))
        made = make_soundscape(Path("banks") / bank, label, folders, data.clip_seconds, SAMPLE_RATE, seed)
        samples = record(made.samples, SAMPLE_RATE, rng) if origin.real else made.samples
        write_wav(self.work.parent / clip.audio / clip.name, samples)
        sources = sorted(origin_of(f"{bank}/{source}", from_recordings) for source in made.sources)
        write_json(note, {"name": clip.name, "events": made.triples, "sources": sources})
        return []


def make_sound_file(sound: Sound) -> list[Fault]:
    """Put one sound into its pool. Returns the faults of its recording."""
    try:
        make(sound, Path("banks"))
    except RecipeError as error:
        return list(error.faults)
    return []
