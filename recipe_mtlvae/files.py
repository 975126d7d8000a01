"""Files that are written whole or not at all, and stamps and hashes that show whether something has changed."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import secrets
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from recipe_mtlvae.errors import fail


@contextlib.contextmanager
def atomic_write(path: Path) -> Iterator[Path]:
    """Give a temporary path beside `path` to write to. It is renamed to `path` only if the block succeeds.

    The file's mode follows the umask, as for any new file. OSError names `path`, also if the disk is full.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name[:50]}.{secrets.token_hex(4)}")  # at most 210 bytes
    try:
        os.close(os.open(temporary, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o666))
        yield temporary
        temporary.replace(path)
    except OSError as error:
        if error.filename in (None, str(temporary), temporary):
            raise OSError(error.errno, error.strerror or str(error), str(path)) from None
        raise
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink()


def output_file(path: Path, option: str) -> Path:
    """Return the file to write for a user's `path`: the target of a symbolic link, so that the link stays.

    Raises RecipeError if it exists and is no file, but a folder, a device or a pipe.
    """
    target = Path(os.path.realpath(path))
    kinds = {"folder": target.is_dir(), "device or pipe": target.exists() and not target.is_file()}
    for kind in (kind for kind, found in kinds.items() if found):
        raise fail(f"{option}: expected a file, this is a {kind}", "give another name", path)
    return target


def refuse_pipe(path: Path) -> None:
    """Raise RecipeError for a pipe, since reading it blocks until there is a writer. Pipes below /dev are allowed."""
    with contextlib.suppress(OSError):
        if stat.S_ISFIFO(path.stat().st_mode) and not path.is_relative_to("/dev"):
            raise fail("is a pipe, not a file", "write its content to a file", path)


def read_text(path: Path) -> str:
    """Return the text of a UTF-8 file. Raises RecipeError for a pipe; OSError and UnicodeDecodeError as usual."""
    refuse_pipe(path)
    return path.read_text(encoding="utf-8-sig")


def read_json(path: Path) -> Any:
    """Return the content of a JSON file that the recipe has written; None if it is missing or damaged."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return None


def file_stamp(path: Path) -> tuple[int, int]:
    """Return size (bytes) and modification time (ns), which show whether a file has changed; -1, -1 without a file."""
    try:
        found = path.stat()
    except OSError:
        return -1, -1
    return found.st_size, found.st_mtime_ns


def write_text(path: Path, text: str, newline: str | None = None) -> None:
    """Write `text` (UTF-8) whole or not at all. newline: as for open(); "" keeps the line ends."""
    with atomic_write(path) as temporary:
        temporary.write_text(text, encoding="utf-8", newline=newline)


def write_json(path: Path, content: Any, indent: int | None = 2) -> None:
    """Write `content` as JSON, whole or not at all. NaN is refused, since JSON has no such value.

    indent: None writes one line, for a million values: with indentation, Python takes 10 times the time and memory.
    """
    write_text(path, json.dumps(content, indent=indent, allow_nan=False) + "\n")


def content_hash(*parts: Any) -> str:
    """Return a short, stable hash of values that JSON can hold; others count by their str()."""
    text = json.dumps(parts, sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:12]
