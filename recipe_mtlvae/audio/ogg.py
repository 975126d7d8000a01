"""Ogg (Vorbis, Opus): find the pages that a file really holds. Page headers: RFC 3533, section 6.

A page is damaged if its checksum is wrong. libogg leaves damaged pages out, so everything after them comes too early.
Each page states its number, and the time of the last sample that is complete in it (its granule position).
"""

from __future__ import annotations

import struct
import zlib
from dataclasses import dataclass

from recipe_mtlvae.audio.layout import Layout, Piece

_HEADER = struct.Struct("<4sBBqIIIB")
_FIRST, _LAST = 2, 4  # flags
_REVERSED = bytes(int(f"{byte:08b}"[::-1], 2) for byte in range(256))  # Ogg's checksum is zlib's with reversed bits
_OPUS_RATE = 48_000  # Hz, of the granule positions of Opus, whatever the rate of the file


@dataclass(frozen=True)
class _Page:
    begin: int
    end: int
    flags: int
    granule: int  # -1: no packet ends in the page
    serial: int
    number: int


def ogg_layout(data: bytes) -> Layout | None:
    """Return the layout of a file (or memory map); None if it does not begin with an undamaged page."""
    pages = _pages(data)
    if not pages or pages[0].begin or not pages[0].flags & _FIRST:
        return None
    pieces: list[Piece] = []
    recordings = _recordings(pages)
    for i, recording in enumerate(recordings):
        pieces += _pieces(data, recording, appended=i > 0)
    whole = len(pieces) == len(recordings) == 1 and (pieces[0].first == 0 or not pieces[0].parts)
    truncated = "" if recordings[-1][-1].flags & _LAST else "its last page is missing"
    return Layout((Piece(),) if whole else tuple(pieces), truncated)


def _pages(data: bytes) -> list[_Page]:
    """Return the undamaged pages."""
    pages = []
    position = 0
    while (position := data.find(b"OggS", position)) >= 0 and len(data) >= position + _HEADER.size:
        _, _, flags, granule, serial, number, checksum, count = _HEADER.unpack_from(data, position)
        lengths = data[position + _HEADER.size : position + _HEADER.size + count]
        end = position + _HEADER.size + count + sum(lengths)
        page = data[position : position + 22] + bytes(4) + data[position + 26 : end]
        if len(page) == end - position and _checksum(page) == checksum:
            pages.append(_Page(position, end, flags, granule, serial, number))
            position = end
        else:
            position += 4
    return pages


def _checksum(page: bytes) -> int:
    """Return the CRC with zlib's polynomial, the initial value 0, and the bits of each byte in reverse order."""
    remainder = zlib.crc32(page.translate(_REVERSED), 0xFFFFFFFF) ^ 0xFFFFFFFF
    return int(f"{remainder:032b}"[::-1], 2)


def _recordings(pages: list[_Page]) -> list[list[_Page]]:
    """Return the pages of each recording's first stream. A first page after other pages begins another recording."""
    recordings: list[list[_Page]] = []
    opening = False
    for page in pages:
        if page.flags & _FIRST and not opening:
            recordings.append([])
        opening = bool(page.flags & _FIRST)
        if not recordings[-1] or page.serial == recordings[-1][0].serial:
            recordings[-1].append(page)
    return recordings


def _pieces(data: bytes, recording: list[_Page], appended: bool) -> list[Piece]:
    """Return a recording's pages as runs without a gap, each after the recording's headers."""
    audio = next((i for i, page in enumerate(recording) if i and page.granule > 0), len(recording))
    while audio > 1 and recording[audio - 1].granule == -1:  # its packet goes on in the next page
        audio -= 1
    headers = recording[:audio]
    runs: list[list[_Page]] = []
    number = headers[-1].number
    for page in recording[audio:]:
        if not runs or page.number != number + 1:
            runs.append([])
        number = page.number
        runs[-1].append(page)
    if not runs:
        return [Piece(appended=appended)]
    rate, skipped = _granules(data, recording[0])
    pieces = []
    for i, run in enumerate(runs):
        parts = tuple((page.begin, page.end) for page in (*headers, *run))
        last = next((page.granule for page in reversed(run) if page.granule != -1), None)
        if last is None:
            continue
        first = 0 if i == 0 and run[0].number == headers[-1].number + 1 else None
        # libsndfile subtracts the skipped granules from every file's length, but skips only at a stream's beginning
        end = (last - skipped * (1 if first == 0 else 2)) // rate
        pieces.append(Piece(parts, first=first, end=end, appended=appended and i == 0))
    return pieces


def _granules(data: bytes, page: _Page) -> tuple[int, int]:
    """Return the granules per sample, and those skipped before the first sample: 1 and 0 except for Opus.

    libsndfile decodes Opus at the rate that the header states, rounded up to one that the decoder supports.
    """
    head = data[page.begin : page.end].partition(b"OpusHead")[2]
    if len(head) < 8:
        return 1, 0
    skipped, rate = struct.unpack_from("<HI", head, 2)
    return _OPUS_RATE // next((known for known in (8000, 12000, 16000, 24000) if rate <= known), _OPUS_RATE), skipped
