"""Unpack downloaded archives safely: nothing is written outside its target, and no incomplete file gets its name."""

from __future__ import annotations

import contextlib
import functools
import gzip
import lzma
import posixpath
import re
import stat
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from tqdm import tqdm

from recipe_mtlvae.corpus.names import show
from recipe_mtlvae.errors import Fault, RecipeError, fail
from recipe_mtlvae.progress_bar import byte_text, progress_bar

SUFFIXES = (".zip", ".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tar.xz")
# Bounds (ratio, bytes) against archives that unpack without end; audio and tables stay far below them
LARGEST_RATIO, ALWAYS_ALLOWED = 50, 2**26
CHUNK = 2**20  # bytes
UNREADABLE = (
    zipfile.BadZipFile,
    tarfile.TarError,
    zlib.error,
    lzma.LZMAError,
    EOFError,
    RuntimeError,
    gzip.BadGzipFile,
)


@dataclass(frozen=True)
class ArchiveMember:
    """One entry of a zip or tar archive."""

    name: str
    size: int  # bytes, as the archive says
    kind: str  # file | folder | link | other
    leads_to: str | None  # of a link: the name that it leads to, from the archive's top
    open: Callable[[], IO[bytes]]


def is_archive(name: str) -> bool:
    return name.lower().endswith(SUFFIXES)


def unpack(archive: Path, place: Callable[[str], Path | None]) -> None:
    """Write the members for which `place` gives a path, each whole or not at all.

    place: called with a member's name, a relative path with slashes; returns None for a member that is not needed.
    Raises RecipeError, before anything is written, if a member could do harm or the archive unpacks to more than
    LARGEST_RATIO times its size and ALWAYS_ALLOWED; also if the archive cannot be read.
    """
    with _readable(archive):
        wanted, size = _check(archive, place)
        with progress_bar(f"unpacking {archive.name}", size, "B") as bar:
            for member in _members(archive):
                if target := wanted.pop(member.name, None):
                    _write(member, target, bar)


def _check(archive: Path, place: Callable[[str], Path | None]) -> tuple[dict[str, Path], int]:
    """Check all members. Return the target of each member that is needed, by name, and their size in bytes."""
    limit = max(ALWAYS_ALLOWED, LARGEST_RATIO * archive.stat().st_size)
    faults: list[Fault] = []
    wanted: dict[str, Path] = {}
    taken: set[Path] = set()
    unpacked = size = 0
    for member in _members(archive):
        unpacked += max(member.size, 0)
        if unpacked > limit:
            what = f"unpacks to more than {byte_text(limit)}, {LARGEST_RATIO} times its size: not an archive of audio"
            raise fail(what, "nothing was unpacked; move it away", archive)
        problem = _problem(member)
        target = None if problem or member.kind == "folder" else place(member.name)
        if target and member.kind == "link":
            problem = "is a link where a file is expected"
        if target and target in taken:
            problem = "occurs twice"
        if problem:
            faults.append(Fault(f"its member {show(member.name)} {problem}", "nothing was unpacked", archive))
        elif target:
            wanted[member.name] = target
            taken.add(target)
            size += member.size
    if faults:
        raise RecipeError(*faults)
    return wanted, size


def _problem(member: ArchiveMember) -> str | None:
    """Return why a member cannot be unpacked, whatever its target; None if it can."""
    if not member.name or not member.name.isprintable():
        return "has a name that cannot be printed"
    if _leads_out(member.name):
        return "leads out of the folder that it is unpacked to"
    if member.kind == "other":
        return "is neither file nor folder"
    if member.leads_to is not None and _leads_out(member.leads_to):
        return f"is a link that leads out, to {show(member.leads_to)}"
    return None


def _leads_out(name: str) -> bool:
    return name.startswith("/") or "\\" in name or bool(re.match("[A-Za-z]:", name)) or ".." in name.split("/")


def _write(member: ArchiveMember, target: Path, bar: tqdm) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    part = target.with_name(f".{target.name}.part")  # always the same name, so that killed runs leave at most one
    left = member.size
    with member.open() as source, part.open("wb") as output:
        while chunk := source.read(min(CHUNK, left + 1)):
            left -= len(chunk)
            if left < 0:
                break
            output.write(chunk)
            bar.update(len(chunk))
    if left:
        part.unlink()
        raise zipfile.BadZipFile(f"{show(member.name)} is not as long as the archive says")
    part.replace(target)


def _members(archive: Path) -> Iterator[ArchiveMember]:
    """Yield the members in the archive's order. Each can be opened until the next one is requested."""
    return _zip_members(archive) if zipfile.is_zipfile(archive) else _tar_members(archive)


def _zip_members(archive: Path) -> Iterator[ArchiveMember]:
    with zipfile.ZipFile(archive) as content:
        for info in content.infolist():
            mode = info.external_attr >> 16
            kind, leads_to = "folder" if info.is_dir() else "file", None
            if stat.S_ISLNK(mode):
                with content.open(info) as link:
                    kind, leads_to = "link", _resolved(info.filename, link.read(2**12).decode(errors="replace"))
            elif stat.S_IFMT(mode) not in (0, stat.S_IFREG, stat.S_IFDIR):
                kind = "other"
            yield ArchiveMember(info.filename, info.file_size, kind, leads_to, functools.partial(content.open, info))


def _tar_members(archive: Path) -> Iterator[ArchiveMember]:
    with tarfile.open(archive) as content:
        for info in content:
            kind, leads_to = "other", None
            if info.isreg() or info.isdir():
                kind = "file" if info.isreg() else "folder"
            elif info.issym() or info.islnk():
                kind = "link"
                leads_to = _resolved(info.name if info.issym() else "", info.linkname)
            yield ArchiveMember(info.name, info.size, kind, leads_to, functools.partial(content.extractfile, info))


def _resolved(name: str, link: str) -> str:
    """Return the name, from the archive's top, that a symbolic link called `name` leads to."""
    return posixpath.normpath(posixpath.join(posixpath.dirname(name), link))


@contextlib.contextmanager
def _readable(archive: Path) -> Iterator[None]:
    try:
        yield
    except UNREADABLE as error:
        raise fail(f"cannot be unpacked ({error})", "move it away: it is fetched again", archive) from None
