"""The file of one AudioSet clip: what its name says, whether it can be decoded, and linking or moving it."""

from __future__ import annotations

import errno
import os
import re
import shutil
from dataclasses import dataclass
from pathlib import Path

from recipe_mtlvae.corpus.audio_stats import audio_stats
from recipe_mtlvae.errors import RecipeError


@dataclass(frozen=True)
class ClipName:
    """What identifies an AudioSet clip: `Y<id>_30.000_40.000.wav` and `<id>_30_40.wav` name the same one."""

    video: str  # YouTube's id, 11 characters
    start: float  # s
    end: float

    @classmethod
    def of(cls, file_name: str) -> ClipName | None:
        """Return what the file name says; None if it is not an AudioSet clip's."""
        match = re.fullmatch(r"Y?([\w-]{11})_(\d+(?:\.\d+)?)_(\d+(?:\.\d+)?)\.wav", file_name, re.ASCII)
        return match and cls(match[1], float(match[2]), float(match[3]))


def unfit(path: Path) -> str | None:
    """Decode a whole file. Return why it cannot be used as audio; None if it can."""
    try:
        return audio_stats(path).damage
    except RecipeError as error:
        return error.faults[0].what


def link(source: Path, target: Path) -> None:
    """Link `target` to `source`: a hard link, or a symbolic one if that is not possible."""
    target.parent.mkdir(parents=True, exist_ok=True)
    try:
        os.link(source.resolve(), target)
    except OSError:  # another disk, or a file system without hard links
        target.symlink_to(os.path.abspath(source))


def move(source: Path, target: Path) -> None:
    """Move a complete file. `target` is never incomplete, even on another disk, where folders of a tree may lie."""
    try:
        source.replace(target)
    except OSError as error:
        if error.errno != errno.EXDEV:
            raise
        part = target.with_name(f".{target.name}.part")
        shutil.copyfile(source, part)
        part.replace(target)
        source.unlink()
