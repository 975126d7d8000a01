"""Read recordings from disk: decode with soundfile, mix to mono, resample, pad or cut."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from recipe_mtlvae.audio.resampling import resample
from recipe_mtlvae.errors import Fault, fail
from recipe_mtlvae.labels import samples_of

if TYPE_CHECKING:
    from recipe_mtlvae.audio.recording import Recording

FOREIGN = (".m4a", ".aac", ".wma", ".amr", ".3gp", ".mka")  # audio that libsndfile does not read
RATES = (1_000, 384_000)  # Hz; a header with a rate outside this range is damaged
LOUDEST = 2.0**31  # relative to full scale 1; 32-bit integers that were written as floats reach it
_PIECE = 1 << 21  # samples decoded at a time, counting all channels
_MARGIN = 0.02  # s decoded before and after the cut, because the resampling filter needs the samples around
_AGAIN = "fetch or copy it again"


@dataclass(frozen=True)
class Audio:
    """One recording, mono at the requested rate."""

    samples: np.ndarray  # (n,) float32
    duration: float  # s, from `start` to the end of the file, before padding or cutting
    damage: Fault | None = None  # set if the file is truncated or has a hole; all other samples keep their times


def read_audio(path: Path, sample_rate: int, clip_seconds: float | None, start: float = 0.0) -> Audio:
    """Read a recording of any sample rate and number of channels, from second `start` on.

    clip_seconds: length to which it is cut or zero-padded; None: keep all. Only what is kept is decoded. Raises
    RecipeError if the file is missing, is not audio or ends before `start`, or if its samples are missing, NaN,
    infinite or far too large.
    """
    before = min(start, _MARGIN)
    with opened(path) as recording:
        rate = recording.samplerate
        first = round((start - before) * rate)
        wanted = recording.frames - first
        if clip_seconds is not None:
            wanted = min(wanted, math.ceil((before + clip_seconds + _MARGIN) * rate))
        recording.seek(first)
        samples = read_mono(recording, wanted)
        duration, damage = recording.duration - start, recording.damage
        if start and duration <= 0:
            what = f"expected more than {start:g} s, got {recording.duration:g} s"
            raise fail(what, "if it was replaced, run stage 0 again", path)
    samples = resample(samples, rate, sample_rate)[round(before * sample_rate) :]
    if clip_seconds is not None:
        length = samples_of(clip_seconds, sample_rate)
        samples = samples[:length]
        if len(samples) < length:
            samples = np.pad(samples, (0, length - len(samples)))
    return Audio(np.ascontiguousarray(samples), duration, damage)


@contextlib.contextmanager
def opened(path: Path) -> Iterator[Recording]:
    """Check a recording's header and open it for reading. Raises RecipeError if the file is at fault."""
    import soundfile

    from recipe_mtlvae.audio.recording import Recording

    if path.is_dir():
        raise fail("is a folder, not an audio file", "move it, or correct the name", path)
    if path.exists() and not path.is_file():
        raise fail("is no plain file", "put the audio itself there", path)
    if not path.is_file():
        raise fail("no such audio file", "check the name, and where a link leads", path)
    if path.suffix.lower() == ".raw":
        hint = f"say how it is coded, as by: ffmpeg -f s16le -ar 16000 -ac 1 -i {path.name} {path.stem}.wav"
        raise fail("has no header: what is in it, and at which rate, is not known", hint, path)
    if not path.stat().st_size:
        raise fail("is empty (0 bytes)", _AGAIN, path)
    try:
        with contextlib.closing(Recording(path)) as recording:
            _check_header(path, recording)
            yield recording
    except soundfile.LibsndfileError as error:
        hint = _AGAIN
        if path.suffix.lower() in FOREIGN:
            hint = f"convert it, as by: ffmpeg -i {path.name} {path.stem}.wav"
        why = error.error_string
        if "does not exist" in why:  # libsndfile's message for an MP3 without a whole frame
            why = "nothing in it can be decoded"
        raise fail(f"is not readable as audio ({why})", hint, path) from None
    except OSError as error:
        raise fail(f"cannot be read ({error.strerror})", "check its permissions and its disk", path) from None


def read_mono(recording: Recording, frames: int) -> np.ndarray:
    """Return the next `frames` samples, averaged over the channels: (n,) float32; fewer at the end of the recording.

    Raises RecipeError if nothing of the recording can be decoded, and as `check_samples` does.
    """
    mono = np.empty(max(frames, 0), np.float32)
    piece = max(_PIECE // recording.channels, 1)  # all channels of a whole recording might not fit in memory
    found = 0
    while found < frames and len(part := recording.read(min(piece, frames - found))):
        mono[found : found + len(part)] = to_mono(part)
        found += len(part)
    if not recording.frames:
        raise fail("holds no samples that can be decoded", _AGAIN, recording.path)
    check_samples(recording.path, mono[:found])
    return mono[:found]


def to_mono(frames: np.ndarray) -> np.ndarray:
    """Average over the channels: (n, channels) -> (n,)."""
    with np.errstate(over="ignore", invalid="ignore"):  # check_samples reports such samples
        return frames[:, 0] if frames.shape[1] == 1 else frames.mean(axis=1)


def check_samples(path: Path, mono: np.ndarray) -> None:
    """Raise RecipeError for samples that are NaN, infinite, or far too large to be sound."""
    peak = max(float(mono.max()), -float(mono.min())) if len(mono) else 0.0
    if not math.isfinite(peak):
        raise fail("holds samples that are NaN or infinite", _AGAIN, path)
    if peak > LOUDEST:
        raise fail(f"holds samples as large as {peak:.0e}: full scale is 1", "export it again from its source", path)


# Formats that libsndfile may report for each suffix; other suffixes are not checked
_FORMATS = {
    ".wav": ("WAV", "WAVEX", "RF64", "W64"),
    ".flac": ("FLAC",),
    ".ogg": ("OGG",),
    ".mp3": ("MP3", "MPEG"),
    ".aif": ("AIFF",),
    ".aiff": ("AIFF",),
}


def _check_header(path: Path, recording: Recording) -> None:
    expected = _FORMATS.get(path.suffix.lower())
    if expected and recording.format not in expected:
        what = f"is wrongly named: {path.suffix} by name, {recording.format} by content"
        raise fail(what, "convert or rename it", path)
    if not recording.frames:
        raise fail("holds no samples", _AGAIN, path)
    if not RATES[0] <= recording.samplerate <= RATES[1]:
        rate = f"sample rate {recording.samplerate} Hz: expected {RATES[0]} to {RATES[1]}"
        raise fail(rate, _AGAIN, path)
