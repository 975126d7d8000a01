"""Read the files of a submission package, a zip file or a folder, without unpacking it and without trusting it."""

from __future__ import annotations

import contextlib
import os
import stat
import zipfile
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from recipe_mtlvae.errors import Fault, fail
from recipe_mtlvae.submission.check_results import CountedFaults

# Three times the size of eight systems with six score folders of 2,200 clips and 27 classes. Nothing larger is read
MAX_FILES = 200_000
MAX_BYTES = 16 * 2**30
MAX_TABLE = 64 * 2**20  # bytes of one TSV
MAX_DIRECTORY = MAX_FILES * 256  # bytes of a zip's list of files, which is read as a whole
MAX_LINE = 65_536


@dataclass(frozen=True)
class Package:
    """The content of a package. `files` opens each file by its path relative to the package's root, with '/'."""

    path: Path
    files: dict[str, Callable[[], BinaryIO]]
    folders: frozenset[str]  # at the top level, including empty ones
    faults: tuple[Fault, ...]  # what is not read: paths that leave the package, links, the sizes of a zip bomb

    def read(self, name: str, limit: int) -> bytes:
        """Return at most `limit` bytes of a file. Raises RecipeError if it cannot be read."""
        with _readable(name), self.files[name]() as stream:
            return stream.read(limit)

    def lines(self, name: str) -> Iterator[str]:
        """Yield the lines of a text file without line ends. Raises RecipeError if it cannot be read as UTF-8."""
        with _readable(name), self.files[name]() as stream:
            number = size = 0
            while raw := stream.readline(MAX_LINE):
                number, size = number + 1, size + len(raw)
                if size > MAX_TABLE:
                    raise fail(f"over {MAX_TABLE} bytes: the rest is not read", path=name)
                if len(raw) == MAX_LINE:
                    raise fail(f"a line of over {MAX_LINE} bytes", path=name, line=number)
                try:
                    yield raw.decode("utf-8").rstrip("\r\n")
                except UnicodeDecodeError:
                    raise fail("expected UTF-8 text", path=name, line=number) from None


@contextlib.contextmanager
def open_package(path: Path) -> Iterator[Package]:
    """Open the package at `path`. Raises RecipeError if it is neither a zip file nor a folder."""
    if path.is_dir():
        yield _of_folder(path)
        return
    if not path.exists():
        raise fail("no such package", path=path)
    if not path.is_file():
        raise fail("expected a zip file or a folder", path=path)
    try:
        with path.open("rb") as stream:
            end = zipfile._EndRecData(stream)
        if end and end[zipfile._ECD_SIZE] > MAX_DIRECTORY:
            raise fail(f"a list of files of over {MAX_DIRECTORY} bytes", "is it a submission package?", path)
        archive = zipfile.ZipFile(path)
    except (zipfile.BadZipFile, NotImplementedError, ValueError, UnicodeDecodeError) as error:
        raise fail(f"expected a zip file or a folder: {error}", path=path) from None
    with archive:
        yield _of_zip(path, archive)


def _of_folder(root: Path) -> Package:
    files: dict[str, Callable[[], BinaryIO]] = {}
    faults = CountedFaults(str(root), "files")
    size, top = 0, frozenset[str]()
    for folder, folders, names in os.walk(root):
        top = top or frozenset(name for name in folders if not (Path(folder) / name).is_symlink())
        for name in sorted(folders + names):
            file = Path(folder) / name
            relative = file.relative_to(root).as_posix()
            if file.is_symlink():
                faults.add("link", _link(relative))
            elif file.is_file():
                files[relative] = lambda file=file: file.open("rb")
                size += file.stat().st_size
            elif not file.is_dir():
                faults.add("no file", Fault("expected a file", path=relative))
        if len(files) > MAX_FILES or size > MAX_BYTES:
            what = f"more than {MAX_FILES} files or {MAX_BYTES} bytes: the package is not read"
            return Package(root, {}, frozenset(), (Fault(what, path=root),))
    return Package(root, dict(sorted(files.items())), top, tuple(faults.all()))


def _of_zip(path: Path, archive: zipfile.ZipFile) -> Package:
    files: dict[str, Callable[[], BinaryIO]] = {}
    faults = CountedFaults(str(path), "files")
    members = archive.infolist()
    if len(members) > MAX_FILES:
        what = f"{len(members)} files, at most {MAX_FILES} are read"
        return Package(path, {}, frozenset(), (Fault(what, path=path),))
    size, top = 0, set()
    for member in members:
        name = member.orig_filename  # `filename` ends at a NUL byte
        if _leaves(name):
            fault = Fault("a name that leads out of the package", path=f"{path.name}: {name[:200]!r}")
            faults.add("a name that leads out", fault)
            continue
        if "/" in name:
            top.add(name.partition("/")[0])
        if member.is_dir():
            continue
        size += member.file_size
        if stat.S_ISLNK(member.external_attr >> 16):
            faults.add("link", _link(name))
        elif member.flag_bits & 1:
            faults.add("encrypted", Fault("encrypted", "make the zip without a password", name))
        elif name in files:
            faults.add("twice", Fault("is in the zip more than once", path=name))
        elif size <= MAX_BYTES:
            files[name] = lambda member=member: archive.open(member)  # reads no more than the declared size
    found = faults.all()
    if size > MAX_BYTES:
        found.append(Fault(f"unpacks to {size} bytes, at most {MAX_BYTES} are read", path=path))
        files = {}
    return Package(path, dict(sorted(files.items())), frozenset(top), tuple(found))


def _link(name: str) -> Fault:
    return Fault("a link, which may lead out of the package", "put the file itself here", name)


def _leaves(name: str) -> bool:
    parts = name.rstrip("/").split("/")
    strange = any(character in "\\:" or ord(character) < 32 for character in name)
    return strange or any(part in ("", ".", "..") for part in parts)


@contextlib.contextmanager
def _readable(name: str) -> Iterator[None]:
    try:
        yield
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError, OSError) as error:
        raise fail(f"cannot be read: {error}", "make the package again", name) from None
