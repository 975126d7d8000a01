"""Reuse files that the user already has: find them in other trees, decode them as a check, and link them."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

from local.desed.clip_file import ClipName, link, unfit
from local.desed.tree_split import TreeSplit
from recipe_mtlvae.conf_sections import SplitConf
from recipe_mtlvae.errors import Fault, fail
from recipe_mtlvae.machine import cores
from recipe_mtlvae.progress_bar import progress_bar


@dataclass
class Index:
    """The AudioSet clips and the folders found under some folders."""

    clips: dict[ClipName, Path] = field(default_factory=dict)  # AudioSet clips, wherever they lie
    folders: list[Path] = field(default_factory=list)  # all folders

    def find(self, split: SplitConf, name: str) -> Path | None:
        """Return the path of a split's clip: at the split's own path in another tree, else by its AudioSet name."""
        for folder in self.at(split.audio):
            if (folder / name).is_file():
                return folder / name
        clip = ClipName.of(name)
        return self.clips.get(clip) if clip else None

    def at(self, path: str) -> list[Path]:
        """Return the folders whose path ends with the relative path `path`."""
        return [folder for folder in self.folders if f"{folder}/".endswith(f"/{path}/")]


def index_of(folders: Iterable[str | Path]) -> Index:
    """List the audio under `folders`, following links to folders. Raises RecipeError if a folder does not exist."""
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
    """Whether a folder has not been listed before: links may form a cycle."""
    status = os.stat(os.path.join(place, name))
    before = len(seen)
    seen.add((status.st_dev, status.st_ino))
    return len(seen) > before


def link_clips(index: Index, split: TreeSplit, names: Sequence[str]) -> tuple[int, list[Fault]]:
    """Link a split's clips that the index has. Return their number, and a fault for each file not readable as audio."""
    found = {name: path for name in names if (path := index.find(split.split, name))}
    faults = []
    with ThreadPoolExecutor(cores()) as pool, progress_bar(f"{split.name}: reuse", len(found)) as bar:
        for (name, path), problem in zip(found.items(), pool.map(unfit, found.values()), strict=True):
            if problem is None:
                link(path, split.audio / name)
            else:
                faults.append(Fault(problem, path=path))
            bar.update()
    return len(found) - len(faults), faults
