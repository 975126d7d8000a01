"""Statistics of a recording: sample rate, duration, level, and a hash of its samples."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from recipe_mtlvae.audio.decoding import check_samples, opened, to_mono
from recipe_mtlvae.errors import fail

SILENT_PEAK = 1e-4  # -80 dB of full scale: dithered silence is below
LOUD_PEAK = 10.0  # 20 dB above full scale: integers stored as floats, or data that are no sound
CLIPPED_SHARE = 1e-4  # of the samples: 1 ms in 10 s
_FULL_SCALE = 0.9999
_RUN = 3  # adjacent samples at full scale that count as clipped; fewer are a peak
_BLOCK = 2**19  # frames decoded at a time, which limits the memory for a recording of hours
_SIXTEEN_BITS = ("PCM_16", "PCM_S8", "PCM_U8", "ULAW", "ALAW")  # decoded as integers, ten times faster than as floats


@dataclass(frozen=True, slots=True)
class AudioStats:
    """Statistics of one whole recording."""

    rate: int  # Hz
    duration: float  # s
    peak: float  # largest magnitude of any channel; 1: full scale
    level: float  # largest magnitude of the channels' mean, which is the network's input
    clipped: float  # share of the samples in runs at full scale
    content: str | None  # a hash of the samples in 16 bits, whatever the file's name and format; None if silent
    damage: str | None  # what is missing in the recording

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
    """Return the statistics of a recording, read to its end block by block. Raises RecipeError as read_audio does."""
    with opened(path) as recording:
        dtype = "int16" if recording.subtype in _SIXTEEN_BITS else "float32"
        full = 32768 if dtype == "int16" else 1.0
        scanned, peak, level, clipped = hashlib.sha256(), 0.0, 0.0, 0
        while len(frames := recording.read(_BLOCK, dtype)):
            mono = to_mono(frames)
            check_samples(path, mono)
            scanned.update(np.rint(np.clip(mono * (32768 / full), -32768, 32767)).astype(np.int16))
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
    """The number of samples (n, channels) that are in runs; a run that a block border cuts may be missed."""
    inner = loud[2:] & loud[1:-1] & loud[:-2]
    covered = np.zeros(len(loud), dtype=bool)
    total = 0
    for channel in inner.T:
        covered[:] = False
        for shift in range(_RUN):
            covered[shift : shift + len(channel)] |= channel
        total += int(covered.sum())
    return total
