"""A split of synthetic soundscapes, made from DESED's soundbank: seeded, any number, on all cores."""

from __future__ import annotations

import json
import zlib
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from local.desed.archives import Archives
from local.desed.bank import bank_folder, fetch_bank, require_sounds
from local.desed.clip_file import move
from local.desed.occurrences import main_event, read_occurrences
from local.mini.corpus import strong_table
from local.mini.soundbank import SAMPLE_RATE, listing, write_wav
from local.workers import run, set_up_worker
from recipe_mtlvae.conf import Conf
from recipe_mtlvae.errors import Fault, fail
from recipe_mtlvae.files import content_hash, write_json, write_text
from recipe_mtlvae.processes import start_processes


@dataclass(frozen=True)
class Bench:
    """What a worker keeps."""

    bank: Path  # a part's foreground and background
    audio: Path  # where the clips go
    work: Path  # where they are made, and noted when they are whole
    figures: dict[str, dict]  # desed's co-occurrence figures
    split: str
    clips: int
    seconds: float
    seed: int


_bench: Bench | None = None


def generate(conf: Conf, root: Path, work: Path, name: str, archives: Archives) -> None:
    """Make the soundscapes of a split that are not there yet, then its metadata, which say that it is whole.

    work: for what is under way; a killed run goes on from it. Raises RecipeError where sounds are lacking or the split
    was begun with others.
    """
    split = conf.data.splits[name]
    folder = bank_folder(conf, root)
    if not conf.data.soundbank:
        fetch_bank(root, work, archives)
    figures = read_occurrences(conf, work / "occurrences.json")
    labels = {*figures, *(label for entry in figures.values() for label in entry["co-occurences"]["classes"])}
    bank = require_sounds(folder, "train" if split.role == "train" else "validation", labels)
    settings = _settings(conf, name)
    key = content_hash(settings, figures, listing(folder))
    marker = _marker(conf, root, name)
    if marker.exists() and _read(marker)["key"] != key:
        raise fail("was begun from other sounds or figures", f"move it and {root / split.audio} away", marker)
    write_json(work / marker.name, {**settings, "key": key})
    marker.parent.mkdir(parents=True, exist_ok=True)
    move(work / marker.name, marker)
    (root / split.audio).mkdir(parents=True, exist_ok=True)
    begun = work / "soundscapes" / name
    begun.mkdir(parents=True, exist_ok=True)
    bench = Bench(bank, root / split.audio, begun, figures, name, **settings)
    is_whole = (root / split.metadata).exists()
    lost = [i for i in range(bench.clips) if not (is_whole and (bench.audio / _clip(i)).exists())]
    print(f"{name}: making {len(lost):,} soundscapes from {folder}", flush=True)
    try:
        with start_processes(_set_up, bench) as processes:
            run(processes, _make, lost, name)
    except BrokenProcessPool:
        raise fail("a process that made soundscapes was ended", "free some memory and run the same again") from None
    if is_whole:
        return
    truths = sorted((_read(_note(bench, index)) for index in range(bench.clips)), key=lambda truth: truth["name"])
    write_text(begun / "soundscapes.tsv", strong_table(truths))
    move(begun / "soundscapes.tsv", root / split.metadata)


def check_origin(conf: Conf, root: Path, name: str, generated: bool) -> None:
    """Raise RecipeError where a split holds soundscapes of another origin than the configuration asks for."""
    marker, audio = _marker(conf, root, name), root / conf.data.splits[name].audio
    if not generated:
        if marker.exists():
            hint = f"give data.synthetic=generate, or move it and {audio} away"
            raise fail(f"split '{name}' holds soundscapes that were generated", hint, marker)
        return
    if marker.exists():
        made, asked = _read(marker), _settings(conf, name)
        others = [f"{key} {made[key]}, not {asked[key]}" for key in asked if made[key] != asked[key]]
        if others:
            raise fail(f"split '{name}' was generated with {'; '.join(others)}", f"move it and {audio} away", marker)
    elif audio.is_dir() and any(audio.iterdir()):
        hint = "give data.synthetic=download, or another --data_root"
        raise fail(f"split '{name}' holds soundscapes that were not generated here", hint, audio)


def soundscape_bytes(conf: Conf, name: str) -> int:
    return round(conf.fetch.soundscapes[name] * conf.data.clip_seconds * SAMPLE_RATE * 2)


def _settings(conf: Conf, name: str) -> dict[str, Any]:
    return {"clips": conf.fetch.soundscapes[name], "seconds": conf.data.clip_seconds, "seed": conf.data.seed}


def _marker(conf: Conf, root: Path, name: str) -> Path:
    """Beside the metadata: says that the split is generated, and from what."""
    return (root / conf.data.splits[name].metadata).with_suffix(".generated.json")


def _read(file: Path) -> dict[str, Any]:
    return json.loads(file.read_text(encoding="utf-8"))


def _set_up(bench: Bench) -> None:
    global _bench
    _bench = bench
    set_up_worker(bench.bank)


def _clip(index: int) -> str:
    return f"{index}.wav"


def _note(bench: Bench, index: int) -> Path:
    return bench.work / f"{index}.json"


def _make(index: int) -> list[Fault]:
    """Make one clip, put it in its place, then note its truth: the note says that the audio is whole."""
    from local.mini.soundscapes import make_soundscape

    bench, name = _bench, _clip(index)
    note = _note(bench, index)
    if note.exists() and (bench.audio / name).exists():
        return []
    seed = int(np.random.default_rng([bench.seed, zlib.crc32(bench.split.encode()), index]).integers(2**31))
    main = main_event(bench.figures, index, bench.clips)
    occurrences = {folder: entry["co-occurences"] for folder, entry in bench.figures.items()}
    made = make_soundscape(Path("."), main, [], bench.seconds, SAMPLE_RATE, seed, occurrences)
    write_wav(bench.work / name, made.samples)
    move(bench.work / name, bench.audio / name)
    events = [[event.onset, event.offset, event.label] for event in made.events]
    write_json(note, {"name": name, "events": events})
    return []
