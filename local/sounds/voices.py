"""Voices: speech, a dog's barks, a cat's meows. Harmonics (and breath) shaped by moving formants."""

from __future__ import annotations

import numpy as np

from local.sounds.parts import CONTROL, SAMPLE_RATE, Draw, band, fade, formants, join, samples_of, stretch, tone, unit

# First three formants in Hz of a man's vowels (Peterson & Barney 1952)
VOWELS = (
    (270, 2290, 3010),
    (390, 1990, 2550),
    (530, 1840, 2480),
    (660, 1720, 2410),
    (730, 1090, 2440),
    (570, 840, 2410),
    (440, 1020, 2240),
    (300, 870, 2240),
)


def speech(draw: Draw) -> np.ndarray:
    """A phrase: syllables of vowels that glide into each other, pitch falling, hissed consonants between."""
    pitch = draw.log((95, 150), (110, 260))
    tract = 1.0 + 0.2 * (pitch > 160) + draw.uniform((-0.05, 0.05))
    syllables = draw.count((4, 12), (3, 14))
    lengths = draw.rng.uniform(0.11, 0.3, syllables) * draw.uniform((0.9, 1.2), (0.75, 1.2))
    length = samples_of(lengths.sum())
    f0 = pitch * stretch([1.15, 1.05, 0.85], length) * (1 + 0.12 * draw.curve(length, 4))
    chosen = draw.rng.integers(len(VOWELS), size=syllables + 1)
    edges = np.concatenate([[0], np.cumsum(lengths)])
    at = np.arange(0, length, CONTROL) / SAMPLE_RATE
    centres = [np.interp(at, edges, [VOWELS[v][i] * tract for v in chosen]) for i in range(3)]
    voiced = tone(f0, lambda f, k: formants(f, centres, (90, 130, 180)) * (100 / f) ** 0.5)
    loud = np.interp(np.arange(length) / SAMPLE_RATE, *_syllable_envelope(draw, edges))
    sound = unit(voiced * loud)
    for start in edges[1:-1]:
        if draw.flag(0.6):
            _add(sound, _consonant(draw), samples_of(start))
    return fade(sound, 0.01, 0.05)


def _syllable_envelope(draw: Draw, edges: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Loudness at times: each syllable rises and falls; between two it dips, sometimes to silence."""
    times, values = [0.0], [0.3]
    for start, end in zip(edges[:-1], edges[1:], strict=True):
        times += [start + 0.35 * (end - start), end]
        values += [draw.uniform((0.6, 1.0)), draw.uniform((0.02, 0.35))]
    return np.array(times), np.array(values)


def _consonant(draw: Draw) -> np.ndarray:
    low = draw.log((1500, 4500))
    noise = band(draw.noise(samples_of(draw.uniform((0.03, 0.11)))), low, 7800)
    return fade(unit(noise), 0.01, 0.02) * draw.uniform((0.15, 0.6))


def _add(sound: np.ndarray, piece: np.ndarray, start: int) -> None:
    end = min(start + len(piece), len(sound))
    sound[start:end] += piece[: end - start]


def dog(draw: Draw) -> np.ndarray:
    """Barks: short, harsh, a steep rise and fall of pitch, a mouth that opens and shuts."""
    pitch = draw.log((300, 520), (220, 750))
    size = draw.uniform((0.9, 1.1), (0.75, 1.3))
    barks = [_bark(draw, pitch * draw.uniform((0.93, 1.07)), size) for _ in range(draw.count((1, 4), (1, 5)))]
    return join(barks, [draw.uniform((0.08, 0.3), (0.05, 0.4)) for _ in barks])


def _bark(draw: Draw, pitch: float, size: float) -> np.ndarray:
    length = samples_of(draw.uniform((0.13, 0.24), (0.1, 0.3)))
    f0 = pitch * stretch([0.6, 1.0, 1.05, 0.85, 0.55], length) * (1 + 0.05 * draw.curve(length, 90))
    open_mouth = stretch([0.7, 1.0, 0.95, 0.7], len(f0[::CONTROL]))
    centres = [650 * size * open_mouth, 1250 * size * open_mouth, 2600 * size * open_mouth]
    voiced = tone(f0, lambda f, k: formants(f, centres, (300, 400, 700)))
    breath = band(draw.noise(length), 500 * size, 3500 * size)
    sound = unit(voiced) + draw.uniform((0.25, 0.45), (0.2, 0.8)) * unit(breath)
    return sound * stretch([0.0, 1.0, 0.9, 0.6, 0.3, 0.0], length)


def cat(draw: Draw) -> np.ndarray:
    """Meows: a long glide up and down, the mouth opening from [i] over [a] to [u]."""
    pitch = draw.log((480, 700), (380, 950))
    meows = [_meow(draw, pitch * draw.uniform((0.9, 1.1))) for _ in range(draw.count((1, 2), (1, 3)))]
    return join(meows, [draw.uniform((0.1, 0.4)) for _ in meows])


def _meow(draw: Draw, pitch: float) -> np.ndarray:
    length = samples_of(draw.uniform((0.5, 1.1), (0.4, 1.5)))
    rise, end = draw.uniform((1.2, 1.5), (1.1, 1.7)), draw.uniform((0.65, 0.9))
    f0 = pitch * stretch([0.85, rise, rise, 1.1, end], length)
    f0 *= 1 + 0.02 * np.sin(2 * np.pi * draw.uniform((5, 9)) * np.arange(length) / SAMPLE_RATE)
    steps = len(f0[::CONTROL])
    centres = [
        stretch([600, 1100, 1250, 900, 600], steps),
        stretch([2900, 2300, 2000, 1500, 1200], steps),
        stretch([4200, 4000, 3900, 3700, 3500], steps),
    ]
    voiced = tone(f0, lambda f, k: formants(f, centres, (350, 450, 700)))
    breath = band(draw.noise(length), 1500, 6000)
    sound = unit(voiced) + draw.uniform((0.02, 0.06), (0.03, 0.2)) * unit(breath)
    return sound * stretch([0.0, 0.6, 1.0, 0.9, 0.5, 0.0], length)
