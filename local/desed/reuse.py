"""Files that the user has already: found in other trees, listened to, and linked."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

from local.desed.clip_file import ClipName, link, unfit
from local.desed.progress import Progress
from recipe_mtlvae.conf_sections import SplitConf
from recipe_mtlvae.errors import fail
from recipe_mtlvae.machine import cores


@dataclass
class Index:
    """What lies in some folders."""

    clips: dict[ClipName, Path] = field(default_factory=dict)  # AudioSet clips, wherever they lie
    folders: list[Path] = field(default_factory=list)  # all folders

    def find(self, split: SplitConf, name: str) -> Path | None:
        """A clip of a split: at the split's own path in another tree, else by its AudioSet name."""
        for folder in self.at(split.audio):
            if (folder / name).is_file():
                return folder / name
        clip = ClipName.of(name)
        return self.clips.get(clip) if clip else None

    def at(self, path: str) -> list[Path]:
        """The folders whose path ends with the relative path `path`."""
        return [folder for folder in self.folders if f"{folder}/".endswith(f"/{path}/")]


def index_of(folders: Iterable[str | Path]) -> Index:
    """List the audio in `folders`, links to folders included. Raises RecipeError where there is no such folder."""
    index = Index()
    for top in folders:
        if not Path(top).is_dir():
            raise fail("data.reuse: no such folder", path=top)
        seen: set[tuple[int, int]] = set()
        for place, below, names in os.walk(os.path.abspath(top), followlinks=True):
            below[:] = sorted(name for name in below if not name.startswith(".") and _is_new(place, name, seen))
            index.folders.append(Path(place))
            for name in names:
                clip = ClipName.of(name)
                if clip:
                    index.clips.setdefault(clip, Path(place, name))
    return index


def _is_new(place: str, name: str, seen: set[tuple[int, int]]) -> bool:
    """Whether a folder was not met before: links may go round."""
    status = os.stat(os.path.join(place, name))
    is_new = (status.st_dev, status.st_ino) not in seen
    seen.add((status.st_dev, status.st_ino))
    return is_new


def link_clips(index: Index, split: SplitConf, names: Sequence[str], target: Path, title: str) -> tuple[int, list[str]]:
    """Link what the index has of a split's clips into `target`.

    Returns how many there were, and a line for each file that is left because it is not readable as audio.
    """
    found = {name: path for name in names if (path := index.find(split, name))}
    unfits, linked = [], 0
    with ThreadPoolExecutor(cores()) as pool, Progress(f"{title}: reuse", len(found), "clips") as progress:
        for (name, path), problem in zip(found.items(), pool.map(unfit, found.values()), strict=True):
            if problem is None:
                link(path, target / name)
                linked += 1
            else:
                unfits.append(f"{path}: {problem}")
            progress.advance(1)
    return linked, unfits
