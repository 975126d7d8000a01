"""What sets a real recording apart from a clean mixture: a room, a microphone's band, a noise floor, a level.

These ranges, and those of the sounds in the real domain, set the difficulty of the mini corpus: wider ranges make a
larger gap between the domains.
"""

from __future__ import annotations

import numpy as np
from scipy.signal import butter, fftconvolve, sosfilt

REVERB_SECONDS = (0.15, 0.7)  # time to fall by 60 dB
DIRECT_TO_REVERB_DB = (-1.0, 10.0)
LOW_CUT_HZ = (60.0, 450.0)
HIGH_CUT_HZ = (2800.0, 7500.0)
TILT_DB = (-4.0, 4.0)  # per octave
NOISE_DB = (-42.0, -26.0)  # the floor, relative to the clip's loud parts
NOISE_SLOPE_DB = (-5.0, 1.0)  # per octave: from rumble to hiss
PEAK_DB = (-18.0, -1.0)  # of the finished clip, relative to full scale
OVERDRIVEN = 0.1  # share of clips that the recorder clips softly


def record(samples: np.ndarray, sample_rate: int, rng: np.random.Generator) -> np.ndarray:
    """Return `samples` (n,) as a consumer device would record them in a room: (n,), peak below 1."""
    recorded = _room(samples, sample_rate, rng)
    recorded = _band(recorded, sample_rate, rng)
    loud = float(np.sqrt(np.quantile(_power(recorded, sample_rate), 0.95))) or 1e-3
    floor = _filtered_noise(len(recorded), sample_rate, rng) * loud * 10 ** (rng.uniform(*NOISE_DB) / 20)
    recorded = recorded + floor
    recorded = recorded / np.max(np.abs(recorded))
    if rng.random() < OVERDRIVEN:
        drive = rng.uniform(1.5, 4.0)
        recorded = np.tanh(drive * recorded) / np.tanh(drive)
    return recorded * 10 ** (rng.uniform(*PEAK_DB) / 20)


def _room(samples: np.ndarray, sample_rate: int, rng: np.random.Generator) -> np.ndarray:
    """Add reverberation: after the direct sound, low-pass noise that decays exponentially."""
    seconds = rng.uniform(*REVERB_SECONDS)
    length = int(seconds * sample_rate)
    tail = rng.standard_normal(length) * 10 ** (-3 * np.arange(length) / length)
    tail[: int(rng.uniform(0.002, 0.012) * sample_rate)] = 0.0  # nothing returns before the nearest wall
    tail = sosfilt(butter(1, rng.uniform(2000, 6000), fs=sample_rate, output="sos"), tail)
    tail *= 10 ** (-rng.uniform(*DIRECT_TO_REVERB_DB) / 20) / np.sqrt(np.sum(tail**2))
    return samples + fftconvolve(samples, tail)[: len(samples)]


def _band(samples: np.ndarray, sample_rate: int, rng: np.random.Generator) -> np.ndarray:
    """Apply the microphone: band limits and a spectral tilt around 1 kHz."""
    low = np.exp(rng.uniform(*np.log(LOW_CUT_HZ)))
    high = np.exp(rng.uniform(*np.log(HIGH_CUT_HZ)))
    limits = butter(int(rng.integers(1, 4)), (low, high), "band", fs=sample_rate, output="sos")
    return sosfilt(limits, _tilted(samples, rng.uniform(*TILT_DB), sample_rate))


def _filtered_noise(length: int, sample_rate: int, rng: np.random.Generator) -> np.ndarray:
    noise = _tilted(rng.standard_normal(length), rng.uniform(*NOISE_SLOPE_DB), sample_rate)
    return noise / np.std(noise)


def _tilted(samples: np.ndarray, db_per_octave: float, sample_rate: int) -> np.ndarray:
    spectrum = np.fft.rfft(samples)
    frequency = np.fft.rfftfreq(len(samples), 1 / sample_rate).clip(50.0, None)
    return np.fft.irfft(spectrum * (frequency / 1000.0) ** (db_per_octave / 6.02), len(samples))


def _power(samples: np.ndarray, sample_rate: int) -> np.ndarray:
    """Return the mean square of every 50 ms."""
    size = sample_rate // 20
    return np.mean(samples[: len(samples) // size * size].reshape(-1, size) ** 2, axis=1)
