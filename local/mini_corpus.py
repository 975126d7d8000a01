"""The mini corpus: soundscapes of synthesised or recorded sounds, in DESED's layout and file formats.

Two domains. The synthetic splits are clean mixtures. The "real" ones come from other varieties of the sounds, on other
backgrounds, and through a room and a microphone. Each clip depends on the seed, its split and its number alone,
so that the corpus is the same whatever the number of processes and wherever it was interrupted.
"""

from __future__ import annotations

import json
import multiprocessing
import os
import shutil
import threading
import zlib
from collections.abc import Callable, Iterable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from local.soundbank import SAMPLE_RATE, Sound, bank_of, class_of, listing, make, recorded, synthesised
from recipe_mtlvae.conf import Conf, conf_to_dict
from recipe_mtlvae.errors import Fault, RecipeError, fail
from recipe_mtlvae.files import content_hash, whole_file, write_json, write_text

GENERATOR_VERSION = 1  # raise it with every change that alters the corpus
EVALUATION_AUDIO = "audio/eval/evaluation"
CORPUS_FILE = "mini_corpus.json"
ID_LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"


@dataclass(frozen=True)
class Origin:
    """What a split's clips are made of."""

    real: bool
    pool: str
    event_free: float = 0.0  # share of clips without events
    name: str = "Y{id}_{start}.000_{end}.000.wav"


ORIGINS = {
    "synthetic_train": Origin(False, "train", name="{index}.wav"),
    "synthetic_validation": Origin(False, "held_out", name="{index}.wav"),
    "strong_real": Origin(True, "train"),
    "weak": Origin(True, "train"),
    "unlabeled": Origin(True, "train", event_free=0.05),
    "validation": Origin(True, "validation", event_free=0.05),
    "public": Origin(True, "validation", event_free=0.05, name="{id}_{start}_{end}.wav"),
    "evaluation": Origin(True, "validation", event_free=0.05, name="eval_{number:04d}.wav"),
}


@dataclass(frozen=True)
class Task:
    """One clip to make."""

    split: str
    index: int
    name: str
    audio: str  # folder, relative to the root


def corpus_key(conf: Conf) -> str:
    """A hash of all that determines the corpus: names its folder. Raises RecipeError where the soundbank is unfit."""
    sounds = listing(Path(conf.data.soundbank)) if conf.data.soundbank else None
    splits = conf_to_dict(conf)["data"]["splits"]
    parts = (conf.mini, conf.seed, conf.data.clip_seconds, conf.data.classes, splits, sounds, GENERATOR_VERSION)
    return content_hash(*parts)


def make_corpus(conf: Conf, root: Path, workers: int | None = None) -> None:
    """Make the corpus under `root`; what an interrupted call left is used, a complete corpus returns at once.

    workers: processes; None: one a core. Raises RecipeError where `root` holds something else, or a sound is unfit.
    """
    key = corpus_key(conf)
    if _claim(root, key):
        return
    _check_sizes(conf)
    sounds = recorded(Path(conf.data.soundbank), conf.data.classes) if conf.data.soundbank else None
    sounds = sounds or synthesised(conf.seed, conf.data.classes)
    work = root / ".work"
    with _start_processes(work, conf, sounds, workers) as processes:
        _run(processes, _make_sound, sounds, "sounds")
        for split in conf.mini:
            _make_split(processes, conf, root, work, split)
    shutil.rmtree(work)
    write_json(root / CORPUS_FILE, {"key": key, "complete": True})


def _claim(root: Path, key: str) -> bool:
    """Whether the corpus is there, complete; else marks the folder as this corpus's."""
    file = root / CORPUS_FILE
    if file.exists():
        state = json.loads(file.read_text(encoding="utf-8"))
        if state["key"] != key:
            raise fail("holds a mini corpus of another configuration", "give another --data_root, or delete it", root)
        return state["complete"]
    if root.is_dir() and any(path.name != ".lock" for path in root.iterdir()):  # the lock is stage 0's
        raise fail("is not empty and no mini corpus", "give another --data_root: making one would mix both", root)
    write_json(file, {"key": key, "complete": False})
    return False


def _check_sizes(conf: Conf) -> None:
    for split, clips in conf.mini.items():
        if clips < (split != "evaluation"):
            raise fail(f"mini.{split}: expected at least 1 clip, got {clips}")
    if conf.data.clip_seconds < 1.0:
        raise fail(f"data.clip_seconds: the mini corpus needs at least 1 s, got {conf.data.clip_seconds}")


def _make_split(processes: ProcessPoolExecutor, conf: Conf, root: Path, work: Path, split: str) -> None:
    """A split's audio, then its sources and its metadata, which appear last and say that it is whole."""
    paths = conf.data.splits.get(split)
    metadata = root / paths.metadata if paths else work / f"{split}.done"
    if metadata.exists():
        return
    audio = paths.audio if paths else EVALUATION_AUDIO
    tasks = [Task(split, i, name, audio) for i, name in enumerate(_names(conf, split))]
    _run(processes, _make_clip, tasks, split)
    truths = [json.loads(_truth_file(work, task).read_text(encoding="utf-8")) for task in tasks]
    truths.sort(key=lambda truth: truth["name"])
    if paths:
        rows = [f"{truth['name']}\t{','.join(truth['sources'])}" for truth in truths]
        write_text(root / "metadata" / "sources" / f"{split}.tsv", _table("filename\tsources", rows))
    write_text(metadata, _METADATA[paths.labels](truths) if paths else "")


def _names(conf: Conf, split: str) -> list[str]:
    """The file names of a split, by clip number: seeded, all different."""
    rng = np.random.default_rng([conf.seed, zlib.crc32(f"names of {split}".encode())])
    names: list[str] = []
    while len(names) < conf.mini[split]:
        start = 10 * int(rng.integers(0, 30))
        name = ORIGINS[split].name.format(
            id="".join(rng.choice(list(ID_LETTERS), 11)),
            start=start,
            end=start + round(conf.data.clip_seconds),
            index=len(names),
            number=len(names) + 1,
        )
        names += [name] if name not in names else []
    return names


def _table(header: str, rows: Iterable[str]) -> str:
    return "\n".join([header, *rows]) + "\n"


def _strong_table(truths: list[dict]) -> str:
    rows = []
    for truth in truths:
        rows += [f"{truth['name']}\t{on:.3f}\t{off:.3f}\t{label}" for on, off, label in truth["events"]]
        rows += [f"{truth['name']}\t\t\t"] * (not truth["events"])
    return _table("filename\tonset\toffset\tevent_label", rows)


def _weak_table(truths: list[dict]) -> str:
    rows = [f"{truth['name']}\t{','.join(sorted({event[2] for event in truth['events']}))}" for truth in truths]
    return _table("filename\tevent_labels", rows)


def _unlabeled_table(truths: list[dict]) -> str:
    return _table("filename", [truth["name"] for truth in truths])


_METADATA = {"strong": _strong_table, "weak": _weak_table, "none": _unlabeled_table}


# ---- in the worker processes ----


@dataclass(frozen=True)
class _Bench:
    """What a worker process keeps: the configuration, and where it takes sounds from and puts clips."""

    work: Path
    conf: Conf
    folders: dict[str, list[str]]  # foreground folders by bank


_bench: _Bench | None = None


def _start_processes(work: Path, conf: Conf, sounds: list[Sound], workers: int | None) -> ProcessPoolExecutor:
    """Spawned processes, each with a bench; forked ones would share this one's random states and threads."""
    folders: dict[str, set[str]] = {}
    for sound in sounds:
        if sound.role == "foreground":
            folders.setdefault(sound.bank, set()).add(sound.label)
    bench = _Bench(work.resolve(), conf, {bank: sorted(labels) for bank, labels in folders.items()})
    work.mkdir(parents=True, exist_ok=True)
    cores = workers or (len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count())
    context = multiprocessing.get_context("spawn")
    return ProcessPoolExecutor(cores, mp_context=context, initializer=_set_up, initargs=(bench,))


def _run(processes: ProcessPoolExecutor, function: Callable[[Any], list[Fault]], items: list, name: str) -> None:
    """Do all items, with a progress bar; faults of all are raised together."""
    from tqdm import tqdm

    faults = []
    for fault in tqdm(processes.map(function, items, chunksize=4), name, len(items), disable=None):
        faults += fault
    if faults:
        raise RecipeError(*faults)


def _set_up(bench: _Bench) -> None:
    """Start a worker: it works inside the folder of banks, and ends with its parent, even when that is killed."""
    global _bench
    _bench = bench
    os.chdir(bench.work)  # desed globs its folders: a root with brackets in its path would be found empty
    parent = multiprocessing.parent_process()
    threading.Thread(target=lambda: (parent.join(), os._exit(1)), daemon=True).start()


def _make_sound(sound: Sound) -> list[Fault]:
    try:
        make(sound, Path("banks"))
    except RecipeError as error:
        return list(error.faults)
    return []


def _make_clip(task: Task) -> list[Fault]:
    """Make one clip, then note its truth in the work folder: the note says that the audio is whole."""
    import soundfile

    from local.microphone import record
    from local.soundscapes import make_soundscape

    bench, origin = _bench, ORIGINS[task.split]
    note = _truth_file(bench.work, task)
    if note.exists():
        return []
    rng = np.random.default_rng([bench.conf.seed, zlib.crc32(task.split.encode()), task.index])
    from_recordings = bench.conf.data.soundbank is not None
    bank = bank_of(origin.pool, origin.real, from_recordings)
    folders = bench.folders[bank]
    classes = sorted({class_of(folder) for folder in folders})
    label = None if rng.random() < origin.event_free else classes[task.index % len(classes)]
    seed = int(rng.integers(2**31))
    made = make_soundscape(Path("banks") / bank, label, folders, bench.conf.data.clip_seconds, SAMPLE_RATE, seed)
    samples = record(made.samples, SAMPLE_RATE, rng) if origin.real else made.samples
    with whole_file(bench.work.parent / task.audio / task.name) as temporary:
        soundfile.write(temporary, np.clip(samples, -1, 1), SAMPLE_RATE, subtype="PCM_16", format="WAV")
    events = [[event.onset, event.offset, event.label] for event in made.events]
    sources = [f"{bank}/{source}" for source in made.sources]
    write_json(note, {"name": task.name, "events": events, "sources": sources})
    return []


def _truth_file(work: Path, task: Task) -> Path:
    return work / "truth" / task.split / f"{task.index}.json"
