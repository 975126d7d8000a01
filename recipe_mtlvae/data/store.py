"""The feature store: every clip's log-mel, computed once, read by memory map.

Beside its parts (parts.py) a store's folder holds `index.json`, written last: the clips in their order, and where each
one's row is. A killed or extended extraction goes on with the clips that no part holds.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from recipe_mtlvae.conf import FeatureConf
from recipe_mtlvae.data import parts
from recipe_mtlvae.data.manifest import Clip
from recipe_mtlvae.errors import Fault, fail
from recipe_mtlvae.files import content_hash, write_json

INDEX = "index.json"


@dataclass(frozen=True)
class StoreJob:
    """A store to be built: its clips, in the order that its rows shall have, and its folder."""

    clips: Sequence[Clip]
    folder: Path


@dataclass(frozen=True)
class StoreReport:
    """What came of building one store."""

    clips: int  # in the store
    faults: tuple[Fault, ...]  # clips that could not be read; without skip_bad there is no store then
    warnings: tuple[str, ...]  # one line a kind


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
    """Bring stores up to date, with one set of processes; a report a job.

    skip_bad: leave clips that cannot be read out of the store; otherwise a store with such a clip gets no index.
    workers: processes; None: one a core. Raises OSError with the file's name where the disk is full or not writable,
    RecipeError where the clips would be shorter than one window.
    """
    if clip_seconds * features.sample_rate <= features.n_fft // 2:
        least = features.n_fft / 2 / features.sample_rate
        raise fail(f"data.clip_seconds: expected more than {least:.3f} s, half of n_fft; got {clip_seconds}")
    shape = parts.feature_shape(features, clip_seconds)
    plans = [_plan(job, shape, skip_bad) for job in jobs]
    if any(plan.missing for plan in plans):
        from recipe_mtlvae.data.extract import PartTask, extract_parts  # torch, only where there is work

        tasks = [PartTask(plan.job.folder, *chunk) for plan in plans for chunk in _chunks(plan, shape)]
        by_folder = {plan.job.folder: plan for plan in plans}
        for result in extract_parts(tasks, features, clip_seconds, workers):
            by_folder[result.folder].places.update({place.row.name: place for place in result.places})
            by_folder[result.folder].bad.update(result.bad)
    return [_finish(plan, shape, skip_bad) for plan in plans]


@dataclass
class _Plan:
    """What one store has and lacks; extraction moves clips from `missing` to `places` or `bad`."""

    job: StoreJob
    key: str  # of all the recordings as they are on disk now
    index: dict[str, Any] | None = None  # where it is up to date
    parts: frozenset[int] = frozenset()  # on disk
    missing: tuple[Clip, ...] = ()
    places: dict[str, parts.Place] = field(default_factory=dict)  # by clip name
    bad: dict[str, Fault] = field(default_factory=dict)  # by clip name


def _plan(job: StoreJob, shape: tuple[int, int], skip_bad: bool) -> _Plan:
    keys = [_key(clip) for clip in job.clips]
    index = _read_index(job.folder)
    if index and index["key"] == content_hash(keys) and (skip_bad or not index["skipped"]):
        return _Plan(job, content_hash(keys), index)
    for leftover in job.folder.glob(".*"):  # of a killed run
        leftover.unlink()
    known = parts.known_parts(job.folder, shape)
    by_key = parts.places_of(known)
    places = {key[0]: by_key[key] for key in keys if key in by_key}
    missing = tuple(clip for clip in job.clips if clip.name not in places)
    return _Plan(job, content_hash(keys), None, frozenset(known), missing, places)


def _key(clip: Clip) -> tuple[str, int, int]:
    """parts.Row.key of the recording as it is now."""
    try:
        stat = clip.path.stat()
    except OSError:  # extraction tells what is wrong with it
        return clip.name, -1, -1
    return clip.name, stat.st_size, stat.st_mtime_ns


def _chunks(plan: _Plan, shape: tuple[int, int]) -> list[tuple[int, tuple[Clip, ...]]]:
    """The missing clips for new parts, at the lowest free numbers: after a kill as without one."""
    free = (number for number in itertools.count() if number not in plan.parts)
    size = parts.clips_per_part(shape)
    return [(next(free), plan.missing[i : i + size]) for i in range(0, len(plan.missing), size)]


def _finish(plan: _Plan, shape: tuple[int, int], skip_bad: bool) -> StoreReport:
    """Write the index, unless there are faults that may not be skipped."""
    folder = plan.job.folder
    if plan.index:
        skipped = tuple(Fault(**fault) for fault in plan.index["skipped"].values())
        return StoreReport(len(plan.index["names"]), skipped, tuple(plan.index["warnings"]))
    places = [plan.places[clip.name] for clip in plan.job.clips if clip.name in plan.places]
    bad = dict(sorted(plan.bad.items()))
    warnings = _summarise(place.row for place in places)
    if bad and not skip_bad:
        (folder / INDEX).unlink(missing_ok=True)
        return StoreReport(0, tuple(bad.values()), warnings)
    index = {
        "key": plan.key,
        "shape": list(shape),  # mels, frames
        "names": [place.row.name for place in places],
        "durations": [place.row.duration for place in places],
        "parts": [place.part for place in places],
        "positions": [place.position for place in places],
        "skipped": {name: {**asdict(fault), "path": str(fault.path)} for name, fault in bad.items()},
        "warnings": list(warnings),
    }
    with parts.naming(folder / INDEX):
        write_json(folder / INDEX, index)
    for number in plan.parts - set(index["parts"]):
        parts.delete_part(folder, number)
    return StoreReport(len(places), tuple(bad.values()), warnings)


def _read_index(folder: Path) -> dict[str, Any] | None:
    """The index, where it is there and so are its parts."""
    index = parts.read_json(folder / INDEX)
    if index is None:
        return None
    last: dict[int, int] = {}
    for number, position in zip(index["parts"], index["positions"], strict=True):
        last[number] = max(position, last.get(number, 0))
    whole = (parts.is_whole(folder, number, position + 1, index["shape"]) for number, position in last.items())
    return index if all(whole) else None


def _summarise(rows: Iterable[parts.Row]) -> tuple[str, ...]:
    """One line a kind of warning: how many clips, and the first."""
    clips: dict[str, list[str]] = {}
    for row in rows:
        for warning in row.warnings:
            clips.setdefault(warning, []).append(row.name)
    return tuple(
        f"{names[0]} is {warning}" if len(names) == 1 else f"{len(names)} clips are {warning}, the first {names[0]}"
        for warning, names in sorted(clips.items())
    )


class Store:
    """A finished store, opened for reading. Its parts are mapped when first needed."""

    def __init__(self, folder: Path, index: dict[str, Any]) -> None:
        self.folder = folder
        self.key: str = index["key"]  # of the recordings as they were: names, sizes, times of change
        self.names: list[str] = index["names"]
        self.durations = np.array(index["durations"], dtype=np.float64)  # s, of the recordings
        self.shape: tuple[int, int] = tuple(index["shape"])  # (mels, frames)
        self.skipped: list[str] = list(index["skipped"])  # clips that skip_bad left out
        self._places = list(zip(index["parts"], index["positions"], strict=True))
        self._maps: dict[int, np.ndarray] = {}

    @classmethod
    def open(cls, folder: Path) -> Store:
        """Raises RecipeError where the folder holds no finished store."""
        index = _read_index(folder)
        if index is None:
            raise fail("no finished feature store for these settings", "run stage 0", folder)
        return cls(folder, index)

    def __len__(self) -> int:
        return len(self.names)

    def read(self, indices: Sequence[int] | np.ndarray) -> np.ndarray:
        """Features of the clips at `indices`: (n, mels, frames) float16, unscaled dB."""
        features = np.empty((len(indices), *self.shape), dtype=np.float16)
        for target, index in zip(features, indices, strict=True):
            number, position = self._places[index]
            target[...] = self._map(number)[position]
        return features

    def _map(self, number: int) -> np.ndarray:
        if number not in self._maps:
            self._maps[number] = np.load(parts.part_path(self.folder, number), mmap_mode="r")
        return self._maps[number]

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_maps": {}}  # another process maps for itself instead of getting copies
