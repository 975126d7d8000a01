"""Decode a sound file to its real end, with each sample at its true time, and find out what is wrong with it."""

from __future__ import annotations

import functools
import mmap
from bisect import bisect_right
from pathlib import Path
from typing import BinaryIO

import numpy as np
import soundfile

from recipe_mtlvae.audio.flac import flac_layout
from recipe_mtlvae.audio.layout import Layout, Spliced
from recipe_mtlvae.audio.mpeg import mpeg_layout
from recipe_mtlvae.audio.ogg import ogg_layout
from recipe_mtlvae.audio.pcm import pcm_layout
from recipe_mtlvae.errors import Fault

HINT = "the readable samples are used at their true times; replace the file if you have a complete copy"
_CAREFUL = 1024  # samples decoded at a time after decoding more at once has failed
_BEFORE = 1 << 16  # samples decoded before the target of a seek: an MP3 frame uses up to 511 bytes before it
_UNKNOWN = 1 << 62  # samples; where libsndfile reports at least as many, it does not know the length


class _Sequential(soundfile.SoundFile):
    """Decodes without seeking. soundfile would seek after each read to where it should be, and hide missing samples."""

    def seekable(self) -> bool:
        return False


class Recording:
    """An open sound file. A hole is filled with zeros if its length is known; otherwise the recording ends there."""

    def __init__(self, path: Path) -> None:
        """Open a file. Raises soundfile.LibsndfileError if it is not audio, OSError if it cannot be read."""
        self.path = path
        self._source: BinaryIO | Spliced | None = None
        self._file: _Sequential | None = None
        self._position = 0
        self._repaired = False
        stat = path.stat()
        try:
            self._lay(_layout(path, stat.st_size, stat.st_mtime_ns))
        except BaseException:
            self.close()
            raise

    @property
    def frames(self) -> int:
        """The length in samples per channel. It shrinks when the end turns out to be damaged while it is decoded."""
        return self._ends[-1]

    @property
    def duration(self) -> float:
        """The length in seconds."""
        return self.frames / self.samplerate

    def seek(self, frame: int) -> None:
        """Continue reading at sample `frame`."""
        self._position = frame

    def read(self, count: int, dtype: str = "float32") -> np.ndarray:
        """Return the next `count` samples of each channel (count, channels); fewer at the end of the recording."""
        samples = np.zeros((max(0, min(count, self.frames - self._position)), self.channels), dtype)
        done = 0
        while done < len(samples) and self._position < self.frames:
            i = bisect_right(self._ends, self._position)
            left = samples[done:]
            if self._begins[i] > self._position:
                step = min(len(left), self._begins[i] - self._position)
            else:
                step = self._decode(i, left[: self._ends[i] - self._position])
            done += step
            self._position += step
        return samples[:done]

    @property
    def damage(self) -> Fault | None:
        """What is wrong with the recording, as far as it has been read."""
        said = []
        ends = [0, *self._ends]
        holes = [(end, begin) for end, begin in zip(ends, self._begins, strict=False) if begin > end]
        if holes:
            where = f"at {holes[0][0] / self.samplerate:.2f} s"
            if len(holes) > 1:
                where = f"in {len(holes)} places, the first {where}"
            missing = sum(begin - end for end, begin in holes) / self.samplerate
            said.append(f"is damaged {where}: {missing:.2f} s are missing there, and are silent")
        if self._layout.stopped:
            said.append(f"is damaged at {self.duration:.2f} s: {self._layout.stopped}")
        if self._layout.truncated or self._cut:
            said.append(f"is truncated at {self.duration:.2f} s: {self._layout.truncated or self._cut}")
        return Fault("; ".join(said), HINT, self.path) if said else None

    def close(self) -> None:
        if self._file is not None:
            self._file.close()
        if self._source is not None:
            self._source.close()
        self._file = self._source = None

    def _lay(self, layout: Layout) -> None:
        """Find where each piece begins and ends, in samples."""
        self._layout, self._cut = layout, ""
        self._begins: list[int] = []
        self._ends: list[int] = []
        base = ahead = 0
        known = False
        for i, piece in enumerate(layout.pieces):
            frames = piece.frames
            if frames is None or not known or piece.appended:
                try:
                    file = self._open(i)
                except soundfile.LibsndfileError:
                    last = i == len(layout.pieces) - 1
                    if last and not known:
                        raise
                    self._begins.append(self._ends[-1] if i else 0)
                    self._ends.append(self._begins[-1])
                    self._cut = "what follows cannot be decoded" if last else ""
                    continue
                if not known:
                    known = True
                    self.samplerate, self.channels = file.samplerate, file.channels
                    self.format, self.subtype = file.format, file.subtype
                elif (file.samplerate, file.channels) != (self.samplerate, self.channels):
                    kinds = f"{file.samplerate} Hz in {file.channels} channels"
                    self._layout = Layout(layout.pieces[:i], stopped=f"another recording follows, of {kinds}")
                    break
                if frames is None:
                    frames = file.frames if file.frames < _UNKNOWN else self._counted(i)
            end = self._ends[-1] if i else 0
            if not i or piece.appended:
                base, ahead = end, 0
            begin = end if piece.first is None else base + piece.first
            if piece.end is not None and piece.first is not None:
                ahead = piece.end - frames  # the stream's time does not begin at 0
            elif piece.end is not None:
                begin = base + piece.end - ahead - frames
            self._begins.append(begin)
            self._ends.append(max(end, begin + frames))

    def _open(self, i: int) -> _Sequential:
        self.close()
        piece = self._layout.pieces[i]
        if piece.parts:
            self._source = Spliced(self.path, piece.parts, piece.open_end)
            self._file = _Sequential(self._source)
        else:  # by file descriptor: libsndfile limits the length of names, and soundfile encodes them as UTF-8
            self._source = self.path.open("rb")
            self._file = _Sequential(self._source.fileno(), closefd=False)
        self._opened, self._next = i, 0
        return self._file

    def _counted(self, i: int) -> int:
        """Count the samples of a piece whose length libsndfile does not know."""
        frames = 0
        try:
            while found := len(self._file.read(_CAREFUL, dtype="float32")):
                frames += found
        except soundfile.LibsndfileError:
            self.close()
        else:
            self._open(i)
        return frames

    def _decode(self, i: int, samples: np.ndarray) -> int:
        """Fill `samples` from piece `i`. Return how many were decoded; after a repair of the layout, 0."""
        try:
            done = self._filled(i, samples, len(samples))
        except soundfile.LibsndfileError:
            self.close()
            done = -1
        if done == len(samples):
            return done
        if self.format == "FLAC" and not self._repaired:
            self._repaired = True
            with self.path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
                layout = flac_layout(data, by_frame=True)
            if layout:
                self._lay(layout)
                return 0
        if done < 0:
            done = self._careful(i, samples)
        if i == len(self._ends) - 1:
            self._cut = f"{self._ends[i] - self._position - done} samples cannot be decoded"
        self._ends[i] = self._position + done
        return done

    def _filled(self, i: int, samples: np.ndarray, most: int) -> int:
        """Fill `samples` from piece `i`, `most` at a time. Raises LibsndfileError if they cannot be decoded."""
        place = self._position - self._begins[i]
        if self._file is None or self._opened != i:
            self._open(i)
        if place != self._next:
            self._next = max(0, place - _BEFORE) if self.format in ("MP3", "OGG") else place
            self._file.seek(self._next)
            self._next += len(self._file.read(place - self._next, dtype="float32"))
        done = 0
        while done < len(samples) and (found := len(self._file.read(out=samples[done : done + most]))):
            done += found
            self._next += found
        return done

    def _careful(self, i: int, samples: np.ndarray) -> int:
        """Fill `samples` from piece `i` in small steps, as far as they can be decoded."""
        place = self._position - self._begins[i]
        try:
            return self._filled(i, samples, _CAREFUL)
        except soundfile.LibsndfileError:
            done = self._next - place
            self.close()
            return max(done, 0)


@functools.lru_cache(maxsize=64)  # each window of a long recording needs the same layout
def _layout(path: Path, size: int, changed: int) -> Layout:
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
        if data[:4] == b"fLaC":
            found = flac_layout(data)
        elif data[:4] == b"OggS":
            found = ogg_layout(data)
        elif data[:3] == b"ID3" or data[0] == 0xFF:
            found = mpeg_layout(data)
        else:
            found = pcm_layout(data)
    return found or Layout()
