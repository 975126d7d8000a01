"""The file of one AudioSet clip: what its name says, whether it is sound, and how it gets to its place."""

from __future__ import annotations

import errno
import os
import re
import shutil
from dataclasses import dataclass
from pathlib import Path

from recipe_mtlvae.audio.decoding import read_audio
from recipe_mtlvae.errors import RecipeError


@dataclass(frozen=True)
class ClipName:
    """What tells a clip from others: `Y<id>_30.000_40.000.wav` and `<id>_30_40.wav` are the same one."""

    video: str  # YouTube's id, 11 characters
    start: float  # s
    end: float

    @classmethod
    def of(cls, file_name: str) -> ClipName | None:
        """None for a name of another kind."""
        match = re.fullmatch(r"Y?([\w-]{11})_(\d+(?:\.\d+)?)_(\d+(?:\.\d+)?)\.wav", file_name, re.ASCII)
        return match and cls(match[1], float(match[2]), float(match[3]))


def unfit(path: Path) -> str | None:
    """Why a file cannot be used as audio; None where it can. All of it is decoded."""
    import soundfile

    try:
        damage = read_audio(path, soundfile.info(path).samplerate, None).damage
    except RecipeError as error:
        return error.faults[0].what
    except (soundfile.LibsndfileError, OSError) as error:
        return f"is not readable as audio ({getattr(error, 'error_string', error)})"
    return damage and damage.what


def link(source: Path, target: Path) -> None:
    """Give `source` a second name: a hard link, else a symbolic one."""
    target.parent.mkdir(parents=True, exist_ok=True)
    try:
        os.link(source.resolve(), target)
    except OSError:  # another disk, or one without links of this kind
        target.symlink_to(os.path.abspath(source))


def move(source: Path, target: Path) -> None:
    """Give a finished file its place, whole at every moment; folders of a tree may lie on other disks."""
    try:
        source.replace(target)
    except OSError as error:
        if error.errno != errno.EXDEV:
            raise
        part = target.with_name(f".{target.name}.part")
        shutil.copyfile(source, part)
        part.replace(target)
        source.unlink()
