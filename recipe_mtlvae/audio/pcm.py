"""Containers of plain samples (WAV, RF64, W64, AIFF, AU, CAF): the promises of their headers, and the real content.

If a header promises more bytes than there are, the file is truncated. If it promises fewer or none, and samples follow,
the header was never finished because the recorder lost power. Then the samples go on to the end of the file.
"""

from __future__ import annotations

import itertools
import struct
from collections.abc import Iterator
from dataclasses import dataclass, replace

from recipe_mtlvae.audio.layout import Layout, Part, Piece, is_blank

_PIPED = 0x7FFF0000  # bytes; tools that write to a pipe state a size near the largest possible one
_LARGEST = 0xFFFFFFFF  # bytes; the largest length in 32 bits


@dataclass(frozen=True)
class _Kind:
    """How a container stores its chunks."""

    first: int  # byte at which the first chunk begins
    header: struct.Struct  # name, length
    counted: int  # bytes of the header that the length includes
    align: int  # chunks begin at multiples of this many bytes
    name: bytes  # of the chunk with the samples
    before: int = 0  # bytes of that chunk before the samples
    types: tuple[bytes, ...] = (b"WAVE",)  # allowed values of bytes 8 to 11

    def aligned(self, begin: int, place: int) -> int:
        """Return the first byte from `place` on at which a chunk may begin, in a recording that begins at `begin`."""
        return place + (begin - place) % self.align


_KINDS = {
    b"RIFF": _Kind(12, struct.Struct("<4sI"), 0, 2, b"data"),
    b"RIFX": _Kind(12, struct.Struct(">4sI"), 0, 2, b"data"),
    b"RF64": _Kind(12, struct.Struct("<4sI"), 0, 2, b"data"),
    b"BW64": _Kind(12, struct.Struct("<4sI"), 0, 2, b"data"),
    b"FORM": _Kind(12, struct.Struct(">4sI"), 0, 2, b"SSND", 8, (b"AIFF", b"AIFC")),
    b"riff": _Kind(40, struct.Struct("<16sQ"), 24, 8, b"data", 0, (b"\xa5\xd6\x28\xdb",)),  # W64: names are GUIDs
    b"caff": _Kind(8, struct.Struct(">4sQ"), 0, 1, b"data", 4, (b"desc",)),
}


@dataclass(frozen=True)
class _Samples:
    """Where a container's samples are."""

    begin: int
    length: int  # bytes according to the header
    unknown: bool  # this may be a placeholder: whoever wrote the header did not know the length
    place: int  # where the header states the length
    form: str  # of that number, for struct
    more: int  # bytes that the number includes besides the samples
    misread: bool = False  # libsndfile takes another length from this header

    @property
    def end(self) -> int:
        return self.begin + self.length


def pcm_layout(data: bytes) -> Layout | None:
    """Return the layout of a file (or memory map); None if it is of another kind."""
    pieces: list[Piece] = []
    begin, samples = 0, _samples(data, 0)
    while samples is not None:
        following = _following(data, begin, samples)
        layout = _layout(data, begin, samples, is_last=following is None)
        pieces += [replace(piece, appended=begin > 0) for piece in layout.pieces]
        if following is None:
            return replace(layout, pieces=tuple(pieces))
        begin, samples = following
    return None


def _samples(data: bytes, begin: int) -> _Samples | None:
    """Return where the samples of the recording at `begin` are; None if there is none of a known kind."""
    kind = _KINDS.get(data[begin : begin + 4])
    if kind and data[begin + 8 : begin + 12] not in kind.types:
        return None
    return _chunked(data, begin, kind) if kind else _au(data, begin)


def _following(data: bytes, begin: int, samples: _Samples) -> tuple[int, _Samples] | None:
    """Return the place and the samples of another recording of the same kind after that at `begin`, if there is one."""
    magic, place = data[begin : begin + 4], samples.end
    if kind := _KINDS.get(magic):
        chunks = _chunks(data, kind.aligned(begin, samples.end), begin, kind)
        names = itertools.takewhile(lambda chunk: _is_name(chunk[1][:4]), chunks)
        place = next((place for place, name, _ in names if name[:4] == magic), len(data))
    found = _samples(data, place) if data[place : place + 4] == magic else None
    return None if found is None else (place, found)


def _layout(data: bytes, begin: int, samples: _Samples, is_last: bool) -> Layout:
    """Return the layout of one recording."""
    there = max(0, len(data) - samples.begin)
    end = samples.end if not is_last else len(data)
    whole = Piece(((begin, end),) if begin or not is_last else ())
    if samples.misread:
        whole = _corrected(data, begin, samples, min(samples.length, there))
    if samples.length > there and not samples.unknown:
        missing = f"{samples.length - there} of {samples.length} bytes are missing"
        return Layout((_corrected(data, begin, samples, there),), truncated=missing)
    if samples.length > there or not is_last or not _goes_on(data, begin, samples):
        return Layout((whole,))
    unfinished = "" if samples.unknown else f"its header was never finished, and promises {samples.length} bytes"
    beyond = there + samples.more > _LARGEST and data[begin : begin + 4] in (b"FORM", b"RIFX")
    stopped = "its format holds at most 4 GiB, and what follows is not read" if beyond else ""
    return Layout((_corrected(data, begin, samples, there),), unfinished, stopped)


def _corrected(data: bytes, begin: int, samples: _Samples, there: int) -> Piece:
    """Return the container with `there` bytes of samples, as its header then says; a WAV over 4 GiB becomes an RF64."""
    length, end = there + samples.more, samples.begin + there
    first: tuple[Part, ...] = ((begin, samples.place),)
    name = data[begin : begin + 4]
    # libsndfile takes an AU's length as a signed number; the largest one says that the samples go on to the end
    if samples.form[-1] == "I" and length > (_LARGEST >> 1 if name in (b".snd", b"dns.") else _LARGEST):
        length = _LARGEST
        if name == b"RIFF":
            ds64 = struct.pack("<4sI4s4sIQQQI", b"RF64", _LARGEST, b"WAVE", b"ds64", 28, len(data) - begin, there, 0, 0)
            first = (ds64, (begin + 12, samples.place))
    stated = struct.pack(samples.form, length)
    if name in (b"RF64", b"BW64") and samples.form == "<Q":  # the length before the samples refers to this one
        refers = struct.pack("<I", _LARGEST)
        return Piece((*first, stated, (samples.place + 8, samples.begin - 4), refers, (samples.begin, end)))
    return Piece((*first, stated, (samples.place + len(stated), end)))


def _chunked(data: bytes, begin: int, kind: _Kind) -> _Samples | None:
    long = None  # RF64: position of the length in 64 bits
    for place, name, length in _chunks(data, begin + kind.first, begin, kind):
        if not any(name):  # zeros, as in a file that was not fetched whole
            return None
        if name == b"ds64" and length >= 16:
            long = place + kind.header.size + 8
        if name.startswith(kind.name):
            start = place + kind.header.size + kind.before
            if long:
                longer = struct.unpack_from("<Q", data, long)[0]
                own = longer if length == _LARGEST else length
                return _Samples(start, own, False, long, "<Q", 0, misread=own != longer)
            form = kind.header.format[0] + kind.header.format[-1]
            more = kind.before + kind.counted
            unknown = length >= (_PIPED if form[-1] == "I" else 1 << 62)
            stated_at = place + kind.header.size - struct.calcsize(form)
            return _Samples(start, max(0, length - more), unknown, stated_at, form, more)
    return None


def _chunks(data: bytes, place: int, begin: int, kind: _Kind) -> Iterator[tuple[int, bytes, int]]:
    """Yield the position, name and length of each chunk, until one begins beyond the end."""
    while place + kind.header.size <= len(data):
        name, length = kind.header.unpack_from(data, place)
        yield place, name, length
        place = kind.aligned(begin, place + kind.header.size + max(0, length - kind.counted))


def _au(data: bytes, begin: int) -> _Samples | None:
    order = {b".snd": ">", b"dns.": "<"}.get(data[begin : begin + 4])
    if order is None or len(data) < begin + 24:
        return None
    start, length = struct.unpack_from(f"{order}II", data, begin + 4)
    if start < 24:  # within the header
        return None
    misread = length > _LARGEST >> 1  # as a signed number
    return _Samples(begin + start, length, length >= _PIPED, begin + 8, f"{order}I", 0, misread)


def _goes_on(data: bytes, begin: int, samples: _Samples) -> bool:
    """Return whether the samples of the recording at `begin` go on after their end, since no chunks follow.

    Where the header promises no samples, what follows counts as chunks only if the last one ends with the file.
    """
    kind = _KINDS.get(data[begin : begin + 4])
    after = kind.aligned(begin, samples.end) if kind else samples.end
    if len(data) - after < 8 or is_blank(data, after):
        return False
    if kind is None:
        return True
    if samples.length:
        # some writers leave out the byte that makes a chunk's length even
        return not any(_is_name(data[place : place + 4]) for place in (after, samples.end))
    for place, name, length in _chunks(data, after, after, kind):
        if not _is_name(name[:4]):
            return not is_blank(data, place)
        if abs(place + kind.header.size + max(0, length - kind.counted) - len(data)) <= 1:
            return False
    return True


def _is_name(text: bytes) -> bool:
    return all(32 <= byte < 127 for byte in text)
