"""What a split lacks on disk, by its metadata."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from recipe_mtlvae.conf import Conf
from recipe_mtlvae.conf_sections import SplitConf
from recipe_mtlvae.corpus.metadata import read_metadata


@dataclass(frozen=True)
class Lack:
    """A split as it stands."""

    name: str
    split: SplitConf
    metadata: bool  # the TSV is lacking, and with it the knowledge of the clips
    clips: tuple[str, ...]  # named, sound by their rows, and not there; sorted
    expected: int  # clips that the TSV names

    def __bool__(self) -> bool:
        return self.metadata or bool(self.clips)


def lack_of(conf: Conf, root: Path, name: str) -> Lack:
    """Look at one split. Raises RecipeError where its metadata cannot be read."""
    split = conf.data.splits[name]
    if not (root / split.metadata).exists():
        return Lack(name, split, True, (), 0)
    metadata = read_metadata(root / split.metadata, split.labels, None, conf.data.table)
    audio = root / split.audio
    there = set(os.listdir(audio)) if audio.is_dir() else set()
    return Lack(name, split, False, tuple(sorted(metadata.labels.keys() - there)), metadata.expected)
