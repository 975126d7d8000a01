"""FLAC: find the frames that a file really holds. Headers: RFC 9639, sections 8 and 9.1.

Each frame states its number and can be decoded on its own, so a damaged frame is a hole of known position and length.
"""

from __future__ import annotations

import functools
import re
from dataclasses import dataclass

from recipe_mtlvae.audio.layout import Layout, Piece

_MAGIC = re.compile(rb"fLaC[\x00\x80]\x00\x00\x22")  # with the header of STREAMINFO, the first metadata block
_SYNC = re.compile(rb"\xff[\xf8\xf9]")
_BLOCKS = {1: 192, **{code: 144 << code for code in range(2, 6)}, **{code: 1 << code for code in range(8, 16)}}


@dataclass(frozen=True)
class _Frame:
    begin: int  # byte
    first: int  # number of its first sample
    samples: int


def flac_layout(data: bytes, by_frame: bool = False) -> Layout | None:
    """Return the layout of a file (or memory map); None if it holds no frame.

    by_frame: make each frame a piece of its own, so that a damaged frame does not affect others.
    """
    begins = [match.start() for match in _MAGIC.finditer(data)]
    if not begins:
        return None
    pieces: list[Piece] = []
    missing = 0
    for begin, end in zip(begins, [*begins[1:], len(data)], strict=True):
        found, missing = _pieces(data, begin, end, by_frame)
        if pieces and found:
            found[0] = Piece(found[0].parts, found[0].frames, found[0].first, appended=True)
        pieces += found
    if not pieces:
        return None
    truncated = f"{missing} samples are missing" if missing > 0 else ""
    return Layout(tuple(pieces), truncated)


def _pieces(data: bytes, begin: int, end: int, by_frame: bool) -> tuple[list[Piece], int]:
    """Return the pieces of the recording in data[begin:end], and the number of samples missing at its end."""
    audio = begin + 4
    while audio + 4 <= end:
        last, length = data[audio] & 128, int.from_bytes(data[audio + 1 : audio + 4], "big")
        audio += 4 + length
        if last:
            break
    info = begin + 8  # STREAMINFO
    block = int.from_bytes(data[info : info + 2], "big")
    promised = int.from_bytes(data[info + 13 : info + 18], "big") & (1 << 36) - 1
    frames = _frames(data, audio, end, block)
    if frames and not _is_whole(data, frames[-1].begin, end):
        frames.pop()
    if not frames:
        return [], promised
    known = frames[-1].first + frames[-1].samples
    runs: list[list[_Frame]] = []
    for frame in frames:
        if by_frame or not runs or frame.first != runs[-1][-1].first + runs[-1][-1].samples:
            runs.append([])
        runs[-1].append(frame)
    if len(runs) == 1 and not frames[0].first and promised == known and (begin, end) == (0, len(data)):
        return [Piece()], 0
    nexts = dict(zip((frame.begin for frame in frames), [*(frame.begin for frame in frames[1:]), end], strict=True))
    pieces = []
    for run in runs:
        samples = run[-1].first + run[-1].samples - run[0].first
        stated = (int.from_bytes(data[info + 13 : info + 18], "big") >> 36 << 36 | samples).to_bytes(5, "big")
        header = data[begin : info + 13] + stated + bytes(16) + data[info + 34 : audio]  # without the MD5 of the whole
        pieces.append(Piece((header, (run[0].begin, nexts[run[-1].begin])), samples, run[0].first))
    return pieces, promised - known if promised else 0


def _frames(data: bytes, begin: int, end: int, block: int) -> list[_Frame]:
    """Return the frames from `begin` on.

    Bytes that only look like a header are left out: they neither continue a frame nor are continued by one.
    """
    likely = [frame for match in _SYNC.finditer(data, begin, end) if (frame := _frame(data, match.start(), block))]
    firsts = {frame.first for frame in likely}
    frames: list[_Frame] = []
    expected = 0
    for frame in likely:
        after = frame.first + frame.samples
        if frame.first == expected or (frame.first > expected and after in firsts):
            frames.append(frame)
            expected = after
    return frames


def _frame(data: bytes, begin: int, block: int) -> _Frame | None:
    """Return the frame whose header is at `begin`, or None. block: samples per frame by STREAMINFO, if constant."""
    codes = data[begin + 1 : begin + 5]
    if len(codes) < 4 or codes[2] & 1 or codes[2] >> 4 > 10:
        return None
    size = codes[1] >> 4
    length = next((bits for bits in range(8) if not codes[3] << bits & 128), 8)  # bytes of the number, in UTF-8
    if not size or length in (1, 8):
        return None
    length = max(length, 1)
    number = codes[3] & (127 if length == 1 else 127 >> length)
    for byte in data[begin + 5 : begin + 4 + length]:
        number = number << 6 | byte & 63
    end = begin + 4 + length
    samples = _BLOCKS.get(size)
    if samples is None:
        width = size - 5
        samples = int.from_bytes(data[end : end + width], "big") + 1
        end += width
    end += {12: 1, 13: 2, 14: 2}.get(codes[1] & 15, 0)
    if _remainder(data[begin : end + 1], 0x107, 8):
        return None
    return _Frame(begin, number if codes[0] & 1 else number * block, samples)


def _is_whole(data: bytes, begin: int, end: int) -> bool:
    """Return whether the frame at `begin` ends at `end`, or before an ID3 tag, which some programs append."""
    if data[end - 128 : end - 125] == b"TAG":
        end -= 128
    return not _remainder(data[begin:end], 0x18005, 16)


def _remainder(data: bytes, polynomial: int, width: int) -> int:
    """Return the CRC remainder of data that end with their own CRC: 0 if they are undamaged."""
    table, value = _table(polynomial, width), 0
    for byte in data:
        value = (value << 8 & (1 << width) - 1) ^ table[value >> width - 8 ^ byte]
    return value


@functools.cache
def _table(polynomial: int, width: int) -> list[int]:
    """Return the CRC remainder of each byte."""
    table = []
    for byte in range(256):
        value = byte << width - 8
        for _ in range(8):
            value = value << 1 ^ (polynomial if value >> width - 1 else 0)
        table.append(value)
    return table
