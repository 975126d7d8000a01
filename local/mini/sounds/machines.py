"""Motors: blender, vacuum cleaner, electric shaver or toothbrush."""

from __future__ import annotations

import numpy as np

from local.mini.sounds.synthesis import CONTROL, SAMPLE_RATE, Draw, band, fade, samples_of, stretch, tilted, tone, unit


def blender(draw: Draw) -> np.ndarray:
    """A motor with strong harmonics and whirring noise: it runs up, labours under chunks of food and runs down."""
    length = samples_of(draw.uniform((2.0, 6.0), (1.5, 8.0)))
    speed = _run(draw, length, up=(0.3, 0.7), down=(0.25, 0.5))
    pitch = draw.log((150, 230), (110, 330))
    f0 = pitch * (0.35 + 0.65 * speed) * (1 + draw.uniform((0.01, 0.03), (0.01, 0.06)) * draw.curve(length, 8))
    levels = draw.rng.uniform(0.2, 1.0, 80) * np.arange(1, 81) ** -draw.uniform((0.3, 0.6), (0.2, 0.9))
    motor = unit(tone(f0, lambda f, k: np.full_like(f, levels[(k - 1) % 80])))
    noise = unit(band(draw.noise(length), draw.log((600, 1200), (400, 2000)), draw.log((4000, 7000))))
    chunks = 1 + draw.uniform((0.1, 0.3), (0.2, 0.6)) * draw.curve(length, 14)
    sound = (motor + draw.uniform((0.4, 0.7), (0.2, 1.2)) * noise * chunks) * (0.15 + 0.85 * speed**2)
    return fade(sound, 0.02, 0.1)


def vacuum(draw: Draw) -> np.ndarray:
    """A rush of air with a steady whine above it and slow changes as the nozzle moves."""
    length = samples_of(draw.uniform((3.5, 9.0), (2.5, 9.8)))
    speed = _run(draw, length, up=(0.5, 1.2), down=(0.6, 1.3))
    air = tilted(draw.noise(length), draw.uniform((-4.5, -3.0), (-6.0, -2.0)))
    low = draw.log((350, 700), (250, 1100))
    air = unit(air + 1.2 * unit(band(draw.noise(length), low, low * 1.6)))
    pitch = draw.log((420, 620), (300, 900))
    whine = tone(pitch * (0.5 + 0.5 * speed), lambda f, k: np.full_like(f, k**-1.0), top=5000)
    motion = 1 + draw.uniform((0.05, 0.15), (0.1, 0.4)) * draw.curve(length, 1.5)
    sound = (air * motion + draw.uniform((0.15, 0.35), (0.05, 0.5)) * unit(whine)) * speed
    return fade(sound, 0.05, 0.1)


def shaver(draw: Draw) -> np.ndarray:
    """A small motor's buzz: a dense comb of harmonics, strongest up high, that changes as it touches the skin."""
    length = samples_of(draw.uniform((2.0, 7.0), (1.5, 8.5)))
    toothbrush = draw.flag(0.4)
    pitch = draw.log((240, 290), (200, 340)) if toothbrush else draw.log((95, 125), (80, 150))
    f0 = pitch * (1 + 0.012 * draw.curve(length, 2.5))
    centre, width = draw.log((2500, 4000), (1800, 5200)), draw.uniform((1200, 2200), (900, 3500))
    contact = 1 + draw.uniform((0.2, 0.4), (0.2, 0.7)) * draw.curve(length, 2)[::CONTROL]

    def shape(f: np.ndarray, k: int) -> np.ndarray:
        peak = np.exp(-(((f - centre * contact) / width) ** 2))
        return (0.25 / k**0.5 + peak) * (1.0 if k % 2 else 0.7)

    buzz = unit(tone(f0, shape, top=7800)) * stretch(contact, length)
    hiss = unit(band(draw.noise(length), 3000, None))
    return fade(buzz + draw.uniform((0.05, 0.15), (0.05, 0.3)) * hiss, 0.03, 0.05)


def _run(draw: Draw, length: int, up: tuple[float, float], down: tuple[float, float]) -> np.ndarray:
    """Return a motor's speed (length,): from 0 to 1 within `up` seconds, and back to 0 within `down`."""
    time = np.arange(length) / SAMPLE_RATE
    rise = 1 - np.exp(-3 * time / draw.uniform(up))
    fall = 1 - np.exp(-3 * (time[-1] - time) / draw.uniform(down))
    return rise * fall
