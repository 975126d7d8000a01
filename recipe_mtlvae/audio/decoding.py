"""Recordings from disk: decode (soundfile), mix to mono, resample, pad or cut."""

from __future__ import annotations

import contextlib
import math
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from recipe_mtlvae.audio.resampling import resample
from recipe_mtlvae.errors import fail
from recipe_mtlvae.labels import samples_of

if TYPE_CHECKING:
    import soundfile

FOREIGN = (".m4a", ".aac", ".wma", ".amr", ".3gp", ".mka")  # audio that libsndfile does not read
RATES = (1_000, 384_000)  # Hz; a header with another rate is damaged
_PIECE = 1 << 21  # samples of all channels, decoded at a time
_MARGIN = 0.02  # s decoded beyond the cut, so that the resampling filter sees what follows


@dataclass(frozen=True)
class Audio:
    """One recording, mono at the asked rate."""

    samples: np.ndarray  # (n,) float32
    duration: float  # s, of the file from `start` on, before padding or cutting


def read_audio(path: Path, sample_rate: int, clip_seconds: float | None, start: float = 0.0) -> Audio:
    """Read a recording of any rate and channel count; clip_seconds None: all of it, else cut or zero-padded to that.

    start: seconds to leave out before. Only what is kept is decoded. Raises RecipeError where the file is missing, is
    no audio, is truncated, or holds no samples or samples that are no numbers.
    """
    before = min(start, _MARGIN)
    samples, rate, duration = _decode(path, start - before, clip_seconds and before + clip_seconds)
    samples = resample(samples, rate, sample_rate)[round(before * sample_rate) :]
    duration -= start
    if clip_seconds is not None:
        length = samples_of(clip_seconds, sample_rate)
        samples = samples[:length]
        if len(samples) < length:
            samples = np.pad(samples, (0, length - len(samples)))
    return Audio(np.ascontiguousarray(samples), duration)


def _decode(path: Path, start: float, seconds: float | None) -> tuple[np.ndarray, int, float]:
    """Mono samples (n,) float32 at the file's own rate, that rate, and the whole file's duration in seconds."""
    with opened(path) as file:
        first = round(start * file.samplerate)
        wanted = max(0, file.frames - first)
        if seconds is not None:
            wanted = min(wanted, math.ceil((seconds + _MARGIN) * file.samplerate))
        file.seek(first)
        return read_mono(file, path, wanted), file.samplerate, file.frames / file.samplerate


@contextlib.contextmanager
def opened(path: Path) -> Iterator[soundfile.SoundFile]:
    """A recording, open for reading, once its header is found sound. Raises RecipeError for what is at fault."""
    import soundfile

    if path.is_dir():
        raise fail("is a folder, not an audio file", "move it, or correct the name", path)
    if path.exists() and not path.is_file():
        raise fail("is no plain file", "put the audio itself there", path)
    if not path.is_file():
        raise fail("no such audio file", "check the name", path)
    if path.suffix.lower() == ".raw":
        hint = f"say how it is coded, as by: ffmpeg -f s16le -ar 16000 -ac 1 -i {path.name} {path.stem}.wav"
        raise fail("has no header: what is in it, and at which rate, nobody can tell", hint, path)
    if not path.stat().st_size:
        raise fail("is empty (0 bytes)", "fetch it again or delete it", path)
    try:
        lost = _lost_bytes(path)
    except OSError as error:
        raise fail(f"cannot be read ({error.strerror})", "check its permissions and its disk", path) from None
    if lost:
        raise fail(f"is truncated: {lost} bytes fewer than its header says", "fetch it again or delete it", path)
    try:
        with soundfile.SoundFile(path) as file:
            _check_header(path, file.format, file.samplerate, file.frames)
            yield file
    except soundfile.LibsndfileError as error:
        hint = "fetch it again or delete it"
        if path.suffix.lower() in FOREIGN:
            hint = f"convert it, as by: ffmpeg -i {path.name} {path.stem}.wav"
        raise fail(f"is not readable as audio ({error.error_string})", hint, path) from None


def read_mono(file: soundfile.SoundFile, path: Path, frames: int) -> np.ndarray:
    """The next `frames` samples, channels averaged: (frames,) float32."""
    mono = np.empty(frames, np.float32)
    piece = max(_PIECE // file.channels, 1)  # all channels of a whole recording at once might not fit the memory
    found = 0
    while found < frames and len(part := file.read(min(piece, frames - found), dtype="float32", always_2d=True)):
        mono[found : found + len(part)] = to_mono(part)
        found += len(part)
    check_samples(path, mono[:found], frames)
    return mono


def to_mono(frames: np.ndarray) -> np.ndarray:
    """(n, channels) to their mean (n,)."""
    return frames[:, 0] if frames.shape[1] == 1 else frames.mean(axis=1)


def check_samples(path: Path, mono: np.ndarray, wanted: int) -> None:
    """Raises RecipeError where samples are missing or are no numbers."""
    if len(mono) < wanted:
        raise fail(f"is truncated: {len(mono)} of {wanted} samples", "fetch it again or delete it", path)
    if not np.isfinite(mono).all():
        raise fail("holds samples that are NaN or infinite", "fetch it again or delete it", path)


# What libsndfile may call a file of each suffix; other suffixes are not checked
_FORMATS = {
    ".wav": ("WAV", "WAVEX", "RF64", "W64"),
    ".flac": ("FLAC",),
    ".ogg": ("OGG",),
    ".mp3": ("MP3", "MPEG"),
    ".aif": ("AIFF",),
    ".aiff": ("AIFF",),
}


def _check_header(path: Path, found: str, rate: int, frames: int) -> None:
    expected = _FORMATS.get(path.suffix.lower())
    if expected and found not in expected:
        raise fail(f"is wrongly named: {path.suffix} by name, {found} by content", "convert or rename it", path)
    if not frames:
        raise fail("holds no samples", "fetch it again or delete it", path)
    if frames >= 1 << 62:
        raise fail("holds no length in its header", "write it anew, as by ffmpeg, to a file and not to a pipe", path)
    if not RATES[0] <= rate <= RATES[1]:
        raise fail(f"sample rate {rate} Hz: expected {RATES[0]} to {RATES[1]}", "fetch it again or delete it", path)


def _lost_bytes(path: Path) -> int:
    """Bytes that a RIFF header promises beyond the file's end; libsndfile reads such files as if they were whole."""
    size = path.stat().st_size
    with path.open("rb") as file:
        kind = file.read(12)
        if kind[:4] not in (b"RIFF", b"RIFX") or kind[8:12] != b"WAVE":
            return 0
        order = "<" if kind[:4] == b"RIFF" else ">"
        while len(chunk := file.read(8)) == 8:
            name, length = struct.unpack(f"{order}4sI", chunk)
            if name == b"data":
                # tools that write to a pipe put a size near the largest one there
                return 0 if length >= 0x7FFF0000 else max(0, file.tell() + length - size)
            file.seek(length + length % 2, 1)
    return 0
