"""Which bytes of a sound file hold samples, and at what time: the headers compared with what the file really holds."""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

_BLOCK = 1 << 20  # bytes
Part = bytes | tuple[int, int]  # bytes that replace the file's own, or a range (begin, end) of the file


@dataclass(frozen=True)
class Piece:
    """A stretch of a file that decodes without a break when it is read as a file of its own."""

    parts: tuple[Part, ...] = ()  # (): the file as it is
    frames: int | None = None  # samples per channel; None: as many as libsndfile reports
    first: int | None = None  # position of its first sample in the recording; None: by `end`, or after the piece before
    end: int | None = None  # position after its last sample as the stream counts; with `first`: shows where that begins
    appended: bool = False  # it begins another recording, which was appended to the one before
    open_end: bool = False  # libsndfile estimates the length from the size in bytes: claim a larger size


@dataclass(frozen=True)
class Layout:
    """The pieces of a file in order, and what is wrong between and after them."""

    pieces: tuple[Piece, ...] = (Piece(),)
    truncated: str = ""  # what is missing at the end
    stopped: str = ""  # why what follows the last piece is not read


def is_blank(data: bytes, begin: int, end: int | None = None) -> bool:
    """Return whether data[begin:end] are only zeros. It reads blocks: a mapped file may not fit in memory."""
    end = len(data) if end is None else end
    return not any(data[first : min(first + _BLOCK, end)].strip(b"\0") for first in range(begin, end, _BLOCK))


class Spliced(io.RawIOBase):
    """Parts of a file, joined into a readable file object.

    open_end: claim to be far longer, so that a length estimated from the size is never too small.
    """

    def __init__(self, path: Path, parts: Sequence[Part], open_end: bool = False) -> None:
        self._file = path.open("rb")
        self._parts: list[tuple[int, int, Part]] = []  # begin and end of each part
        end = 0
        for part in parts:
            length = len(part) if isinstance(part, bytes) else part[1] - part[0]
            self._parts.append((end, end + length, part))
            end += length
        self._size = end * 64 + 4096 if open_end else end
        if open_end:  # mpg123 looks for a tag in the last 128 bytes
            self._parts.append((self._size - 128, self._size, bytes(128)))
        self._position = 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._position

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        base = {io.SEEK_SET: 0, io.SEEK_CUR: self._position, io.SEEK_END: self._size}[whence]
        self._position = max(0, base + offset)
        return self._position

    def readinto(self, buffer) -> int:
        view = memoryview(buffer).cast("B")
        done = 0
        for begin, end, part in self._parts:
            if done < len(view) and begin <= self._position < end:
                inner, wanted = self._position - begin, min(len(view) - done, end - self._position)
                if isinstance(part, bytes):
                    data = part[inner : inner + wanted]
                else:
                    self._file.seek(part[0] + inner)
                    data = self._file.read(wanted)
                view[done : done + len(data)] = data
                done += len(data)
                self._position += len(data)
        return done

    def close(self) -> None:
        self._file.close()
        super().close()
