"""The synthesised sounds of the mini corpus, and the simulated microphone that records them."""

from __future__ import annotations

import numpy as np
import pytest

from local.mini.microphone import record
from local.mini.sounds import FOREGROUNDS, REAL_BACKGROUNDS, SYNTHETIC_BACKGROUNDS, make_sound
from local.mini.sounds.synthesis import SAMPLE_RATE, tone


@pytest.mark.parametrize("label", [*FOREGROUNDS, *SYNTHETIC_BACKGROUNDS, *REAL_BACKGROUNDS])
def test_a_sound_is_seeded_and_its_variants_and_domains_differ(label: str) -> None:
    sound = make_sound(label, False, (1, 2))
    assert np.array_equal(sound, make_sound(label, False, (1, 2)))
    assert np.max(np.abs(sound)) == pytest.approx(0.7)
    others = [make_sound(label, False, (1, 3))]
    if label in FOREGROUNDS:  # a background belongs to one domain
        others.append(make_sound(label, True, (1, 2)))
    for other in others:
        length = min(len(sound), len(other))
        assert not np.allclose(sound[:length], other[:length])


@pytest.mark.parametrize("label", FOREGROUNDS)
@pytest.mark.parametrize("real", [False, True])
def test_events_last_from_a_tenth_of_a_second_to_ten(label: str, real: bool) -> None:
    for variant in range(8):
        seconds = len(make_sound(label, real, (variant,))) / SAMPLE_RATE
        assert 0.1 <= seconds <= 10.0


def test_a_tone_has_its_harmonics_and_nothing_between() -> None:
    sound = tone(np.full(SAMPLE_RATE, 500.0), lambda f, k: np.full_like(f, 1.0 / k), top=1600)
    spectrum = 2 * np.abs(np.fft.rfft(sound)) / SAMPLE_RATE  # one line per Hz
    assert spectrum[[500, 1000, 1500]] == pytest.approx([1.0, 0.5, 1 / 3], abs=1e-6)
    assert np.sum(spectrum > 1e-3) == 3


def test_a_recording_keeps_its_length_stays_below_full_scale_and_has_a_noise_floor() -> None:
    clip = np.zeros(SAMPLE_RATE * 2)
    clip[SAMPLE_RATE : SAMPLE_RATE + 4000] = 0.5 * np.sin(np.arange(4000))
    recorded = record(clip, SAMPLE_RATE, np.random.default_rng(3))
    assert len(recorded) == len(clip)
    assert np.max(np.abs(recorded)) < 1.0
    before = recorded[: SAMPLE_RATE // 2]
    assert -60 < 20 * np.log10(np.std(before) / np.max(np.abs(recorded))) < -20
