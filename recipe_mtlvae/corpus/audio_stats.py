"""What a recording is like: rate, length, level, and a hash of what is scanned in it."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from recipe_mtlvae.audio.decoding import check_samples, opened, to_mono

SILENT_PEAK = 1e-4  # -80 dB of full scale: what dither leaves of silence is below
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
    clipped: float  # share of the samples that stand in runs at full scale
    content: str | None  # the same for the same samples, whatever the file's name and format; None where silent

    @property
    def is_silent(self) -> bool:
        return self.peak < SILENT_PEAK

    @property
    def is_clipped(self) -> bool:
        return self.clipped > CLIPPED_SHARE


def audio_stats(path: Path) -> AudioStats:
    """Read a recording to its end, a block at a time. Raises RecipeError as audio.read_audio does."""
    with opened(path) as file:
        dtype = "int16" if file.subtype in _SIXTEEN_BITS else "float32"
        full = 32768 if dtype == "int16" else 1.0
        scanned, peak, clipped = hashlib.sha256(), 0.0, 0
        for begin in range(0, file.frames, _BLOCK):
            wanted = min(_BLOCK, file.frames - begin)
            frames = file.read(wanted, dtype=dtype, always_2d=True)
            mono = to_mono(frames)
            check_samples(path, mono, wanted)
            scanned.update(np.ascontiguousarray(mono if dtype == "float32" else np.rint(mono).astype(np.int16)))
            loudest = max(float(frames.max()), -float(frames.min())) / full
            peak = max(peak, loudest)
            if loudest >= _FULL_SCALE:
                clipped += _in_runs(np.abs(frames.astype(np.float32)) >= _FULL_SCALE * full)
        duration = file.frames / file.samplerate
        content = None if peak < SILENT_PEAK else scanned.hexdigest()[:24]
        return AudioStats(file.samplerate, duration, peak, clipped / (file.frames * file.channels), content)


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
