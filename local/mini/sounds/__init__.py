"""Synthesised sounds: the ten DESED classes and backgrounds, in a synthetic and a real-world variety."""

from __future__ import annotations

import numpy as np

from local.mini.sounds import impacts, machines, textures, voices
from local.mini.sounds.synthesis import SAMPLE_RATE, Draw

FOREGROUNDS = {
    "Alarm_bell_ringing": impacts.alarm,
    "Blender": machines.blender,
    "Cat": voices.cat,
    "Dishes": impacts.dishes,
    "Dog": voices.dog,
    "Electric_shaver_toothbrush": machines.shaver,
    "Frying": textures.frying,
    "Running_water": textures.water,
    "Speech": voices.speech,
    "Vacuum_cleaner": machines.vacuum,
}
SYNTHETIC_BACKGROUNDS = {"room": textures.room, "ventilation": textures.ventilation}
REAL_BACKGROUNDS = {"street": textures.street, "crowd": textures.crowd, "appliance": textures.appliance}

__all__ = ["FOREGROUNDS", "REAL_BACKGROUNDS", "SAMPLE_RATE", "SYNTHETIC_BACKGROUNDS", "make_sound"]


def make_sound(label: str, real: bool, seed: tuple[int, ...]) -> np.ndarray:
    """Return the sound (n,) of a label, peak 0.7, at SAMPLE_RATE. The same seed gives the same sound."""
    recipes = FOREGROUNDS | SYNTHETIC_BACKGROUNDS | REAL_BACKGROUNDS
    sound = recipes[label](Draw(np.random.default_rng(seed), real))
    return 0.7 * sound / np.max(np.abs(sound))
