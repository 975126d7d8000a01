"""Textures: frying, running water, and the backgrounds that soundscapes lie on."""

from __future__ import annotations

import numpy as np

from local.mini.sounds.synthesis import SAMPLE_RATE, Draw, band, decay, fade, ring, samples_of, tilted, unit

BACKGROUND_SECONDS = 14.0


def frying(draw: Draw) -> np.ndarray:
    """Hot fat: a high hiss full of pops, from tiny and dense to single loud ones."""
    length = samples_of(draw.uniform((3.0, 9.0), (2.5, 9.8)))
    hiss = band(draw.noise(length), draw.log((2500, 4000), (1800, 5000)), draw.log((6500, 7800)))
    sound = draw.uniform((0.5, 0.8), (0.3, 1.0)) * unit(hiss) * (1 + 0.15 * draw.curve(length, 3))
    for rate, level, seconds in ((180, 0.5, 0.006), (25, 1.0, 0.012), (4, 2.0, 0.02)):
        pops = _sparse(draw, length, rate * draw.uniform((0.8, 1.3), (0.4, 2.0)))
        body = ring(pops, draw.log((2000, 5000), (1500, 6500)), seconds)
        snap = draw.noise(length) * decay(np.abs(pops), seconds / 2)
        sound += level * (unit(body) * 0.35 + unit(snap) * 0.35)
    return fade(sound, 0.15, 0.2)


def water(draw: Draw) -> np.ndarray:
    """A tap: broadband rush, and bubbles, short tones that glide up."""
    length = samples_of(draw.uniform((3.0, 9.0), (2.0, 9.8)))
    low, high = draw.log((300, 700), (200, 1200)), draw.log((4000, 7000), (3000, 7800))
    rush = unit(band(tilted(draw.noise(length), draw.uniform((-2.5, -1.0), (-4.0, 0.0))), low, high))
    sound = rush * (1 + draw.uniform((0.05, 0.15), (0.1, 0.35)) * draw.curve(length, 6))
    bubbles = np.zeros(length)
    for _ in range(int(length / SAMPLE_RATE * draw.uniform((25, 45), (12, 60)))):
        size = samples_of(draw.uniform((0.015, 0.06)))
        start = int(draw.rng.integers(length - size))
        time = np.arange(size) / SAMPLE_RATE
        pitch = draw.log((500, 1800), (350, 2600)) * (1 + draw.uniform((2, 8)) * time)
        bubbles[start : start + size] += (
            draw.uniform((0.3, 1.0)) * np.sin(2 * np.pi * np.cumsum(pitch) / SAMPLE_RATE) * np.exp(-time * 70)
        )
    return fade(sound + draw.uniform((0.5, 0.9), (0.2, 1.1)) * unit(bubbles), 0.1, 0.15)


def _sparse(draw: Draw, length: int, rate: float) -> np.ndarray:
    """Return random impulses (length,), about `rate` per second, of either sign and different heights."""
    times = draw.rng.integers(length, size=max(int(rate * length / SAMPLE_RATE), 1))
    impulses = np.zeros(length)
    np.add.at(impulses, times, draw.rng.exponential(1.0, len(times)) * draw.rng.choice([-1, 1], len(times)))
    return impulses


def room(draw: Draw) -> np.ndarray:
    """A quiet room of the synthetic domain: soft, steady noise."""
    return tilted(draw.noise(samples_of(BACKGROUND_SECONDS)), draw.uniform((-5.0, -3.0)))


def ventilation(draw: Draw) -> np.ndarray:
    """A quiet room with a faint hum."""
    length = samples_of(BACKGROUND_SECONDS)
    sound = tilted(draw.noise(length), draw.uniform((-6.0, -4.0)))
    time = np.arange(length) / SAMPLE_RATE
    hum = sum(np.sin(2 * np.pi * 50 * k * time + draw.uniform((0, 6))) / k for k in (1, 2, 4, 6))
    return sound + draw.uniform((0.1, 0.3)) * unit(np.asarray(hum))


def street(draw: Draw) -> np.ndarray:
    """Traffic behind a window: deep noise that swells as cars pass."""
    length = samples_of(BACKGROUND_SECONDS)
    deep = tilted(draw.noise(length), draw.uniform((-7.0, -4.5))) * np.exp(0.8 * draw.curve(length, 0.4))
    tyres = band(draw.noise(length), 600, 2500) * np.exp(1.2 * draw.curve(length, 0.4))
    return unit(deep) + draw.uniform((0.2, 0.7)) * unit(tyres)


def crowd(draw: Draw) -> np.ndarray:
    """Many people far away: noise in the voice's bands, each breathing at the pace of syllables."""
    length = samples_of(BACKGROUND_SECONDS)
    sound = 0.5 * tilted(draw.noise(length), -4.0)
    for centre in (450, 900, 1500, 2300):
        part = band(draw.noise(length), centre * 0.8, centre * 1.25)
        sound = sound + unit(part) * np.exp(0.7 * draw.curve(length, 5)) * (450 / centre) ** 0.7
    return unit(sound)


def appliance(draw: Draw) -> np.ndarray:
    """A refrigerator or computer: hum with harmonics, fan noise, and from time to time a soft knock."""
    length = samples_of(BACKGROUND_SECONDS)
    time = np.arange(length) / SAMPLE_RATE
    base = draw.uniform((48, 62))
    hum = sum(draw.uniform((0.2, 1.0)) * np.sin(2 * np.pi * base * k * time) / k**0.5 for k in range(1, 9))
    knocks = ring(_sparse(draw, length, 0.4), draw.log((120, 350)), 0.15)
    air = tilted(draw.noise(length), draw.uniform((-5.0, -2.0)))
    return air + draw.uniform((0.1, 0.5)) * unit(np.asarray(hum)) + draw.uniform((0.0, 0.4)) * unit(knocks)
