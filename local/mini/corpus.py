"""The mini corpus: soundscapes of synthesised or recorded sounds, in DESED's layout and file formats.

Two domains. The synthetic splits are clean mixtures. The "real" ones come from other varieties of the sounds, on other
backgrounds, and pass through a room and a microphone. Each clip depends only on the seed, its split and its number, so
that the corpus is the same for any number of processes, and after an interruption.
"""

from __future__ import annotations

import shutil
import zlib
from collections.abc import Iterable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from itertools import groupby
from pathlib import Path

import numpy as np

from local.mini.clip import ORIGINS, ClipMaker, PlannedClip, make_sound_file
from local.mini.soundbank import Sound, listing, recorded, synthesised
from local.mini.workers import run, set_up_worker
from recipe_mtlvae.conf import Conf, conf_to_dict
from recipe_mtlvae.conf_sections import EVALUATION
from recipe_mtlvae.errors import RecipeError, fail
from recipe_mtlvae.files import content_hash, read_json, write_json, write_text
from recipe_mtlvae.processes import start_processes

GENERATOR_VERSION = 1  # raise it with every change that alters the corpus
EVALUATION_AUDIO = "audio/eval/evaluation"
CORPUS_FILE = "mini_corpus.json"
# One TSV per split: the sounds in each clip. None for the evaluation set, because it would reveal the labels
SOURCES = "metadata/sources"
ID_LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"


def corpus_key(conf: Conf) -> str:
    """Return a hash of all that determines the corpus. Raises RecipeError if the soundbank lacks folders."""
    sounds = listing(Path(conf.data.soundbank)) if conf.data.soundbank else None
    splits = conf_to_dict(conf)["data"]["splits"]
    splits = {name: {key: split[key] for key in ("metadata", "audio", "labels")} for name, split in splits.items()}
    parts = (_clips(conf), conf.data.seed, conf.data.clip_seconds, conf.data.classes, splits, sounds, GENERATOR_VERSION)
    return content_hash(*parts)


def make_corpus(conf: Conf, root: Path, workers: int | None = None) -> None:
    """Make the corpus under `root`. What an interrupted call left is used; a complete corpus is not changed.

    workers: number of processes; None: one per core. Raises RecipeError if `root` holds something else, or a recording
    cannot be used.
    """
    key = corpus_key(conf)
    if _is_complete(root, key):
        return
    _check(conf)
    made = {name: clips for name, clips in _clips(conf).items() if name in conf.data.splits or name == EVALUATION}
    conf = replace(conf, mini=made)
    sounds = _sounds(conf)
    print(f"making the mini corpus: {sum(conf.mini.values())} clips in {root}", flush=True)
    write_json(root / CORPUS_FILE, {"key": key, "complete": False})
    work = root / ".work"
    work.mkdir(parents=True, exist_ok=True)
    maker = ClipMaker(work.resolve(), conf, _folders(sounds))
    with start_processes(set_up_worker, maker.work, workers=workers) as processes:
        _make_sounds(processes, sounds, root, work)
        for split in conf.mini:
            _make_split(processes, maker, root, work, split)
    shutil.rmtree(work)
    write_json(root / CORPUS_FILE, {"key": key, "complete": True})


def _is_complete(root: Path, key: str) -> bool:
    """Whether the corpus is complete. If not, `root` is empty or holds a part. Raises RecipeError for anything else."""
    file = root / CORPUS_FILE
    if file.exists():
        state = read_json(file) or {"key": "damaged"}
        if state["key"] != key:
            raise fail(
                "holds a mini corpus of another configuration", "give another --data_root, or move it away", root
            )
        return state["complete"]
    if root.is_dir() and _visible(root):
        raise fail("is not empty and not a mini corpus", "give another --data_root: making one would mix both", root)
    return False


def _visible(root: Path) -> list[str]:
    return [path.name for path in root.iterdir() if not path.name.startswith(".")]


def _sounds(conf: Conf) -> list[Sound]:
    if conf.data.soundbank:
        return recorded(Path(conf.data.soundbank), conf.data.classes)
    clips: dict[tuple[str, bool], int] = {}
    for split, count in conf.mini.items():
        variety = ORIGINS[split].pool, ORIGINS[split].real
        clips[variety] = clips.get(variety, 0) + count
    return synthesised(conf.data.seed, conf.data.classes, clips)


def _make_sounds(processes: ProcessPoolExecutor, sounds: list[Sound], root: Path, work: Path) -> None:
    """Write the sounds of all pools. If a recording cannot be used, `root` is left as it was found."""
    try:
        run(processes, make_sound_file, sounds, "sounds")
    except RecipeError:
        if _visible(root) == [CORPUS_FILE]:  # otherwise an earlier call has begun the splits, which stay
            shutil.rmtree(work)
            (root / CORPUS_FILE).unlink()
        raise


def _clips(conf: Conf) -> dict[str, int]:
    """Return the number of clips of each split that is made."""
    return {split: clips for split, clips in conf.mini.items() if clips}


def _check(conf: Conf) -> None:
    for split in conf.mini:
        if split not in ORIGINS:
            raise fail(f"mini.{split}: the mini corpus has no such split", f"expected some of {', '.join(ORIGINS)}")
    if conf.data.clip_seconds < 1.0:
        raise fail(f"data.clip_seconds: the mini corpus needs at least 1 s, got {conf.data.clip_seconds}")


def _make_split(processes: ProcessPoolExecutor, maker: ClipMaker, root: Path, work: Path, split: str) -> None:
    """Make a split: its audio, its sources, and last its metadata, which mark the split as complete."""
    conf = maker.conf
    paths = conf.data.splits.get(split)
    metadata = root / paths.metadata if paths else work / f"{split}.done"
    if metadata.exists():
        return
    audio = paths.audio if paths else EVALUATION_AUDIO
    clips = [PlannedClip(split, i, name, audio) for i, name in enumerate(_names(conf, split))]
    run(processes, maker.make, clips, split)
    for left in (root / audio).glob(".*"):  # half-written by a process that was killed
        left.unlink()
    truths = [read_json(clip.note(work)) for clip in clips]
    truths.sort(key=lambda truth: truth["name"])
    if paths:
        rows = [f"{truth['name']}\t{source}" for truth in truths for source in truth["sources"]]
        write_text(root / SOURCES / f"{split}.tsv", _table("filename\tsource", rows))
    write_text(metadata, _METADATA[paths.labels](truths) if paths else "")


def _names(conf: Conf, split: str) -> list[str]:
    """Return the file names of a split, by clip number: seeded, all different."""
    rng = np.random.default_rng([conf.data.seed, zlib.crc32(f"names of {split}".encode())])
    names: dict[str, None] = {}
    while len(names) < conf.mini[split]:
        start = 10 * int(rng.integers(0, 30))
        name = ORIGINS[split].name.format(
            id="".join(rng.choice(list(ID_LETTERS), 11)),
            start=start,
            end=start + round(conf.data.clip_seconds),
            index=len(names),
            number=len(names) + 1,
        )
        names[name] = None
    return list(names)


def _table(header: str, rows: Iterable[str]) -> str:
    return "\n".join([header, *rows]) + "\n"


def strong_table(truths: list[dict]) -> str:
    """Return a strong TSV from the notes of clips (name, events)."""
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


_METADATA = {"strong": strong_table, "weak": _weak_table, "none": _unlabeled_table}


def _folders(sounds: list[Sound]) -> dict[str, list[str]]:
    """Return the foreground folders of each bank, sorted."""
    found = sorted({(sound.bank, sound.label) for sound in sounds if sound.role == "foreground"})
    return {bank: [label for _, label in labels] for bank, labels in groupby(found, key=lambda pair: pair[0])}
