"""The feature store: every clip's log-mel, computed once, in memory-mapped part files.

A folder holds `part-00000.npy` (float16, (clips, mels, frames), unscaled dB), a JSON beside each part that tells its
rows, and `index.json`, written last. A part is never changed. A row stays valid while its clip's size and time of
change are the same, so that a killed or extended extraction goes on with what is missing.
"""

from __future__ import annotations

import dataclasses
import json
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from recipe_mtlvae.conf import FeatureConf
from recipe_mtlvae.data.manifest import Clip
from recipe_mtlvae.errors import Fault, fail
from recipe_mtlvae.files import content_hash, write_json

PART_BYTES = 32 * 2**20
_FORMAT = 1  # raised when the same settings give other features


@dataclass(frozen=True)
class StoreReport:
    """What came of building one store."""

    clips: int  # in the store
    faults: tuple[Fault, ...]  # clips that could not be read; without skip_bad, there is no store then
    warnings: tuple[str, ...]  # one line a kind


@dataclass(frozen=True)
class StoreJob:
    """A store to be built: its clips, in the order of its rows, and its folder."""

    clips: Sequence[Clip]
    folder: Path


@dataclass(frozen=True)
class Row:
    """One clip in a part file."""

    name: str
    size: int  # bytes of the recording
    mtime_ns: int
    duration: float  # s, of the recording
    warnings: tuple[str, ...]

    @property
    def key(self) -> tuple[str, int, int]:
        return self.name, self.size, self.mtime_ns


def settings_hash(features: FeatureConf, clip_seconds: float) -> str:
    """Names the stores of one feature setting; the output grid is no part of it."""
    settings = dataclasses.asdict(features)
    del settings["frames_per_step"]
    return content_hash(_FORMAT, settings, clip_seconds)


def feature_shape(features: FeatureConf, clip_seconds: float) -> tuple[int, int]:
    """(mels, frames) of one clip: 128 and 626 for 10 s at the baseline's settings."""
    return features.mels, 1 + round(clip_seconds * features.sample_rate) // features.hop


def clips_per_part(features: FeatureConf, clip_seconds: float) -> int:
    mels, frames = feature_shape(features, clip_seconds)
    return max(1, PART_BYTES // (2 * mels * frames))


def build_store(
    clips: Sequence[Clip],
    folder: Path,
    features: FeatureConf,
    clip_seconds: float,
    skip_bad: bool,
    workers: int | None = None,
) -> StoreReport:
    """Bring one store up to date; see build_stores."""
    return build_stores([StoreJob(clips, folder)], features, clip_seconds, skip_bad, workers)[0]


def build_stores(
    jobs: Sequence[StoreJob],
    features: FeatureConf,
    clip_seconds: float,
    skip_bad: bool,
    workers: int | None = None,
) -> list[StoreReport]:
    """Bring stores up to date with one pool of processes; a report a job.

    skip_bad: leave clips that cannot be read out of the store; otherwise a store with such a clip gets no index.
    workers: processes; None: one a core. Raises OSError with the file's name where the disk is full or not writable.
    """
    plans = [_Plan.of(job, skip_bad) for job in jobs]
    chunk = clips_per_part(features, clip_seconds)
    tasks = [task for plan in plans for task in plan.tasks(chunk)]
    faults: dict[Path, list[Fault]] = {plan.job.folder: [] for plan in plans}
    if tasks:
        from recipe_mtlvae.data.extract import extract_parts  # torch, only where there is work

        for result in extract_parts(tasks, features, clip_seconds, workers):
            faults[result.folder] += result.faults
    shape = feature_shape(features, clip_seconds)
    return [plan.finish(faults[plan.job.folder], shape, skip_bad) for plan in plans]


@dataclass(frozen=True)
class PartTask:
    """Clips to be extracted into one new part."""

    folder: Path
    number: int
    clips: tuple[Clip, ...]


@dataclass
class _Plan:
    """What one store has, and what it lacks."""

    job: StoreJob
    key: str  # of all clips as they are on disk now
    current: dict[str, Any] | None  # the index, where nothing changed
    missing: list[Clip]

    @classmethod
    def of(cls, job: StoreJob, skip_bad: bool) -> _Plan:
        stats = [clip.path.stat() for clip in job.clips]
        keys = [(clip.name, stat.st_size, stat.st_mtime_ns) for clip, stat in zip(job.clips, stats, strict=True)]
        key = content_hash(keys)
        index = _read_json(job.folder / "index.json")
        if index and index["key"] == key and (skip_bad or not index["skipped"]) and _parts_whole(job.folder, index):
            return cls(job, key, index, [])
        for leftover in job.folder.glob(".*"):  # of a killed run
            leftover.unlink()
        known = _known_rows(job.folder)
        missing = [clip for clip, clip_key in zip(job.clips, keys, strict=True) if clip_key not in known]
        return cls(job, key, None, missing)

    def tasks(self, chunk: int) -> list[PartTask]:
        """The missing clips in new parts, at the lowest free numbers: the same after a kill as without one."""
        used = {number for number, _ in _sidecars(self.job.folder)}
        free = (number for number in range(10**9) if number not in used)
        starts = range(0, len(self.missing), chunk)
        return [PartTask(self.job.folder, next(free), tuple(self.missing[i : i + chunk])) for i in starts]

    def finish(self, faults: list[Fault], shape: tuple[int, int], skip_bad: bool) -> StoreReport:
        """Write the index, unless there are faults that may not be skipped."""
        folder = self.job.folder
        if self.current:
            skipped = tuple(Fault(**fault) for fault in self.current["skipped"])
            return StoreReport(len(self.current["names"]), skipped, tuple(self.current["warnings"]))
        faults = sorted(faults, key=str)
        known = {key[0]: place for key, place in _known_rows(folder).items()}
        rows = [known[clip.name] for clip in self.job.clips if clip.name in known]
        warnings = tuple(_summarise(row for _, _, row in rows))
        if faults and not skip_bad:
            (folder / "index.json").unlink(missing_ok=True)
            return StoreReport(0, tuple(faults), warnings)
        index = {
            "key": self.key,
            "shape": list(shape),
            "names": [row.name for _, _, row in rows],
            "durations": [row.duration for _, _, row in rows],
            "parts": [number for number, _, _ in rows],
            "rows": [place for _, place, _ in rows],
            "skipped": [{"what": fault.what, "mend": fault.mend, "path": str(fault.path)} for fault in faults],
            "warnings": list(warnings),
        }
        write_json(folder / "index.json", index)
        for number, _ in _sidecars(folder):
            if number not in set(index["parts"]):
                side_path(folder, number).unlink()
                part_path(folder, number).unlink(missing_ok=True)
        return StoreReport(len(rows), tuple(faults), warnings)


def part_path(folder: Path, number: int) -> Path:
    return folder / f"part-{number:05d}.npy"


def side_path(folder: Path, number: int) -> Path:
    return folder / f"part-{number:05d}.json"


def write_rows(folder: Path, number: int, rows: Iterable[Row]) -> None:
    """The JSON beside a part; a part without it does not count."""
    write_json(side_path(folder, number), [[*row.key, row.duration, list(row.warnings)] for row in rows])


def _sidecars(folder: Path) -> list[tuple[int, Path]]:
    found = ((re.fullmatch(r"part-(\d{5,})\.json", path.name), path) for path in folder.glob("part-*.json"))
    return sorted((int(match[1]), path) for match, path in found if match)


def _known_rows(folder: Path) -> dict[tuple[str, int, int], tuple[int, int, Row]]:
    """(name, size, mtime) -> part number, place in the part, row."""
    known = {}
    for number, path in _sidecars(folder):
        content = _read_json(path)
        if content is None or not part_path(folder, number).is_file():
            continue
        for place, (name, size, mtime_ns, duration, warnings) in enumerate(content):
            row = Row(name, size, mtime_ns, duration, tuple(warnings))
            known[row.key] = (number, place, row)
    return known


def _parts_whole(folder: Path, index: dict[str, Any]) -> bool:
    return all(part_path(folder, number).is_file() for number in set(index["parts"]))


def _read_json(path: Path) -> Any:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None


def _summarise(rows: Iterable[Row]) -> list[str]:
    """One line a kind of warning: how many clips, and the first."""
    clips: dict[str, list[str]] = {}
    for row in rows:
        for warning in row.warnings:
            clips.setdefault(warning, []).append(row.name)
    return [f"{len(names)} clips {warning} (the first: {names[0]})" for warning, names in sorted(clips.items())]


class Store:
    """A finished store, opened for reading. Part files are mapped when first needed."""

    def __init__(self, folder: Path, index: dict[str, Any]) -> None:
        self.folder = folder
        self.names: list[str] = index["names"]
        self.durations = np.array(index["durations"], dtype=np.float64)  # s, of the recordings
        self.shape: tuple[int, int] = tuple(index["shape"])  # (mels, frames)
        self.skipped = [Path(fault["path"]).name for fault in index["skipped"]]  # clips left out by skip_bad
        self._places = list(zip(index["parts"], index["rows"], strict=True))
        self._parts: dict[int, np.ndarray] = {}

    @classmethod
    def open(cls, folder: Path) -> Store:
        """Raises RecipeError where the folder holds no finished store."""
        index = _read_json(folder / "index.json")
        if index is None or not _parts_whole(folder, index):
            raise fail("no finished feature store", "run stage 0 with these settings", folder)
        return cls(folder, index)

    def __len__(self) -> int:
        return len(self.names)

    def read(self, indices: Sequence[int] | np.ndarray) -> np.ndarray:
        """Features of the clips at `indices`: (n, mels, frames) float16, unscaled dB."""
        features = np.empty((len(indices), *self.shape), dtype=np.float16)
        for target, index in zip(features, indices, strict=True):
            number, place = self._places[index]
            target[...] = self._part(number)[place]
        return features

    def _part(self, number: int) -> np.ndarray:
        part = self._parts.get(number)
        if part is None:
            part = self._parts[number] = np.load(part_path(self.folder, number), mmap_mode="r")
        return part

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_parts": {}}  # another process maps for itself, instead of getting copies
