"""Struck and beeping things: alarms and bells, dishes."""

from __future__ import annotations

import numpy as np

from local.mini.sounds.synthesis import SAMPLE_RATE, Draw, band, decay, fade, join, ring, samples_of, tone, unit


def alarm(draw: Draw) -> np.ndarray:
    """An electronic alarm, a mechanical bell or a two-tone ringer."""
    kinds = (_beeps, _bell, _ringer)
    return kinds[draw.rng.integers(len(kinds))](draw)


def _beeps(draw: Draw) -> np.ndarray:
    """Groups of equal beeps with odd harmonics, like a clock's."""
    pitch = draw.log((900, 2200), (700, 3400))
    beep, gap = draw.uniform((0.07, 0.2), (0.05, 0.3)), draw.uniform((0.05, 0.12), (0.04, 0.15))
    group, pause = draw.count((2, 4), (1, 5)), draw.uniform((0.15, 0.35), (0.1, 0.5))
    brightness = draw.uniform((0.15, 0.4), (0.05, 0.6))
    length = samples_of(beep)
    one = tone(np.full(length, pitch), lambda f, k: np.full_like(f, brightness ** ((k - 1) / 2) * (k % 2)))
    one = fade(one, 0.004, 0.01)
    total = draw.count((4, 16), (3, 18))
    gaps = [pause if (i + 1) % group == 0 else gap for i in range(total)]
    return join([one] * total, gaps)


def _bell(draw: Draw) -> np.ndarray:
    """A hammer on a bell, many strokes a second: inharmonic partials that ring on."""
    pitch = draw.log((650, 1200), (500, 1900))
    rate = draw.uniform((11, 18), (8, 26))
    length = samples_of(draw.uniform((1.2, 4.5), (0.8, 6.0)))
    strokes = np.zeros(length)
    times = np.arange(0, length / SAMPLE_RATE - 0.2, 1 / rate)
    times = times + draw.rng.normal(0, 0.04 / rate, len(times)).clip(0, None)
    strokes[(times * SAMPLE_RATE).astype(int)] = draw.rng.uniform(0.5, 1.0, len(times))
    ratios = np.array([1.0, 1.51, 2.0, 2.66, 3.42, 4.4, 5.4]) * draw.rng.uniform(0.98, 1.02, 7)
    sound = np.zeros(length)
    for place, ratio in enumerate(ratios):
        if pitch * ratio < 7800:
            seconds = draw.uniform((0.3, 0.7), (0.15, 1.1)) / (1 + 0.3 * place)
            sound += draw.uniform((0.3, 1.0)) * ring(strokes, pitch * ratio, seconds)
    return fade(unit(sound), 0.001, 0.15)


def _ringer(draw: Draw) -> np.ndarray:
    """Two tones in turn, like a telephone's ringer or a small siren."""
    low = draw.log((600, 1100), (450, 1500))
    high = low * draw.uniform((1.2, 1.5), (1.1, 2.0))
    rate = draw.uniform((4, 12), (2, 22))
    length = samples_of(draw.uniform((1.0, 3.5), (0.8, 5.0)))
    time = np.arange(length) / SAMPLE_RATE
    turn = np.tanh(draw.uniform((2, 8)) * np.sin(2 * np.pi * rate * time)) / 2 + 0.5
    brightness = draw.uniform((0.3, 0.6))
    sound = tone(low + (high - low) * turn, lambda f, k: np.full_like(f, brightness ** (k - 1)))
    return fade(sound, 0.01, 0.05)


def dishes(draw: Draw) -> np.ndarray:
    """Plates, glasses and cutlery: a few strokes, each a click and some decaying high modes."""
    pieces = draw.count((2, 5), (1, 7))
    base = draw.log((1500, 2600), (1000, 3600))
    clinks = [_clink(draw, base * draw.uniform((0.85, 1.2), (0.7, 1.5))) for _ in range(pieces)]
    length = samples_of(draw.uniform((0.06, 0.16), (0.04, 0.22)) * pieces) + max(map(len, clinks))
    sound = np.zeros(length)
    for i, clink in enumerate(clinks):
        start = 0 if i == 0 else int(draw.rng.integers(length - len(clink)))
        sound[start : start + len(clink)] += clink * draw.uniform((0.4, 1.0))
    return fade(sound, 0.0005, 0.05)


def _clink(draw: Draw, base: float) -> np.ndarray:
    length = samples_of(draw.uniform((0.25, 0.5), (0.15, 0.6)))
    strike = np.zeros(length)
    strike[0] = 1.0
    sound = 0.6 * unit(band(draw.noise(length), 2000, 7500)) * decay(strike, 0.02)
    for _ in range(draw.count((4, 7), (3, 9))):
        mode = base * draw.log((0.8, 3.2))
        if mode < 7700:
            sound += draw.uniform((0.3, 1.0)) * ring(strike, mode, draw.uniform((0.15, 0.45), (0.05, 0.6)))
    return fade(sound, 0.0, 0.08)
