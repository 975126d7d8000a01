"""MP3 and MPEG layers I and II: find the frames that a file really holds.

A frame's header determines its length in bytes, so the frames are counted by going from one to the next. libsndfile
only estimates the length, unless a Xing header counts the frames. Headers: ISO/IEC 11172-3, 2.4.1.3.
"""

from __future__ import annotations

import functools
import re
import struct
from dataclasses import dataclass, field

from recipe_mtlvae.audio.layout import Layout, Piece, is_blank

_KBITS = {  # kbit/s by index, by (version 1, layer)
    (True, 1): (32, 64, 96, 128, 160, 192, 224, 256, 288, 320, 352, 384, 416, 448),
    (True, 2): (32, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320, 384),
    (True, 3): (32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320),
    (False, 1): (32, 48, 56, 64, 80, 96, 112, 128, 144, 160, 176, 192, 224, 256),
    (False, 2): (8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160),
    (False, 3): (8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160),
}
_RATES = {3: (44100, 48000, 32000), 2: (22050, 24000, 16000), 0: (11025, 12000, 8000)}  # Hz, by version
_SYNC = re.compile(rb"\xff[\xe2-\xff]")
_DECODER_DELAY = 529  # samples that mpg123 removes at the beginning besides the encoder's delay, if a tag states that


@dataclass(frozen=True)
class _Frame:
    """The content of a frame's header."""

    length: int  # bytes
    samples: int
    mean_length: float  # bytes; mean of the frames with and without padding at this bit rate
    kind: tuple[int, int, int, bool]  # version, layer, rate, mono: the same in all frames of a recording
    tag: int  # offset of a Xing header in the frame, if there is one


@dataclass
class _Run:
    """Consecutive frames, from `begin` to `end` in the file."""

    begin: int
    end: int
    gap: int  # bytes before the run that are not frames; 0: the run begins a recording
    tag: bytes = b""  # the frame with the Xing header, which holds no sound
    place: int = 0  # offset of the Xing header in `tag`
    lengths: set[float] = field(default_factory=set)  # mean lengths of the frames: one if the bit rate is constant
    count: int = 0

    @property
    def promised(self) -> int:
        """Number of frames of the whole recording according to its Xing header; 0 if the header does not state it."""
        flags, frames = struct.unpack_from(">II", self.tag, self.place + 4) if self.tag else (0, 0)
        return frames if flags & 1 else 0

    @property
    def cut(self) -> tuple[int, int]:
        """Samples that mpg123 removes at the beginning and at the end, according to LAME's part of the Xing header."""
        flags = struct.unpack_from(">I", self.tag, self.place + 4)[0] if self.promised else 0
        lame = self.place + 8 + 4 * (flags & 1) + 2 * (flags & 2) + 25 * (flags & 4) + (flags & 8) // 2
        if len(self.tag) < lame + 24 or not flags or not self.tag[lame]:
            return 0, 0
        delay, padding = divmod(int.from_bytes(self.tag[lame + 21 : lame + 24], "big"), 1 << 12)
        return delay + _DECODER_DELAY, max(0, padding - _DECODER_DELAY)


def mpeg_layout(data: bytes, begin: int = 0) -> Layout | None:
    """Return the layout of the frames in a file (or memory map) from `begin` on; None if there are none."""
    runs, left = _runs(data, begin, _without_tags(data))
    runs = [run for run in runs if run.count]
    if not runs:
        return None
    samples = _frame(data, runs[0].begin).samples
    pieces: list[Piece] = []
    found, recording = 0, runs[0]  # frames of the recording so far, including lost ones
    for i, run in enumerate(runs):
        if not run.gap:
            recording, found = run, run.count
            pieces.append(_first_piece(run, samples, appended=i > 0, alone=len(runs) == 1))
            continue
        lost = _lost(recording, found, run, runs[i + 1 :])
        if lost is None:
            why = f"{run.gap} bytes are no audio, and for how long is not known: what follows is not read"
            return Layout(tuple(pieces), stopped=why)
        found += lost + run.count
        frames = run.count * samples - (recording.cut[1] if found == recording.promised else 0)
        first = (found - run.count) * samples - recording.cut[0]
        pieces.append(Piece(((run.begin, run.end),), frames, first, open_end=True))
    if not left and found < recording.promised - 1:  # some writers also count the header's frame
        left = f"{recording.promised - found} of {recording.promised} frames are missing"
    return Layout(tuple(pieces), truncated=left)


def begins_with_frames(data: bytes) -> bool:
    """Return whether the data begin with three consecutive frames of the same kind."""
    position, kinds = 0, set()
    for _ in range(3):
        frame = _frame(data, position)
        kinds.add(frame and frame.kind)
        if frame is None or len(kinds) > 1:
            return False
        position += frame.length
    return True


def _first_piece(run: _Run, samples: int, appended: bool, alone: bool) -> Piece:
    """Return the first piece of a recording."""
    if not run.promised:
        return Piece(((run.begin, run.end),), run.count * samples, appended=appended, open_end=True)
    if alone and run.promised == run.count:
        return Piece()
    counted = bytearray(run.tag)
    struct.pack_into(">I", counted, run.place + 8, run.count)
    if counted[run.place + 7] & 2:
        struct.pack_into(">I", counted, run.place + 12, len(counted) + run.end - run.begin)
    return Piece((bytes(counted), (run.begin, run.end)), appended=appended)


def _lost(recording: _Run, found: int, run: _Run, later: list[_Run]) -> int | None:
    """Return how many frames the gap before `run` held, by a constant bit rate or the Xing header; None if unknown."""
    if recording.lengths == run.lengths and len(run.lengths) == 1:
        return round(run.gap / next(iter(run.lengths)))
    if recording.promised and not any(other.gap for other in later):
        return max(0, recording.promised - found - run.count)
    return None


def _runs(data: bytes, begin: int, end: int) -> tuple[list[_Run], str]:
    """Return the runs of frames in data[begin:end], and what is wrong at the end."""
    runs: list[_Run] = []
    kind = None
    position, gap, open_run = begin, 0, False
    while position < end:
        frame = _frame(data, position)
        fits = frame is not None and kind in (None, frame.kind)
        if not fits or not (open_run or _followed(data, position, frame, end)):
            after = _tag_end(data, position)
            if after is None:
                after = _next_frame(data, position + 1, kind, end)
                if after is None:
                    junk = end - position
                    return runs, "" if is_blank(data, position, end) else f"its last {junk} bytes are no audio"
                gap += after - position
            position, open_run = after, False
            continue
        if position + frame.length > end:
            return runs, f"{position + frame.length - end} bytes of its last frame are missing"
        tag = data[position : position + frame.length]
        is_tag = tag[frame.tag : frame.tag + 4] in (b"Xing", b"Info")
        kind = frame.kind
        if is_tag or not open_run:
            runs.append(_Run(position, position, gap if runs and not is_tag else 0))
            gap, open_run = 0, True
        run = runs[-1]
        position += frame.length
        run.end = position
        if is_tag:
            run.begin, run.tag, run.place = position, bytes(tag), frame.tag
        else:
            run.count += 1
            run.lengths.add(frame.mean_length)
    return runs, ""


def _frame(data: bytes, position: int) -> _Frame | None:
    header = data[position : position + 4]
    return _parsed(header[:3] + bytes([header[3] & 0xC0])) if len(header) == 4 and header[0] == 0xFF else None


@functools.lru_cache(maxsize=1024)
def _parsed(header: bytes) -> _Frame | None:
    """Parse a frame header. Return None if it is not one; headers with a free-format bit rate are not supported."""
    bits = int.from_bytes(header, "big")
    version, layer = bits >> 19 & 3, 4 - (bits >> 17 & 3)
    index, rate = bits >> 12 & 15, bits >> 10 & 3
    if bits >> 21 != 0x7FF or version == 1 or layer == 4 or index in (0, 15) or rate == 3:
        return None
    hertz = _RATES[version][rate]
    samples = {1: 384, 2: 1152, 3: 1152 if version == 3 else 576}[layer]
    slot = 4 if layer == 1 else 1
    slots = samples // 8 * _KBITS[version == 3, layer][index - 1] * 1000 // slot
    mono = bits >> 6 & 3 == 3
    side = (17 if mono else 32) if version == 3 else (9 if mono else 17)
    tag = 4 + side if layer == 3 else slots * slot  # layers I and II have none
    length = (slots // hertz + (bits >> 9 & 1)) * slot
    return _Frame(length, samples, slots * slot / hertz, (version, layer, hertz, mono), tag)


def _followed(data: bytes, position: int, frame: _Frame, end: int) -> bool:
    """Return whether a frame of the same kind, a tag or the end comes next. Any four bytes may look like a header."""
    after = position + frame.length
    following = _frame(data, after)
    return after >= end or _tag_end(data, after) is not None or bool(following and following.kind == frame.kind)


def _next_frame(data: bytes, position: int, kind: tuple | None, end: int) -> int | None:
    for match in _SYNC.finditer(data, position, end):
        frame = _frame(data, match.start())
        if frame and kind in (None, frame.kind) and _followed(data, match.start(), frame, end):
            return match.start()
    return None


def _without_tags(data: bytes) -> int:
    """Return where the tags at the end of a file begin. An APE tag may state its length only in its last 32 bytes."""
    end = len(data)
    while end >= 128:
        size, flags = struct.unpack_from("<I4xI", data, end - 20)
        if data[end - 128 : end - 125] == b"TAG":
            end -= 128
        elif data[end - 32 : end - 24] == b"APETAGEX" and 32 <= size <= end:
            end -= size + 32 * (flags >> 31)  # the length does not include a header
        else:
            break
    return end


def _tag_end(data: bytes, position: int) -> int | None:
    """Return where the tag (ID3, APE) at `position` ends; None if no tag begins there."""
    header = data[position : position + 10]
    if header[:3] == b"ID3" and len(header) == 10:
        footer = 10 if header[5] & 16 else 0
        return position + 10 + sum((byte & 127) << 7 * (3 - i) for i, byte in enumerate(header[6:])) + footer
    if data[position : position + 3] == b"TAG":
        return position + 128
    if data[position : position + 8] == b"APETAGEX":
        return position + 32 + int.from_bytes(data[position + 12 : position + 16], "little")
    return None
