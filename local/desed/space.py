"""Room on the disk: asked for before a step, and a clear word where it runs out all the same."""

from __future__ import annotations

import contextlib
import errno
import shutil
from collections.abc import Iterator
from pathlib import Path

from local.desed.progress import byte_text
from recipe_mtlvae.errors import fail

CLIP_BYTES = 10 * 44_100 * 2 + 44  # one AudioSet clip as desed saves it: 10 s, 44.1 kHz, 16 bits
UNPACKED = 2  # bytes out of an archive for one in it, at most: audio compresses badly


def require_room(root: Path, needed: int) -> None:
    """Raise RecipeError where the disk of `root` has less than `needed` bytes free."""
    free = shutil.disk_usage(root).free
    if needed > free:
        what = f"needs {byte_text(needed)} on this disk, where {byte_text(free)} are free"
        raise fail(what, "make room, or take fewer splits: --set data.splits=[validation, public]", root)


@contextlib.contextmanager
def full_disk_told(root: Path) -> Iterator[None]:
    """Turn a full disk or a spent quota within the block into a RecipeError."""
    try:
        yield
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT):
            raise
        raise fail("the disk is full", "make room and run the same again: what is there is kept", root) from None
