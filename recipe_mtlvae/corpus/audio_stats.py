"""What a recording is like: rate, length, level, and a hash of what is scanned in it."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from recipe_mtlvae.audio.decoding import check_samples, opened, to_mono
from recipe_mtlvae.errors import fail

SILENT_PEAK = 1e-4  # -80 dB of full scale: what dither leaves of silence is below
LOUD_PEAK = 10.0  # 20 dB above full scale: floats that hold integers, or no sound at all
CLIPPED_SHARE = 1e-4  # of the samples: 1 ms of 10 s
_FULL_SCALE = 0.9999
_RUN = 3  # samples at full scale side by side: a lone one is a peak
_BLOCK = 2**19  # frames decoded at a time: the memory that a recording of hours takes
_SIXTEEN_BITS = ("PCM_16", "PCM_S8", "PCM_U8", "ULAW", "ALAW")  # read as they are, ten times faster than as floats


@dataclass(frozen=True, slots=True)
class AudioStats:
    """One recording, as a whole."""

    rate: int  # Hz
    duration: float  # s
    peak: float  # largest magnitude of any channel; 1: full scale
    level: float  # largest magnitude of the channels' mean, which the network gets
    clipped: float  # share of the samples that stand in runs at full scale
    content: str | None  # the same for the same samples, whatever the file's name and format; None where silent
    damage: str | None  # what is missing in it

    @property
    def is_silent(self) -> bool:
        return self.level < SILENT_PEAK

    @property
    def is_clipped(self) -> bool:
        return self.clipped > CLIPPED_SHARE

    @property
    def is_loud(self) -> bool:
        return self.peak > LOUD_PEAK


def audio_stats(path: Path) -> AudioStats:
    """Read a recording to its end, a block at a time. Raises RecipeError as audio.read_audio does."""
    with opened(path) as recording:
        dtype = "int16" if recording.subtype in _SIXTEEN_BITS else "float32"
        full = 32768 if dtype == "int16" else 1.0
        scanned, peak, level, clipped = hashlib.sha256(), 0.0, 0.0, 0
        while len(frames := recording.read(_BLOCK, dtype)):
            mono = to_mono(frames)
            check_samples(path, mono)
            scanned.update(np.ascontiguousarray(mono if dtype == "float32" else np.rint(mono).astype(np.int16)))
            level = max(level, _largest(mono) / full)
            loudest = _largest(frames) / full
            peak = max(peak, loudest)
            if loudest >= _FULL_SCALE:
                clipped += _in_runs(np.abs(frames.astype(np.float32)) >= _FULL_SCALE * full)
        if not recording.frames:
            raise fail("holds no samples that can be decoded", "fetch or copy it again", path)
        content = None if level < SILENT_PEAK else scanned.hexdigest()[:24]
        share = clipped / (recording.frames * recording.channels)
        damage = recording.damage and recording.damage.what
        return AudioStats(recording.samplerate, recording.duration, peak, level, share, content, damage)


def _largest(samples: np.ndarray) -> float:
    return max(float(samples.max()), -float(samples.min()))


def _in_runs(loud: np.ndarray) -> int:
    """How many of the samples (n, channels) stand in runs; one that a block's border cuts may be missed."""
    inner = loud[2:] & loud[1:-1] & loud[:-2]
    covered = np.zeros(len(loud), dtype=bool)
    total = 0
    for channel in inner.T:
        covered[:] = False
        for shift in range(_RUN):
            covered[shift : shift + len(channel)] |= channel
        total += int(covered.sum())
    return total
