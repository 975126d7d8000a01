"""A corpus on disk: its classes, its splits by name and role, and the files of each split."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path

from recipe_mtlvae.conf import Conf
from recipe_mtlvae.conf_sections import EVALUATION, SplitConf
from recipe_mtlvae.corpus import names
from recipe_mtlvae.corpus.metadata import Clip, Metadata, list_audio, read_metadata, split_clips
from recipe_mtlvae.errors import Fault, RecipeError, fail
from recipe_mtlvae.labels import Event, cut_events, merge_events

_LINK_HINT = "put the file there, or name the folder that it leads to in data.reuse"


@dataclass(frozen=True)
class SplitFiles:
    """The content of a split's metadata and audio folder, before any audio is read."""

    name: str
    clips: list[Clip]  # sorted by name: valid rows with audio on disk
    expected: int  # clips that the metadata name
    missing: list[str] = field(default_factory=list)  # valid rows without audio on disk
    ignored: list[str] = field(default_factory=list)  # files that are not audio by their name
    unnamed: list[str] = field(default_factory=list)  # audio on disk that the metadata do not name
    other_unicode: list[str] = field(default_factory=list)  # valid rows whose file names have another Unicode form
    faults: list[Fault] = field(default_factory=list)


def of_role(splits: Mapping[str, SplitConf], *roles: str) -> list[str]:
    """Return the names of the splits with the first role, then with the next one, each in the order of the YAML."""
    return [name for role in roles for name, split in splits.items() if split.role == role]


def scored_splits(conf: Conf) -> list[str]:
    """Return the splits that stage 3 scores: test splits, then select splits, of those with strong labels."""
    return [name for name in of_role(conf.data.splits, "test", "select") if conf.data.splits[name].labels == "strong"]


def main_split(conf: Conf) -> str | None:
    """Return the first scored test split, whose results represent the run; None if no test split has strong labels."""
    return next((name for name in scored_splits(conf) if conf.data.splits[name].role == "test"), None)


class Corpus:
    """A corpus, opened once per stage. Each table is read once and each folder listed once, when first needed."""

    def __init__(self, conf: Conf, root: Path) -> None:
        self.conf = conf
        self.root = root
        self._tables: dict[str, Metadata] = {}
        self._files: dict[str, SplitFiles] = {}

    @cached_property
    def evaluation(self) -> Path | None:
        """The audio folder of the challenge's evaluation set: data.evaluation, or the corpus's own, or None."""
        if self.conf.data.evaluation is not None:
            return Path(self.conf.data.evaluation).resolve()
        own = self.root / "audio" / "eval" / EVALUATION
        return own if own.is_dir() else None

    @cached_property
    def splits(self) -> dict[str, SplitConf]:
        """The configured splits and, if there is one, the evaluation set: a test split without labels or metadata."""
        splits = dict(self.conf.data.splits)
        if self.evaluation:
            audio = str(self.evaluation)
            splits[EVALUATION] = SplitConf(metadata="", audio=audio, labels="none", role="test", task=None)
        return splits

    @cached_property
    def classes(self) -> tuple[str, ...]:
        """The event classes: those configured, or else every label in the metadata, sorted.

        Raises RecipeError with the faults of all files if metadata cannot be read, and if there is no label.
        """
        if self.conf.data.classes is not None:
            return self.conf.data.classes
        found: set[str] = set()
        faults: list[Fault] = []
        for name, split in self.splits.items():
            if split.labels != "none":
                try:
                    found.update(*self._table(name).labels.values())
                except RecipeError as error:
                    faults += error.faults
        if faults:
            raise RecipeError(*faults)
        if not found:
            raise fail("no event label in any metadata", "give data.classes, or check the files", self.root)
        return tuple(sorted(found))

    def audio(self, name: str) -> Path:
        """Return the folder of a split's audio."""
        return self.root / self.splits[name].audio

    def files(self, name: str) -> SplitFiles:
        """List a split's clips. Faults are in the result.

        Raises RecipeError if nothing can be read: no such split, no file, other columns, no evaluation audio.
        """
        if name not in self.splits:
            hint = "give data.evaluation=DIR" if name == EVALUATION else f"the splits are {', '.join(self.splits)}"
            raise fail(f"no split '{name}'", hint, self.root)
        if name not in self._files:
            self._files[name] = self._list_audio(name) if name == EVALUATION else self._list_named(name)
        return self._files[name]

    def all_files(self) -> tuple[list[SplitFiles], list[Fault]]:
        """Return all splits that can be listed, and why the others cannot."""
        files, faults = [], []
        for name in self.splits:
            try:
                files.append(self.files(name))
            except RecipeError as error:
                faults += error.faults
        return self._without_named(files), faults

    def _without_named(self, files: Sequence[SplitFiles]) -> list[SplitFiles]:
        """Of splits that share an audio folder, leave out of `unnamed` the files that another one of them names."""
        named: dict[Path, set[str]] = {}
        for listed in files:
            named.setdefault(self.audio(listed.name), set()).update(clip.name for clip in listed.clips)
        return [
            replace(listed, unnamed=[name for name in listed.unnamed if name not in named[self.audio(listed.name)]])
            for listed in files
        ]

    def _table(self, name: str) -> Metadata:
        if name not in self._tables:
            split, data = self.splits[name], self.conf.data
            # Without configured classes, every label is a class
            self._tables[name] = read_metadata(self.root / split.metadata, split.labels, data.classes, data.table)
        return self._tables[name]

    def _list_named(self, name: str) -> SplitFiles:
        split = self.splits[name]
        tsv, audio = self.root / split.metadata, self.audio(name)
        metadata = self._table(name)
        faults = list(metadata.faults)
        if not metadata.expected:
            what = f"split '{name}' is empty: expected at least one clip"
            faults.append(Fault(what, "fill it, or fetch it again", tsv))
        on_disk = set(os.listdir(audio)) if audio.is_dir() else set()
        clips = split_clips(metadata, audio)
        matches = names.unicode_matches((clip.name for clip in clips), on_disk)
        clips = [replace(clip, path=audio / matches[clip.name]) if clip.name in matches else clip for clip in clips]
        present = [clip for clip in clips if clip.path.name in on_disk]
        if clips and not present:
            what = f"split '{name}': expected {len(clips)} audio files, found none of them"
            faults.append(Fault(what, "put them there, or correct data.splits", audio))
        homes = [self.root / other.audio for other in self.conf.data.splits.values()]
        links = {clip.name: clip.path for clip in present if leads_out(clip, homes, self.conf.data.reuse)}
        faults += [Fault("is a link out of the corpus", _LINK_HINT, path) for path in links.values()]
        faults += names.stem_faults((clip.name for clip in clips), tsv)
        return SplitFiles(
            name,
            clips=[clip for clip in present if clip.name not in links],
            expected=metadata.expected,
            missing=[clip.name for clip in clips if clip.path.name not in on_disk],
            unnamed=sorted(
                filter(names.is_audio_name, on_disk - metadata.labels.keys() - metadata.faulty - {*matches.values()})
            ),
            other_unicode=sorted(matches),
            faults=faults,
        )

    def _list_audio(self, name: str) -> SplitFiles:
        folder = self.audio(name)
        clips = list_audio(folder)
        ignored = sorted(name for name in os.listdir(folder) if not names.is_audio_name(name))
        return SplitFiles(name, clips, len(clips), ignored=ignored)


def leads_out(clip: Clip, homes: Iterable[Path], allowed: Iterable[str] = ()) -> bool:
    """Whether a clip is a symbolic link that leads out of the corpus.

    homes: the corpus's audio folders, in which links may end. allowed: folders to which links may point, even if these
    contain further links.
    """
    if not clip.path.is_symlink():
        return False
    end = Path(os.path.realpath(clip.path))  # Path.resolve raises on a link to itself
    if any(end.is_relative_to(os.path.realpath(home)) for home in homes):
        return False
    named = Path(os.path.normpath(clip.path.parent / os.readlink(clip.path)))
    return not any(named.is_relative_to(os.path.abspath(folder)) for folder in allowed)


def training_events(events: Sequence[Event], duration: float) -> tuple[Event, ...]:
    """Return the events cut at the clip's `duration` (seconds); overlapping or touching ones of a class are merged.

    They are in time order, and for training alone: metrics are computed on the ground truth as published.
    """
    return tuple(merge_events(cut_events(events, duration)))
