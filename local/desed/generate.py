"""Generate a split of synthetic soundscapes from DESED's soundbank: seeded, any number, on all cores."""

from __future__ import annotations

import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from local.desed.bank import bank_folder, fetch_bank, require_sounds
from local.desed.clip_file import move
from local.desed.occurrences import main_event, read_occurrences
from local.desed.tree_split import TreeSplit
from local.mini.corpus import strong_table
from local.mini.soundbank import SAMPLE_RATE, listing, write_wav
from local.mini.workers import run, set_up_worker
from recipe_mtlvae.errors import Fault, fail
from recipe_mtlvae.files import content_hash, read_json, write_json, write_text
from recipe_mtlvae.processes import start_processes


@dataclass(frozen=True)
class SoundscapeMaker:
    """Makes the clips of a split, in worker processes."""

    bank: Path  # a part's foreground and background
    audio: Path  # where the clips go
    work: Path  # where they are made, and noted when they are complete
    figures: dict[str, dict]  # desed's co-occurrence figures
    split: str
    clips: int
    seconds: float
    seed: int

    def note(self, index: int) -> Path:
        """Return the path of the note that marks a clip as complete: JSON of name, events."""
        return self.work / f"{index}.json"

    def make(self, index: int) -> list[Fault]:
        """Make one clip, move it to its place, then note its truth."""
        from local.mini.soundscapes import make_soundscape

        name, note = _clip(index), self.note(index)
        if note.exists() and (self.audio / name).exists():
            return []
        seed = int(np.random.default_rng([self.seed, zlib.crc32(self.split.encode()), index]).integers(2**31))
        main = main_event(self.figures, index, self.clips)
        occurrences = {folder: entry["co-occurences"] for folder, entry in self.figures.items()}
        made = make_soundscape(Path("."), main, [], self.seconds, SAMPLE_RATE, seed, occurrences)
        write_wav(self.work / name, made.samples)
        move(self.work / name, self.audio / name)
        write_json(note, {"name": name, "events": made.triples})
        return []


def generate(split: TreeSplit) -> None:
    """Make the soundscapes that a split lacks, then its metadata, which mark the split as complete.

    A killed run is continued. Raises RecipeError if sounds are missing, or the split was begun from other sounds or
    figures.
    """
    conf, work = split.conf, split.work
    folder = bank_folder(conf, split.root)
    if not conf.data.soundbank:
        fetch_bank(split.root, work, split.archives)
    figures = read_occurrences(conf, work / "occurrences.json")
    labels = {*figures, *(label for entry in figures.values() for label in entry["co-occurences"]["classes"])}
    bank = require_sounds(folder, "train" if split.split.role == "train" else "validation", labels)
    settings = _settings(split)
    key = content_hash(settings, figures, listing(folder))
    marker = _marker(split)
    if marker.exists() and (read_json(marker) or {}).get("key") != key:
        raise fail("was begun with other sounds or co-occurrence figures", _move_away(split), marker)
    write_json(work / marker.name, {**settings, "key": key})
    marker.parent.mkdir(parents=True, exist_ok=True)
    move(work / marker.name, marker)
    split.audio.mkdir(parents=True, exist_ok=True)
    begun = work / "soundscapes" / split.name
    begun.mkdir(parents=True, exist_ok=True)
    maker = SoundscapeMaker(bank, split.audio, begun, figures, split.name, **settings)
    is_complete = split.table.exists()
    lost = [i for i in range(maker.clips) if not (is_complete and (maker.audio / _clip(i)).exists())]
    print(f"{split.name}: making {len(lost):,} soundscapes from {folder}", flush=True)
    with start_processes(set_up_worker, bank) as processes:
        run(processes, maker.make, lost, split.name)
    if is_complete:
        return
    truths = sorted((read_json(maker.note(index)) for index in range(maker.clips)), key=lambda truth: truth["name"])
    write_text(begun / "soundscapes.tsv", strong_table(truths))
    move(begun / "soundscapes.tsv", split.table)


def check_origin(split: TreeSplit) -> None:
    """Raise RecipeError if a split holds soundscapes of another origin than the configuration asks for."""
    marker, audio, name = _marker(split), split.audio, split.name
    if not split.is_generated:
        if marker.exists():
            hint = f"give data.synthetic=generate, or {_move_away(split)}"
            raise fail(f"split '{name}' holds soundscapes that were generated", hint, marker)
    elif marker.exists():
        made, asked = (read_json(marker) or {}), _settings(split)
        others = [f"{key} {made.get(key)}, not {asked[key]}" for key in asked if made.get(key) != asked[key]]
        if others:
            raise fail(f"split '{name}' was generated with {'; '.join(others)}", _move_away(split), marker)
    elif split.table.exists() or (audio.is_dir() and any(audio.iterdir())):
        hint = "give data.synthetic=download, or another --data_root"
        raise fail(f"split '{name}' holds soundscapes that were not generated here", hint, split.root)


def soundscape_bytes(split: TreeSplit) -> int:
    settings = _settings(split)
    return round(settings["clips"] * settings["seconds"] * SAMPLE_RATE * 2)


def _settings(split: TreeSplit) -> dict[str, Any]:
    data = split.conf.data
    return {"clips": split.conf.fetch.soundscapes[split.name], "seconds": data.clip_seconds, "seed": data.seed}


def _move_away(split: TreeSplit) -> str:
    """Return a hint to move all files of the split: a table that stays would describe other sounds."""
    return f"move {split.audio}, {split.table} and {_marker(split)} away"


def _marker(split: TreeSplit) -> Path:
    """Return the path of the file, beside the metadata, that marks a split as generated and holds its settings."""
    return split.table.with_suffix(".generated.json")


def _clip(index: int) -> str:
    return f"{index}.wav"
