"""Voices: speech, a dog's barks, a cat's meows. Harmonics (and breath) shaped by moving formants."""

from __future__ import annotations

import numpy as np

from local.mini.sounds.synthesis import (
    CONTROL,
    SAMPLE_RATE,
    Draw,
    band,
    fade,
    formants,
    join,
    samples_of,
    stretch,
    tone,
    unit,
)

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
    """A phrase: syllables of gliding vowels, pitch falling, hissed consonants, pauses between words."""
    pitch = draw.log((95, 150), (110, 260))
    tract = 1.0 + 0.2 * (pitch > 160) + draw.uniform((-0.05, 0.05))
    syllables = draw.count((4, 12), (3, 14))
    lengths = draw.rng.uniform(0.11, 0.3, syllables) * draw.uniform((0.9, 1.2), (0.75, 1.2))
    pauses = draw.rng.uniform(0.05, 0.2, syllables) * (draw.rng.random(syllables) < 0.3)
    starts = np.cumsum(lengths + pauses) - lengths - pauses
    ends = starts + lengths
    length = samples_of(ends[-1])
    f0 = pitch * stretch([1.15, 1.05, 0.85], length) * (1 + 0.12 * draw.curve(length, 4))
    vowels = draw.rng.integers(len(VOWELS), size=syllables)
    at = np.arange(0, length, CONTROL) / SAMPLE_RATE
    centres = [np.interp(at, (starts + ends) / 2, [VOWELS[v][i] * tract for v in vowels]) for i in range(3)]
    centres += [3500 * tract, 4500 * tract]
    voiced = tone(f0, lambda f, k: formants(f, centres, (90, 110, 170, 250, 300)) * (100 / f) ** 0.4)
    sound = unit(voiced * _syllables(draw, starts, ends, length))
    for start in starts:
        if draw.flag(0.6):
            _add(sound, _consonant(draw), samples_of(start))
    return fade(sound, 0.01, 0.05)


def _syllables(draw: Draw, starts: np.ndarray, ends: np.ndarray, length: int) -> np.ndarray:
    """Return the loudness (length,): each syllable rises and falls, and a pause after it is silent."""
    times, values = [], []
    for i, (start, end) in enumerate(zip(starts, ends, strict=True)):
        silent_next = i + 1 < len(starts) and starts[i + 1] > end
        times += [start, start + 0.35 * (end - start), end]
        values += [
            values[-1] if values else 0.3,
            draw.uniform((0.6, 1.0)),
            0.0 if silent_next else draw.uniform((0.02, 0.35)),
        ]
    return np.interp(np.arange(length) / SAMPLE_RATE, times, values)


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
