"""What the synthesised sounds are built from: draws from a domain's ranges, tones, noises, envelopes.

All arrays are mono at SAMPLE_RATE; frequencies in Hz, times in seconds.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.signal import butter, lfilter, sosfilt

# 16 kHz is what the features read; at DESED's 44.1 kHz making the corpus would take three times as long
SAMPLE_RATE = 16000
CONTROL = 80  # samples between two points of a slowly changing curve (5 ms)

Range = tuple[float, float]


@dataclass(frozen=True)
class Draw:
    """Seeded draws for one sound of one domain; `real` sounds have other parameter ranges than synthetic ones."""

    rng: np.random.Generator
    real: bool

    def uniform(self, synthetic: Range, real: Range | None = None) -> float:
        """Return a number from the domain's range; without `real`, both domains share one."""
        low, high = real if self.real and real is not None else synthetic
        return float(self.rng.uniform(low, high))

    def log(self, synthetic: Range, real: Range | None = None) -> float:
        """Return a number from the domain's range, uniform on a logarithmic scale, as pitch is perceived."""
        low, high = real if self.real and real is not None else synthetic
        return float(np.exp(self.rng.uniform(np.log(low), np.log(high))))

    def count(self, synthetic: tuple[int, int], real: tuple[int, int] | None = None) -> int:
        """Return a whole number from the domain's range, both ends included."""
        low, high = real if self.real and real is not None else synthetic
        return int(self.rng.integers(low, high + 1))

    def flag(self, synthetic: float, real: float | None = None) -> bool:
        """Return True with the domain's probability."""
        return bool(self.rng.random() < (real if self.real and real is not None else synthetic))

    def noise(self, length: int) -> np.ndarray:
        """Return white noise (length,), variance 1."""
        return self.rng.standard_normal(length)

    def curve(self, length: int, rate: float) -> np.ndarray:
        """Return a smooth random curve (length,) that turns about `rate` times a second; mean 0, mostly in [-1, 1]."""
        points = max(int(length / SAMPLE_RATE * rate), 1) + 2
        values = self.rng.standard_normal(points) / 2
        at = np.linspace(0, points - 1, length // CONTROL + 2)
        left = np.minimum(at.astype(int), points - 2)
        blend = (1 - np.cos(np.pi * (at - left))) / 2
        return stretch(values[left] * (1 - blend) + values[left + 1] * blend, length)


def samples_of(seconds: float) -> int:
    return int(seconds * SAMPLE_RATE)


def stretch(values: Sequence[float] | np.ndarray, length: int) -> np.ndarray:
    """Return a curve (length,) of straight lines between evenly spread control points."""
    return np.interp(np.linspace(0, len(values) - 1, length), np.arange(len(values)), values)


def tone(f0: np.ndarray, shape: Callable[[np.ndarray, int], np.ndarray], top: float = 7600.0) -> np.ndarray:
    """Return a harmonic tone (n,) that follows `f0` (n,), up to `top` Hz.

    `shape(frequency (steps,), k)` returns the amplitude of the k-th harmonic, at one step every CONTROL samples.
    """
    turn = np.exp(2j * np.pi * np.cumsum(f0) / SAMPLE_RATE)
    slow = f0[::CONTROL]
    at = np.arange(len(f0))
    harmonic, sound = np.ones_like(turn), np.zeros(len(f0))
    for k in range(1, int(top / slow.min()) + 1):
        harmonic *= turn
        amplitude = np.where(k * slow < top, shape(k * slow, k), 0.0)
        sound += np.interp(at, at[::CONTROL], amplitude) * harmonic.imag
    return sound


def formants(frequency: np.ndarray, centres: Sequence[np.ndarray | float], widths: Sequence[float]) -> np.ndarray:
    """Return the gain of parallel resonances at `frequency`, the higher ones weaker, as in a vocal tract."""
    gain = np.zeros_like(frequency)
    for place, (centre, width) in enumerate(zip(centres, widths, strict=True)):
        gain += 0.7**place / (1 + ((frequency - centre) / (width / 2)) ** 2)
    return gain


def band(sound: np.ndarray, low: float | None, high: float | None, order: int = 2) -> np.ndarray:
    """Apply a Butterworth band-pass, low-pass (low None) or high-pass (high None)."""
    high = None if high is None else min(high, 0.49 * SAMPLE_RATE)
    if low is None:
        sections = butter(order, high, "low", fs=SAMPLE_RATE, output="sos")
    elif high is None:
        sections = butter(order, low, "high", fs=SAMPLE_RATE, output="sos")
    else:
        sections = butter(order, (low, high), "band", fs=SAMPLE_RATE, output="sos")
    return sosfilt(sections, sound)


def tilted(white: np.ndarray, db_per_octave: float) -> np.ndarray:
    """Return noise (n,) with a spectral slope: -3 dB per octave is pink, -6 brown. Variance 1."""
    spectrum = np.fft.rfft(white)
    frequency = np.maximum(np.fft.rfftfreq(len(white), 1 / SAMPLE_RATE), 20.0)
    spectrum *= (frequency / 1000.0) ** (db_per_octave / 6.02)
    return unit(np.fft.irfft(spectrum, len(white)))


def decay(impulses: np.ndarray, seconds: float) -> np.ndarray:
    """Let each impulse (n,) decay exponentially, by 60 dB within `seconds`."""
    pole = 10 ** (-3 / max(seconds * SAMPLE_RATE, 1.0))
    return lfilter([1.0], [1.0, -pole], impulses)


def ring(impulses: np.ndarray, frequency: float, seconds: float) -> np.ndarray:
    """Let each impulse (n,) excite a resonance (two poles) at `frequency` that decays by 60 dB within `seconds`."""
    radius = 10 ** (-3 / max(seconds * SAMPLE_RATE, 1.0))
    angle = 2 * np.pi * frequency / SAMPLE_RATE
    return lfilter([np.sin(angle)], [1.0, -2 * radius * np.cos(angle), radius**2], impulses)


def fade(sound: np.ndarray, attack: float, release: float) -> np.ndarray:
    """Return `sound` with a rise of `attack` and a fall of `release` seconds."""
    rise, fall = min(samples_of(attack), len(sound)), min(samples_of(release), len(sound))
    shaped = sound.copy()
    shaped[:rise] *= np.sin(np.linspace(0, np.pi / 2, rise)) ** 2
    shaped[len(sound) - fall :] *= np.sin(np.linspace(np.pi / 2, 0, fall)) ** 2
    return shaped


def unit(sound: np.ndarray) -> np.ndarray:
    """Return `sound` scaled to variance 1 (silence stays silence)."""
    return sound / max(float(np.std(sound)), 1e-9)


def join(pieces: Sequence[np.ndarray], gaps: Sequence[float]) -> np.ndarray:
    """Join the pieces, with gaps[i] seconds of silence after piece i, except after the last."""
    parts: list[np.ndarray] = []
    for piece, gap in zip(pieces, gaps, strict=True):
        parts += [piece, np.zeros(samples_of(gap))]
    return np.concatenate(parts[:-1])
