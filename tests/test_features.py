"""Log-mel features against the definition, computed by numpy alone."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from torchaudio.functional import melscale_fbanks
from torchaudio.transforms import MelSpectrogram

from recipe_mtlvae.conf import load_conf
from recipe_mtlvae.conf_sections import FeatureConf
from recipe_mtlvae.inputs.log_mel import LogMelInput, scale
from recipe_mtlvae.inputs.mel_scale import band_centres
from recipe_mtlvae.inputs.mel_transform import LogMel, mel_filters

CONF: FeatureConf = load_conf().features


def hertz_to_mel(hertz: np.ndarray | float) -> np.ndarray | float:
    """Convert to mel, on HTK's scale."""
    return 2595.0 * np.log10(1.0 + np.asarray(hertz) / 700.0)


def triangles() -> np.ndarray:
    """Return triangles of height 1 between points at equal distances in mel: (mels, 1025)."""
    points = 700.0 * (10.0 ** (np.linspace(hertz_to_mel(0.0), hertz_to_mel(8000.0), 130) / 2595.0) - 1.0)
    bins = np.arange(1025) * 16000 / 2048
    rising = (bins - points[:-2, None]) / (points[1:-1] - points[:-2])[:, None]
    falling = (points[2:, None] - bins) / (points[2:] - points[1:-1])[:, None]
    return np.maximum(0.0, np.minimum(rising, falling))


def reference_frame(samples: np.ndarray, frame: int) -> np.ndarray:
    """Return one frame (mels,) in dB by a plain DFT: symmetric Hamming window, centred, ends mirrored."""
    mirrored = np.concatenate([samples[1024:0:-1], samples, samples[-2:-1026:-1]])
    window = 0.54 - 0.46 * np.cos(2 * np.pi * np.arange(2048) / 2047)
    piece = mirrored[256 * frame : 256 * frame + 2048] * window
    angles = 2 * np.pi * np.outer(np.arange(1025), np.arange(2048)) / 2048
    amplitudes = np.hypot(np.cos(angles) @ piece, np.sin(angles) @ piece)
    decibels = 20 * np.log10(np.maximum(triangles() @ amplitudes, 1e-5))
    return np.clip(decibels, -50, 80)


@pytest.fixture(scope="module")
def recording() -> np.ndarray:
    time = np.arange(160000) / 16000
    sweep = 0.3 * np.sin(2 * np.pi * (100 * time + 350 * time**2))
    return sweep + 0.01 * np.random.default_rng(0).standard_normal(160000)


def test_frames_are_the_windowed_spectrum_in_mel_bands(recording):
    log_mel = LogMel(CONF)(torch.tensor(recording, dtype=torch.float32)[None])[0]
    for frame in (0, 1, 3, 4, 300, 624, 625):
        np.testing.assert_allclose(log_mel[:, frame], reference_frame(recording, frame), atol=2e-3)


def test_ten_seconds_are_626_frames_of_128_bands(recording):
    log_mel = LogMel(CONF)(torch.tensor(recording, dtype=torch.float32)[None])
    assert log_mel.shape == (1, 128, 626)
    assert LogMelInput(load_conf()).shape == (128, 626)


@pytest.mark.parametrize("seconds", [0.1, 0.29, 1.024, 4.608, 9.99])
def test_the_store_expects_the_frames_that_are_computed(seconds):
    source = LogMelInput(load_conf(settings=[f"data.clip_seconds={seconds}"]))
    waveform = torch.zeros(1, round(seconds * CONF.sample_rate))
    assert LogMel(CONF)(waveform).shape[1:] == source.shape


def test_silence_has_the_lowest_level():
    assert (LogMel(CONF)(torch.zeros(1, 16000)) == -50.0).all()


def test_levels_above_the_highest_are_clamped():
    assert LogMel(CONF)(1e6 * torch.ones(1, 16000)).max() == 80.0


def test_clips_of_a_batch_do_not_affect_each_other(recording):
    batch = torch.tensor(recording, dtype=torch.float32).reshape(10, 16000)
    together = LogMel(CONF)(batch)
    torch.testing.assert_close(LogMel(CONF)(batch[3:4])[0], together[3])


@pytest.mark.parametrize(("shape", "words"), [((16000,), "batch, samples"), ((1, 1024), "more than 1024 samples")])
def test_other_shapes_are_refused(shape, words):
    with pytest.raises(ValueError, match=words):
        LogMel(CONF)(torch.zeros(shape))


@pytest.mark.parametrize(
    ("scale_range", "expected"),
    [
        ((-1.0, 1.0), [[[-1.0, 0.0], [0.5, 1.0]], [[-1.0, -0.5], [0.0, 1.0]]]),
        ((0.0, 1.0), [[[0.0, 0.5], [0.75, 1.0]], [[0.0, 0.25], [0.5, 1.0]]]),
    ],
)
def test_scaling_maps_each_clip_to_the_whole_range(scale_range, expected):
    log_mel = torch.tensor([[[-50.0, 0.0], [25.0, 50.0]], [[10.0, 20.0], [30.0, 50.0]]])
    torch.testing.assert_close(scale(log_mel, scale_range), torch.tensor(expected))


def test_both_ranges_are_the_toolkits_formulas_to_the_last_bit():
    """The formulas of the toolkit's commits 63d8b3b and 471c35a, written out."""
    log_mel = torch.rand(3, 128, 626, generator=torch.Generator().manual_seed(0)) * 130 - 50
    for clip, older, newer in zip(log_mel, scale(log_mel, (0.0, 1.0)), scale(log_mel, (-1.0, 1.0)), strict=True):
        share = (clip - clip.min()) / (clip.max() - clip.min() + 1e-8)
        assert torch.equal(older, share)
        assert torch.equal(newer, share * 2 - 1)


@pytest.mark.parametrize("scale_range", [(-1.0, 1.0), (0.0, 1.0)])
def test_a_silent_clip_is_scaled_to_the_lowest_value(scale_range):
    assert (scale(torch.full((1, 128, 626), -50.0), scale_range) == scale_range[0]).all()


def test_bands_without_a_bin_of_their_own_are_at_the_lowest_level():
    """1024 bands of 1025 bins: the lowest triangles fall between two bins."""
    conf = replace(CONF, n_mels=1024)
    log_mel = LogMel(conf)(torch.rand(1, 16000, generator=torch.Generator().manual_seed(0)))
    empty = mel_filters(conf).any(dim=0).logical_not()
    assert log_mel.shape[1] == 1024
    assert empty.any()
    assert (log_mel[0, empty] == -50.0).all()


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"n_mels": 64, "n_fft": 1024},
        {"f_min": 100.0, "f_max": 4000.0, "n_mels": 40},
        {"sample_rate": 11025, "n_fft": 441, "f_min": 20.0, "f_max": 5512.5},
        {"sample_rate": 44100, "f_max": 22050.0, "n_mels": 256},
    ],
)
def test_filters_are_torchaudios_to_the_last_bit(settings):
    conf = replace(CONF, **settings)
    expected = melscale_fbanks(conf.n_fft // 2 + 1, conf.f_min, conf.f_max, conf.n_mels, conf.sample_rate, norm=None)
    assert torch.equal(mel_filters(conf), expected)


@pytest.mark.parametrize(
    "settings", [{}, {"n_mels": 64, "n_fft": 1024}, {"f_min": 100.0, "f_max": 4000.0, "n_mels": 40}]
)
def test_features_are_those_of_torchaudios_own_transform(recording, settings):
    conf = replace(CONF, **settings)
    transform = MelSpectrogram(
        sample_rate=conf.sample_rate,
        n_fft=conf.n_fft,
        hop_length=conf.hop_length,
        f_min=conf.f_min,
        f_max=conf.f_max,
        n_mels=conf.n_mels,
        window_fn=torch.hamming_window,
        wkwargs={"periodic": False},
        power=1.0,
    )
    waveform = torch.tensor(recording, dtype=torch.float32).reshape(2, -1)
    expected = (20 * transform(waveform).clamp(min=1e-5).log10()).clamp(-50, 80)
    torch.testing.assert_close(LogMel(conf)(waveform), expected, rtol=0, atol=1e-3)


def test_band_centres_lie_on_the_mel_scale():
    centres = band_centres(CONF)  # 128 bands, 0 to 8000 Hz: 2840.02 mel in 129 steps
    assert centres[0] == pytest.approx(700 * (10 ** (2840.0230467 / 129 / 2595) - 1), rel=1e-6)
    assert len(centres) == 128 and centres[-1] < 8000
