"""A split as prepared by stage 0: its clips and their stored inputs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from recipe_mtlvae.corpus.cutting import cut_recordings, named_clip, recording_of
from recipe_mtlvae.corpus.metadata import Clip
from recipe_mtlvae.corpus.splits import Corpus, SplitFiles
from recipe_mtlvae.errors import RecipeError, fail
from recipe_mtlvae.inputs.registry import Input, inputs_of
from recipe_mtlvae.inputs.store import Store
from recipe_mtlvae.labels import Event


@dataclass(frozen=True)
class Split:
    """A prepared split."""

    name: str
    recordings: list[Clip]  # the stored recordings, not cut; coverage is their share of the expected ones
    clips: list[Clip]  # in the order of the stores' rows: recordings; to train or select on, windows of long ones
    inputs: dict[str, Input]  # by name
    stores: dict[str, Store]  # one per input, all with the same rows
    expected: int  # number of recordings that the metadata name

    @property
    def store(self) -> Store:
        """The store of the first input, for what all stores share: names, durations, the key of the recordings."""
        return next(iter(self.stores.values()))

    @property
    def durations(self) -> dict[str, float]:
        """Duration in seconds of each clip before cutting or padding, by name."""
        return dict(zip(self.store.names, self.store.durations.tolist(), strict=True))

    @property
    def seconds(self) -> dict[str, float]:
        """Duration in seconds of each recording, by name.

        For a recording that is cut into windows, this is the end of the last window, exact to the millisecond.
        """
        ends: dict[str, float] = {}
        for clip, seconds in zip(self.clips, self.store.durations.tolist(), strict=True):
            name = recording_of(clip.name)
            ends[name] = max(ends.get(name, 0.0), (clip.start or 0.0) + seconds)
        return ends

    @property
    def truth(self) -> dict[str, tuple[Event, ...]]:
        """The events of each clip exactly as published, by name. Only strong splits have events."""
        return {clip.name: clip.events for clip in self.clips if clip.events is not None}


def store_folder(source: Input, root: Path, name: str) -> Path:
    """Return the folder of a split's store of one input."""
    return root / "features" / source.key / name


def open_split(corpus: Corpus, name: str) -> Split:
    """Open a prepared split of the corpus.

    Raises RecipeError if the split was not prepared with these settings, if its list of recordings has changed since,
    or if its metadata have faults that are not to be skipped.
    """
    conf, files = corpus.conf, corpus.files(name)
    inputs = inputs_of(conf)
    stores = {key: Store.open(store_folder(source, corpus.root, name)) for key, source in inputs.items()}
    store, *others = stores.values()
    if files.faults and not conf.data.skip_bad:
        raise RecipeError(*files.faults)
    recordings = {clip.name: clip for clip in files.clips}
    stored = {recording_of(row) for row in store.names}
    known = recordings.keys() == stored | set(store.skipped) and all(other.names == store.names for other in others)
    if not known or (store.skipped and not conf.data.skip_bad):
        raise fail(f"split '{name}' is not as it was when its features were computed", "run stage 0", corpus.root)
    clips = [named_clip(row, recordings, conf.data.clip_seconds) for row in store.names]
    whole = [clip for clip in files.clips if clip.name in stored]
    return Split(name, whole, clips, inputs, stores, files.expected)


def stored_clips(corpus: Corpus, files: SplitFiles, durations: Mapping[str, float]) -> list[Clip]:
    """Return the clips that a split's store holds: readable recordings, long ones cut into windows except for tests.

    durations: s, by name, of the readable recordings.
    """
    readable = [clip for clip in files.clips if clip.name in durations]
    is_test = corpus.splits[files.name].role == "test"
    return readable if is_test else cut_recordings(readable, durations, corpus.conf.data.clip_seconds)
