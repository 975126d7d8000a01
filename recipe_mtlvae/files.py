"""Files that appear whole or not at all, and what tells one from another."""

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
    """Give a temporary path beside `path` to write to; it takes `path`'s name only if the block succeeds.

    Its mode is that of any new file, by the umask. OSError names `path` also where the disk is full.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    try:
        os.close(os.open(temporary, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o666))
        yield temporary
        temporary.replace(path)
    except OSError as error:
        if error.filename in (None, str(temporary), temporary):
            raise OSError(error.errno, error.strerror or str(error), str(path)) from None
        raise
    finally:
        temporary.unlink(missing_ok=True)


def output_file(path: Path, option: str) -> Path:
    """Where to write what a user calls `path`: a link's target, so that the link stays.

    Raises RecipeError for what is there and is no file: a folder, a device, a pipe.
    """
    target = Path(os.path.realpath(path))
    kinds = {"folder": target.is_dir(), "device or pipe": target.exists() and not target.is_file()}
    for kind in (kind for kind, found in kinds.items() if found):
        raise fail(f"{option}: expected a file, this is a {kind}", "give another name", path)
    return target


def refuse_pipe(path: Path) -> None:
    """Raises RecipeError for a pipe: reading one blocks until there is a writer. The shell's own (/dev) are fine."""
    with contextlib.suppress(OSError):
        if stat.S_ISFIFO(path.stat().st_mode) and not path.is_relative_to("/dev"):
            raise fail("is a pipe, not a file", "write its content to a file", path)


def read_text(path: Path) -> str:
    """The whole of a UTF-8 file; RecipeError for a pipe, OSError and UnicodeDecodeError as of any."""
    refuse_pipe(path)
    return path.read_text(encoding="utf-8-sig")


def read_json(path: Path) -> Any:
    """What a file of our own holds; None where it is not there, or damaged."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return None


def file_stamp(path: Path) -> tuple[int, int]:
    """Size (bytes) and time of change (ns), which tell whether a file is still as it was; -1 both where it is not."""
    try:
        found = path.stat()
    except OSError:
        return -1, -1
    return found.st_size, found.st_mtime_ns


def write_text(path: Path, text: str, newline: str | None = None) -> None:
    """Write `text` (UTF-8) whole or not at all; newline "": line ends as they are."""
    with atomic_write(path) as temporary:
        temporary.write_text(text, encoding="utf-8", newline=newline)


def write_json(path: Path, content: Any, indent: int | None = 2) -> None:
    """Write `content` as JSON whole or not at all; NaN is refused, since JSON has none.

    indent None: on one line, for a million values: Python's encoder that indents takes 10 times the time and memory.
    """
    write_text(path, json.dumps(content, indent=indent, allow_nan=False) + "\n")


def content_hash(*parts: Any) -> str:
    """A short stable hash of JSON-able values."""
    text = json.dumps(parts, sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:12]
