"""A corpus as the stages open it: its classes, its splits' files, and the prepared splits."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from recipe_mtlvae.conf import Conf
from recipe_mtlvae.corpus import names
from recipe_mtlvae.corpus.cutting import cut_recordings, named_clip
from recipe_mtlvae.corpus.metadata import Clip, leads_out, list_audio, read_metadata, split_clips
from recipe_mtlvae.errors import Fault, RecipeError, fail
from recipe_mtlvae.inputs.store import Store
from recipe_mtlvae.inputs.store_parts import settings_hash
from recipe_mtlvae.labels import Event, cut_events, merge_events

EVALUATION = "evaluation"
_LINK_HINT = "put the file there, or name the folder that it leads to in data.reuse"
TEST_SPLITS = ("validation", "public", EVALUATION)  # long recordings are scored whole; elsewhere cut into windows
SELECTION_SPLIT = "synthetic_validation"  # chooses the best epoch: neither learned from nor a test


@dataclass(frozen=True)
class SplitFiles:
    """What a split's metadata and audio folder hold, before any audio is read."""

    name: str
    clips: list[Clip]  # sorted by name: sound rows, audio on disk
    expected: int  # clips that the metadata name
    missing: list[str] = field(default_factory=list)  # sound rows, audio not on disk
    ignored: list[str] = field(default_factory=list)  # files that are not audio by their name
    unnamed: list[str] = field(default_factory=list)  # audio on disk that the metadata do not name
    faults: list[Fault] = field(default_factory=list)


@dataclass(frozen=True)
class Split:
    """A prepared split."""

    name: str
    clips: list[Clip]  # aligned with the store's rows
    store: Store
    expected: int  # recordings that the metadata name

    @property
    def recordings(self) -> int:
        """Those that are here; coverage is these of the expected ones."""
        return len({clip.path for clip in self.clips})

    @property
    def durations(self) -> dict[str, float]:
        """Seconds of each recording, before cutting or padding, by clip name."""
        return dict(zip(self.store.names, self.store.durations.tolist(), strict=True))

    @property
    def truth(self) -> dict[str, tuple[Event, ...]]:
        """The events of the clips by name, exactly as published; strong splits only."""
        return {clip.name: clip.events for clip in self.clips if clip.events is not None}


def corpus_classes(conf: Conf, root: Path) -> tuple[str, ...]:
    """The event classes: the configuration's, else every label in the metadata, sorted.

    Raises RecipeError where metadata cannot be read, with the faults of all files.
    """
    if conf.data.classes is not None:
        return conf.data.classes
    found: set[str] = set()
    faults: list[Fault] = []
    for split in conf.data.splits.values():
        if split.labels != "none":
            try:
                metadata = read_metadata(root / split.metadata, split.labels, None, conf.data.table)
                found.update(*metadata.labels.values())
            except RecipeError as error:
                faults += error.faults
    if faults:
        raise RecipeError(*faults)
    if not found:
        raise fail("no event label in any metadata", "give data.classes, or check the files", root)
    return tuple(sorted(found))


def split_names(conf: Conf, root: Path) -> list[str]:
    """The splits of the configuration, and `evaluation` where there is such audio."""
    return [*conf.data.splits, *([EVALUATION] if evaluation_folder(conf, root) else [])]


def evaluation_folder(conf: Conf, root: Path) -> Path | None:
    """The audio of the challenge's evaluation set: data.evaluation, else the corpus's own folder where it has one."""
    if conf.data.evaluation is not None:
        return Path(conf.data.evaluation).resolve()
    own = root / "audio" / "eval" / "evaluation"
    return own if own.is_dir() else None


def store_folder(conf: Conf, root: Path, name: str) -> Path:
    """Where the features of a split are."""
    return root / "features" / settings_hash(conf.features, conf.data.clip_seconds) / name


def read_splits(conf: Conf, root: Path, classes: Sequence[str]) -> tuple[list[SplitFiles], list[Fault]]:
    """All splits that can be listed, and why the others cannot."""
    files, faults = [], []
    for name in split_names(conf, root):
        try:
            files.append(read_files(conf, root, name, classes))
        except RecipeError as error:
            faults += error.faults
    return _without_named(conf, files), faults


def _without_named(conf: Conf, files: Sequence[SplitFiles]) -> list[SplitFiles]:
    """Splits may share a folder of audio: what one of them names is no stranger to the others."""
    named: dict[str, set[str]] = {}
    for listed in files:
        if listed.name in conf.data.splits:
            folder = conf.data.splits[listed.name].audio
            named.setdefault(folder, set()).update(clip.name for clip in listed.clips)
    return [
        replace(
            listed, unnamed=[name for name in listed.unnamed if name not in named[conf.data.splits[listed.name].audio]]
        )
        for listed in files
    ]


def read_files(conf: Conf, root: Path, name: str, classes: Sequence[str]) -> SplitFiles:
    """List a split's clips; faults are in the result.

    Raises RecipeError where nothing can be read: no file, other columns, no evaluation audio.
    """
    if name == EVALUATION:
        return _evaluation_files(conf, root)
    split = conf.data.splits[name]
    tsv, audio = root / split.metadata, root / split.audio
    metadata = read_metadata(tsv, split.labels, classes, conf.data.table)
    faults = list(metadata.faults)
    if not metadata.expected:
        faults.append(Fault(f"split '{name}' is empty: expected at least one clip", "fill it, or fetch it again", tsv))
    on_disk = set(os.listdir(audio)) if audio.is_dir() else set()
    clips = split_clips(metadata, audio, split.labels)
    present = [clip for clip in clips if clip.name in on_disk]
    if clips and not present:
        what = f"split '{name}': expected {len(clips)} audio files, found none of them"
        faults.append(Fault(what, "put them there, or correct data.splits", audio))
    homes = [root / other.audio for other in conf.data.splits.values()]
    links = {clip.name: clip.path for clip in present if leads_out(clip, homes, conf.data.reuse)}
    faults += [Fault("is a link out of the corpus", _LINK_HINT, path) for path in links.values()]
    faults += names.stem_faults((clip.name for clip in clips), tsv)
    return SplitFiles(
        name,
        clips=[clip for clip in present if clip.name not in links],
        expected=metadata.expected,
        missing=[clip.name for clip in clips if clip.name not in on_disk],
        unnamed=sorted(filter(names.is_audio_name, on_disk - metadata.labels.keys() - metadata.faulty)),
        faults=faults,
    )


def _evaluation_files(conf: Conf, root: Path) -> SplitFiles:
    folder = evaluation_folder(conf, root)
    if folder is None:
        raise fail("there is no evaluation set", "give data.evaluation=DIR", root)
    clips = list_audio(folder)
    ignored = sorted(name for name in os.listdir(folder) if not names.is_audio_name(name))
    return SplitFiles(EVALUATION, clips, len(clips), ignored=ignored)


def open_split(conf: Conf, root: Path, name: str) -> Split:
    """A prepared split: a key of conf.data.splits, or `evaluation`.

    Raises RecipeError where it is not prepared with these settings, or its files have changed since.
    """
    if name != EVALUATION and name not in conf.data.splits:
        raise fail(f"no split '{name}'", f"the splits are {', '.join(conf.data.splits)}")
    store = Store.open(store_folder(conf, root, name))
    files = read_files(conf, root, name, corpus_classes(conf, root))
    if files.faults and not conf.data.skip_bad:
        raise RecipeError(*files.faults)
    recordings = {clip.name: clip for clip in files.clips}
    prepared = {row.partition("/")[0] for row in (*store.names, *store.skipped)}
    if recordings.keys() != prepared or (store.skipped and not conf.data.skip_bad):
        raise fail(f"split '{name}' is not as it was when its features were computed", "run stage 0", root)
    clips = [named_clip(row, recordings, conf.data.clip_seconds) for row in store.names]
    return Split(name, clips, store, files.expected)


def stored_clips(files: SplitFiles, durations: Mapping[str, float], seconds: float) -> list[Clip]:
    """What a split's store holds: its readable recordings, long ones cut into windows unless they are to be scored.

    durations: s, by name, of the recordings that can be read.
    """
    readable = [clip for clip in files.clips if clip.name in durations]
    return readable if files.name in TEST_SPLITS else cut_recordings(readable, durations, seconds)


def training_events(events: Sequence[Event], duration: float) -> tuple[Event, ...]:
    """Events cut at the clip's end (seconds), with overlapping or touching ones of one class merged; in time order.

    For training alone: scores are computed on the truth as published.
    """
    return tuple(merge_events(cut_events(events, duration)))
