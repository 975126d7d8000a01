"""The archives that a run needs: each is fetched once, and unpacked split by split."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path, PurePosixPath
from typing import Any

from local.desed.clip_file import move
from local.desed.download import RemoteFile, download, find_file, part_of
from local.desed.unpack import SUFFIXES, is_archive, unpack
from recipe_mtlvae.conf_sections import ArchiveConf, FetchConf
from recipe_mtlvae.errors import RecipeError, fail, printable
from recipe_mtlvae.progress_bar import byte_text

UNPACKED = 2  # unpacked bytes per byte of an archive, at most: audio compresses badly


class Archives:
    """The files of fetch.archives, kept in `folder` while they are needed."""

    def __init__(self, folder: Path, fetch: FetchConf) -> None:
        self.folder, self.fetch = folder, fetch
        self._remote: dict[str, RemoteFile] = {}
        self._failed: dict[str, RecipeError] = {}

    def describe(self, name: str) -> str:
        archive = self._entry(name)
        return f"{archive.file} of record {archive.record}"

    def needed_bytes(self, name: str) -> int:
        """Return the disk space (bytes) that fetching and unpacking the archive still takes."""
        path = self._path(name)
        if path.exists():
            return UNPACKED * path.stat().st_size
        size, part = self._find(name).size, part_of(path)
        return size * (1 + UNPACKED * self._is_archive(name)) - (part.stat().st_size if part.exists() else 0)

    def get(self, name: str) -> Path:
        """Return the path of the archive, fetched if necessary. Raises RecipeError, also if it failed before."""
        path = self._path(name)
        if not path.exists():
            file = self._find(name)
            print(printable(f"fetching {self.describe(name)}, {byte_text(file.size)}"), flush=True)
            self._once(name, download, file, path, self.fetch)
        return path

    def take(self, name: str, wanted: dict[str, Path]) -> None:
        """Unpack the files that `wanted` maps from their path in the tree to a path on disk.

        The tree may lie in any folder of the archive: `dcase_synth/audio/x.wav` is `audio/x.wav`.
        """
        if not self._is_archive(name):
            what = f"expected an archive, got {self.describe(name)}"
            raise fail(what, f"correct fetch.splits; archives end in {', '.join(SUFFIXES)}")
        unpack(self.get(name), lambda member: _place(member, wanted))

    def take_table(self, name: str, path: str, target: Path) -> None:
        """Unpack the table with the path `path` in the tree to `target`. A file that is no archive is the table."""
        if self._is_archive(name):
            self.take(name, {path: target})
            return
        target.parent.mkdir(parents=True, exist_ok=True)
        move(self.get(name), target)

    def _find(self, name: str) -> RemoteFile:
        if name in self._failed:
            raise self._failed[name]
        if name not in self._remote:
            self._remote[name] = self._once(name, find_file, self._entry(name), self.fetch)
        return self._remote[name]

    def _once(self, name: str, step: Callable[..., Any], *arguments: Any) -> Any:
        """Run a step. If it fails, `_find` raises the same error again instead of trying again."""
        try:
            return step(*arguments)
        except RecipeError as error:
            self._failed[name] = error
            raise

    def _is_archive(self, name: str) -> bool:
        return is_archive(self._entry(name).file)

    def _path(self, name: str) -> Path:
        archive = self._entry(name)
        return self.folder / f"{archive.record}-{archive.file}"  # archives of two records may have the same name

    def _entry(self, name: str) -> ArchiveConf:
        if name not in self.fetch.archives:
            raise fail(f"no '{name}' in fetch.archives: {', '.join(self.fetch.archives)}", "correct fetch.splits")
        return self.fetch.archives[name]


def _place(member: str, wanted: dict[str, Path]) -> Path | None:
    parts = PurePosixPath(member).parts
    return next((wanted[path] for i in range(len(parts)) if (path := "/".join(parts[i:])) in wanted), None)
