"""A corpus as the stages after preparation open it: its classes, splits, truth and durations."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from recipe_mtlvae.conf import Conf
from recipe_mtlvae.data.manifest import Clip, link_faults, list_audio, read_metadata, split_clips
from recipe_mtlvae.data.store import Store, settings_hash
from recipe_mtlvae.errors import Fault, RecipeError, fail
from recipe_mtlvae.labels import Event

EVALUATION = "evaluation"


@dataclass(frozen=True)
class SplitFiles:
    """What a split's metadata and audio folder hold, before any audio is read."""

    name: str
    clips: list[Clip]  # sorted by name: sound rows, audio on disk
    missing: list[str]  # named, but not on disk
    faults: list[Fault]
    expected: int  # clips that the metadata name


@dataclass(frozen=True)
class Split:
    """A prepared split."""

    name: str
    clips: list[Clip]  # aligned with the store's rows
    store: Store
    expected: int  # clips that the metadata name; with len(clips), the coverage

    @property
    def durations(self) -> dict[str, float]:
        """Seconds of each recording, before cutting or padding."""
        return dict(zip(self.store.names, self.store.durations.tolist(), strict=True))


def corpus_classes(conf: Conf, root: Path) -> tuple[str, ...]:
    """The event classes: the configuration's, else every label in the metadata, sorted."""
    if conf.data.classes is not None:
        return conf.data.classes
    found: set[str] = set()
    for split in conf.data.splits.values():
        if split.labels != "none":
            labels = read_metadata(root / split.metadata, split.labels, None).labels
            found.update(label for clip in labels.values() for label in clip)
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


def read_files(conf: Conf, root: Path, name: str, classes: Sequence[str]) -> SplitFiles:
    """List a split's clips. Raises RecipeError only where nothing can be read; other faults are in the result."""
    if name == EVALUATION:
        folder = evaluation_folder(conf, root)
        if folder is None:
            raise fail("there is no evaluation set", "give data.evaluation", root)
        clips = list_audio(folder)
        return SplitFiles(name, clips, [], [], len(clips))
    split = conf.data.splits[name]
    metadata = read_metadata(root / split.metadata, split.labels, classes)
    faults = list(metadata.faults)
    if not metadata.expected and not faults:
        faults.append(Fault(f"split '{name}' is empty: expected at least one clip", "fill it", root / split.metadata))
    audio = root / split.audio
    on_disk = {path.name for path in audio.iterdir()} if audio.is_dir() else set()
    clips = split_clips(metadata, audio, split.labels)
    present = [clip for clip in clips if clip.name in on_disk]
    missing = [clip.name for clip in clips if clip.name not in on_disk]
    if clips and not present:
        faults.append(Fault(f"split '{name}': none of its {len(clips)} clips is there", "get its audio", audio))
    return SplitFiles(name, present, missing, faults + link_faults(audio, present), metadata.expected)


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
    by_name = {clip.name: clip for clip in files.clips}
    if by_name.keys() != set(store.names) | set(store.skipped):
        raise fail(f"split '{name}' has changed since its features were computed", "run stage 0", root)
    return Split(name, [by_name[clip] for clip in store.names], store, files.expected)


def truth(conf: Conf, root: Path, name: str) -> dict[str, tuple[Event, ...]]:
    """The events of a strong split's scored clips, exactly as published."""
    return {clip.name: clip.events for clip in open_split(conf, root, name).clips if clip.events is not None}


def training_events(events: Sequence[Event], duration: float) -> tuple[Event, ...]:
    """Events cut at the clip's end (seconds), with overlapping or touching ones of one class merged; in time order."""
    merged: list[Event] = []
    last: dict[str, int] = {}  # label -> place of its latest event
    for event in sorted(events, key=lambda event: (event.onset, event.offset, event.label)):
        offset = min(event.offset, duration)
        if event.onset >= offset:
            continue
        place = last.get(event.label)
        if place is not None and event.onset <= merged[place].offset:
            merged[place] = Event(merged[place].onset, max(merged[place].offset, offset), event.label)
        else:
            last[event.label] = len(merged)
            merged.append(Event(event.onset, offset, event.label))
    return tuple(merged)
