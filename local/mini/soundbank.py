"""The sounds that the mini corpus is built from, in three pools: train, held_out, validation.

Each pool becomes a folder with foreground/<label>/*.wav and background/<label>/*.wav at SAMPLE_RATE, made from
recordings (data.soundbank) or from synthesised sounds.
"""

from __future__ import annotations

import io
import re
import zlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from local.mini.sounds import FOREGROUNDS, REAL_BACKGROUNDS, SAMPLE_RATE, SYNTHETIC_BACKGROUNDS, make_sound
from recipe_mtlvae.audio.decoding import read_audio
from recipe_mtlvae.corpus.audio_stats import SILENT_PEAK
from recipe_mtlvae.errors import Fault, RecipeError, fail, warn
from recipe_mtlvae.files import atomic_write

ROLES = ("foreground", "background")
POOLS = ("train", "held_out", "validation")
HELD_OUT = 5  # every fifth source recording of `train` is for the select splits alone
MIN_SECONDS = 0.05  # of a recording
SUFFIXES = (".wav", ".flac", ".ogg", ".aif", ".aiff", ".mp3")

# The most synthesised sounds per label, in each of a pool's varieties, synthetic and real
FOREGROUND_VARIANTS = {"train": 30, "held_out": 8, "validation": 16}
BACKGROUND_VARIANTS = {"train": 6, "held_out": 3, "validation": 5}


@dataclass(frozen=True)
class Sound:
    """One sound of a pool: where it goes, and what it is made of."""

    bank: str  # "train", "held_out" or "validation", with "-real" for the real variety of synthesised sounds
    role: str  # foreground | background
    label: str  # the folder's name, with desed's marks _nOn and _nOff
    name: str  # file name in the pool
    recording: Path | None  # None: synthesised
    seed: tuple[int, ...] = ()

    @property
    def place(self) -> str:
        """Return the file's path under the folder of all banks."""
        return f"{self.bank}/{self.role}/{self.label}/{self.name}"


def class_of(folder: str) -> str:
    """Return the class of a soundbank folder: its name without desed's marks for cut onsets and offsets."""
    return folder.replace("_nOff", "").replace("_nOn", "")


def bank_of(pool: str, real: bool, from_recordings: bool) -> str:
    """Return the bank of a pool for a domain. Recordings serve both; of synthesised sounds, each has its own."""
    return pool if from_recordings or not real else f"{pool}-real"


def synthesised(seed: int, classes: Sequence[str] | None, clips: Mapping[tuple[str, bool], int]) -> list[Sound]:
    """List the synthesised sounds for a number of `clips` of each variety (pool, real); few clips need few sounds.

    Raises RecipeError for a class that cannot be synthesised.
    """
    classes = tuple(classes or FOREGROUNDS)
    unknown = [name for name in classes if name not in FOREGROUNDS]
    if unknown:
        known = f"expected some of {', '.join(FOREGROUNDS)}"
        raise fail(f"data.classes: no synthesised sounds of {', '.join(unknown)}", f"{known}, or give --soundbank DIR")
    sounds = []
    for (pool, real), count in clips.items():
        backgrounds = REAL_BACKGROUNDS if real else SYNTHETIC_BACKGROUNDS
        labels = [("foreground", name, FOREGROUND_VARIANTS[pool]) for name in classes]
        labels += [("background", name, BACKGROUND_VARIANTS[pool]) for name in backgrounds]
        bank = bank_of(pool, real, from_recordings=False)
        for role, label, most in labels:
            for i in range(min(most, 2 + count // 4)):
                key = (seed, zlib.crc32(f"{bank}/{label}".encode()), i)
                sounds.append(Sound(bank, role, label, f"{i:03d}.wav", None, key))
    return sounds


def recorded(folder: Path, classes: Sequence[str] | None) -> list[Sound]:
    """List the recordings of a soundbank, with a fifth of `train` moved to `held_out`.

    Takes of one Freesound recording in `train` stay in one pool, even from several folders. Takes in both `train` and
    `validation` cause a warning. Raises RecipeError with all the faults found.
    """
    parts = {part: part_folder(folder, part) for part in ("train", "validation")}
    faults: list[Fault] = []
    sounds: list[Sound] = []
    for part, place in parts.items():
        files = {role: _list_role(place / role, role, classes, faults) for role in ROLES}
        held = _held_out(files) if part == "train" else set()
        for role, labels in files.items():
            for label, recordings in labels.items():
                for file in recordings:
                    pool = "held_out" if source_of(file) in held else part
                    sounds.append(Sound(pool, role, label, f"{file.name}.wav", file))
    faults += _pool_faults(sounds, folder, classes) if not faults else []
    if faults:
        raise RecipeError(*faults)
    if both := _in_both_parts(sounds):
        what = f"{folder}: {len(both)} source recordings have takes in train and in validation, such as {both[0]}"
        warn(f"{what}: test scores will be too high; move all takes of a recording to one of them")
    return sounds


def _in_both_parts(sounds: Iterable[Sound]) -> list[str]:
    """Return the source recordings, known by their id, from which both training and test sounds are taken, sorted."""
    parts: dict[bool, set[str]] = {False: set(), True: set()}
    for sound in sounds:
        parts[sound.bank == "validation"].add(source_of(sound.recording))
    return sorted(source for source in parts[False] & parts[True] if source.isdecimal())


def listing(folder: Path) -> list[list]:
    """Return relative path and size of each sound file of a soundbank, sorted, to tell one soundbank from another."""
    files = []
    for part in ("train", "validation"):
        place = part_folder(folder, part)
        for role in ROLES:
            for file in (place / role).glob("*/*"):
                if _is_audio(file):
                    files.append([f"{part}/{file.relative_to(place).as_posix()}", file.stat().st_size])
    return sorted(files)


def source_of(file: Path) -> str:
    """Return the source recording of a file: takes named <id>_<take>, or <fold>-<id>-<take> as in ESC, share their id.

    Any other name is a recording of its own, within its class: `001.wav` of two labels is two sources.
    """
    match = re.fullmatch(r"\d-(\d+)-[A-Z](?:-\d+)?|(\d{4,})[-_][A-Za-z0-9]{1,3}", file.stem)
    return (match.group(1) or match.group(2)) if match else f"{class_of(file.parent.name)}/{file.stem}"


def origin_of(place: str, from_recordings: bool) -> str:
    """Return the name of a pool's file for users: the path in the soundbank for a recording."""
    if not from_recordings:
        return place
    pool, rest = place.removesuffix(".wav").split("/", 1)
    return f"{'validation' if pool == 'validation' else 'train'}/{rest}"


def make(sound: Sound, folder: Path) -> None:
    """Write a sound, mono 16-bit at SAMPLE_RATE, unless it is there. Raises RecipeError for an unusable recording."""
    target = folder / sound.place
    if target.exists():
        return
    if sound.recording is None:
        write_wav(target, make_sound(sound.label, sound.bank.endswith("-real"), sound.seed))
    else:
        write_wav(target, _read(sound.recording))


def write_wav(file: Path, samples: np.ndarray) -> None:
    """Write (n,) samples, cut to [-1, 1], as 16-bit WAV at SAMPLE_RATE, whole or not at all."""
    import soundfile

    encoded = io.BytesIO()  # soundfile's own writing does not tell a full disk from other faults
    soundfile.write(encoded, np.clip(samples, -1, 1), SAMPLE_RATE, subtype="PCM_16", format="WAV")
    with atomic_write(file) as temporary:
        temporary.write_bytes(encoded.getvalue())


def _read(file: Path) -> np.ndarray:
    audio = read_audio(file, SAMPLE_RATE, None)
    elsewhere = "move it out of the soundbank"
    if audio.duration < MIN_SECONDS:
        raise fail(f"lasts {audio.duration:.3f} s: expected at least {MIN_SECONDS} s", elsewhere, file)
    if np.abs(audio.samples).max() < SILENT_PEAK:
        raise fail("is silent once mixed to mono: no sound to put into a soundscape", elsewhere, file)
    return audio.samples


def part_folder(folder: Path, part: str) -> Path:
    """Return the folder `train` or `validation` of a soundbank, in this project's layout or in DESED's own."""
    for place in (folder / part, folder / "audio" / part / "soundbank"):
        if (place / "foreground").is_dir():
            return place
    what = f"no {part}/foreground in this soundbank"
    hint = "expected {train,validation}/{foreground,background}/<label>/*.wav or audio/{train,validation}/soundbank/..."
    raise fail(what, hint, folder)


def _is_audio(file: Path) -> bool:
    return file.suffix.lower() in SUFFIXES and not file.name.startswith(".") and file.is_file()


def _list_role(folder: Path, role: str, classes: Sequence[str] | None, faults: list[Fault]) -> dict[str, list[Path]]:
    """Return the files by label, both sorted. Adds faults for empty labels, and for names that cannot be used."""
    labels: dict[str, list[Path]] = {}
    folders = sorted(entry for entry in folder.iterdir() if entry.is_dir()) if folder.is_dir() else []
    for entry in folders:
        if entry.name.startswith(".") or (role == "foreground" and classes and class_of(entry.name) not in classes):
            continue
        if set(entry.name) & set("*?[],\t\r\n\"'\\"):
            faults.append(
                Fault("a label cannot hold * ? [ ] , quotes, backslashes or tabs", "rename the folder", entry)
            )
            continue
        labels[entry.name] = sorted(file for file in entry.iterdir() if _is_audio(file))
        faults += [
            Fault("a recording's name cannot hold tabs or line breaks", "rename it", file)
            for file in labels[entry.name]
            if set(file.name) & set("\t\r\n")
        ]
        if not labels[entry.name]:
            what = f"no recordings of this label: expected files ending in {', '.join(SUFFIXES)}"
            faults.append(Fault(what, "add some, or move the folder out of the soundbank", entry))
    if not labels and not faults:
        faults.append(Fault(f"no {role} labels: expected one folder a label", "add some", folder))
    return labels


def _held_out(files: dict[str, dict[str, list[Path]]]) -> set[str]:
    """Return the held-out sources: of each class every fifth by name, unless an earlier class decided on the source."""
    held: set[str] = set()
    decided: set[str] = set()
    for role in ROLES:
        for name in sorted({class_of(label) for label in files[role]}):
            sources = sorted({source_of(f) for label, fs in files[role].items() if class_of(label) == name for f in fs})
            step = min(HELD_OUT, max(len(sources), 2))
            held |= set(sources[step - 1 :: step]) - decided
            decided |= set(sources)
    return held


def _pool_faults(sounds: Iterable[Sound], folder: Path, classes: Sequence[str] | None) -> Iterator[Fault]:
    present = {(sound.bank, sound.role, class_of(sound.label)) for sound in sounds}
    for pool in POOLS:
        for role in ROLES:
            if not any(entry[:2] == (pool, role) for entry in present):
                part = "validation" if pool == "validation" else "train"
                what = f"too few {role} recordings in {part}: none is left for the pool '{pool}'"
                yield Fault(
                    what, "at least two source recordings of a label are needed (takes of one count as one)", folder
                )
    learnt = {name for pool, role, name in present if role == "foreground" and pool == "train"}
    for pool, role, name in sorted(present):
        if role == "foreground" and pool != "train" and name not in learnt:
            yield Fault(f"label '{name}' has recordings for the pool '{pool}' only", "add some to train", folder)
    for name in classes or ():
        if name not in learnt:
            yield Fault(f"data.classes: no recordings of '{name}' in train/foreground", "add some", folder)
