"""Decoding of audio: what is accepted, how it is brought to one rate and length, and what is refused."""

from __future__ import annotations

import os
import struct
from pathlib import Path

import numpy as np
import pytest
import soundfile

from recipe_mtlvae.audio.decoding import read_audio
from recipe_mtlvae.audio.resampling import resample
from recipe_mtlvae.errors import RecipeError

RATE = 16000


def noise(seconds: float, rate: int = RATE, seed: int = 0) -> np.ndarray:
    return 0.1 * np.random.default_rng(seed).standard_normal(round(seconds * rate)).astype(np.float32)


def written(path: Path, samples: np.ndarray, rate: int = RATE, **options: str) -> Path:
    soundfile.write(path, samples, rate, **options)
    return path


def tone(frequency: float, rate: int, seconds: float = 1.0) -> np.ndarray:
    return np.sin(2 * np.pi * frequency * np.arange(round(seconds * rate)) / rate).astype(np.float32)


def test_float_audio_at_the_requested_rate_is_returned_unchanged(tmp_path):
    samples = noise(1.0)
    audio = read_audio(written(tmp_path / "a.wav", samples, subtype="FLOAT"), RATE, None)
    np.testing.assert_array_equal(audio.samples, samples)
    assert (audio.samples.dtype, audio.duration) == (np.float32, 1.0)


def test_a_file_without_a_header_is_refused(tmp_path):
    (tmp_path / "a.raw").write_bytes(bytes(3200))
    with pytest.raises(RecipeError, match=r"a\.raw: has no header: .*; say how it is coded, as by: ffmpeg -f s16le"):
        read_audio(tmp_path / "a.raw", RATE, None)


def test_channels_are_averaged(tmp_path):
    stereo = np.stack([np.full(1600, 0.5), np.full(1600, -0.25)], axis=1).astype(np.float32)
    audio = read_audio(written(tmp_path / "a.wav", stereo, subtype="FLOAT"), RATE, None)
    np.testing.assert_array_equal(audio.samples, np.full(1600, 0.125, dtype=np.float32))


def test_eight_bit_audio_is_accepted(tmp_path):
    samples = noise(0.5)
    audio = read_audio(written(tmp_path / "a.wav", samples, subtype="PCM_U8"), RATE, None)
    np.testing.assert_allclose(audio.samples, samples, atol=1 / 127)


@pytest.mark.parametrize("suffix", ["wav", "flac", "ogg", "mp3", "aiff"])
def test_formats_of_libsndfile_are_accepted(tmp_path, suffix):
    audio = read_audio(written(tmp_path / f"a.{suffix}", noise(1.0)), RATE, 1.0)
    assert len(audio.samples) == RATE


def test_a_tenth_of_a_second_is_padded_with_zeros(tmp_path):
    audio = read_audio(written(tmp_path / "a.wav", noise(0.1)), RATE, 10.0)
    assert len(audio.samples) == 160000
    assert audio.samples[:1600].any()
    assert not audio.samples[1600:].any()
    assert audio.duration == pytest.approx(0.1)


def test_a_long_recording_is_cut_and_its_full_duration_is_returned(tmp_path):
    samples = noise(3.0)
    audio = read_audio(written(tmp_path / "a.wav", samples, subtype="FLOAT"), RATE, 1.0)
    np.testing.assert_array_equal(audio.samples, samples[:RATE])
    assert audio.duration == 3.0


def test_the_cut_leaves_no_trace_of_the_resampling_filter(tmp_path):
    path = written(tmp_path / "a.wav", noise(2.0, 44100), 44100, subtype="FLOAT")
    whole = read_audio(path, RATE, None).samples
    np.testing.assert_allclose(read_audio(path, RATE, 1.0).samples, whole[:RATE], atol=1e-6)


@pytest.mark.parametrize("rate", [8000, 11025, 22050, 32000, 44100, 48000, 96000, 22051, 15999])
def test_a_tone_keeps_its_pitch_phase_and_level_at_any_rate(rate):
    resampled = resample(tone(1000.0, rate), rate, RATE)
    assert abs(len(resampled) - RATE) <= 1
    inner = slice(1000, 15000)
    np.testing.assert_allclose(resampled[inner], tone(1000.0, RATE)[inner], atol=2e-4)


@pytest.mark.parametrize("rate", [44100, 48000, 22051])
@pytest.mark.parametrize("frequency", [8500.0, 10000.0])
def test_frequencies_above_half_the_lower_rate_are_removed(rate, frequency):
    power = np.mean(resample(tone(frequency, rate), rate, RATE)[1000:15000] ** 2)
    assert 10 * np.log10(power / 0.5) < -60


@pytest.mark.parametrize("rate", [44100, 48000])
def test_below_7_khz_resampling_agrees_with_soxr(rate):
    soxr = pytest.importorskip("soxr")
    samples = noise(4.0, rate)
    ours, theirs = resample(samples, rate, RATE), soxr.resample(samples, rate, RATE, quality="VHQ")
    length = min(len(ours), len(theirs))
    window = np.hanning(length)
    ours, theirs = (np.fft.rfft(window * signal[:length]) for signal in (ours, theirs))
    band = slice(0, round(7000 / RATE * length))
    assert np.linalg.norm((ours - theirs)[band]) < 1e-3 * np.linalg.norm(theirs[band])


def test_resampling_is_the_windowed_sinc_of_kaiser_best():
    """The definition, summed over samples: 64 zero crossings on either side, cut-off 0.9476 of half the lower rate."""
    samples = noise(0.05, 44100)
    found = resample(samples, 44100, RATE)
    cutoff = 0.9475937167399596 * RATE / 44100
    for index in (0, 1, 100, 399, len(found) - 1):
        crossings = cutoff * (index * 44100 / RATE - np.arange(len(samples)))
        inside = np.clip(1 - (crossings / 64) ** 2, 0, None)
        window = np.where(np.abs(crossings) < 64, np.i0(14.769656459379492 * np.sqrt(inside)), 0) / np.i0(14.769656)
        assert found[index] == pytest.approx(np.sum(samples * cutoff * np.sinc(crossings) * window), abs=1e-6)


@pytest.mark.parametrize("rate", [8000, 11025, 22050, 22051, 44100, 48000])
@pytest.mark.parametrize("count", [1, 7, 30_000])
def test_the_resampled_length_is_the_same_duration_rounded_up(rate, count):
    assert len(resample(noise(1.0, count), rate, RATE)) == -(-count * RATE // rate)


def test_a_long_recording_is_resampled_like_its_pieces(tmp_path):
    """80 s are more blocks than are processed at once."""
    samples = noise(80.0, 44100)
    whole = resample(samples, 44100, RATE)
    piece = resample(samples[441 * 5000 : 441 * 5200], 44100, RATE)
    np.testing.assert_allclose(whole[160 * 5010 : 160 * 5190], piece[160 * 10 : 160 * 190], atol=1e-6)


def refused(path: Path, words: str) -> None:
    with pytest.raises(RecipeError, match=words) as error:
        read_audio(path, RATE, 10.0)
    assert str(error.value).startswith(f"{path}: ")
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("kept", [10, 30])
def test_a_wav_cut_in_its_header_is_refused(tmp_path, kept):
    path = written(tmp_path / "a.wav", noise(1.0))
    path.write_bytes(path.read_bytes()[:kept])
    refused(path, "is not readable as audio|holds no samples")


def test_a_wav_from_a_pipe_has_no_length_in_its_header_and_is_accepted(tmp_path):
    path = written(tmp_path / "a.wav", noise(1.0))
    content = bytearray(path.read_bytes())
    content[40:44] = struct.pack("<I", 0xFFFFFFFF)
    path.write_bytes(content)
    assert read_audio(path, RATE, None).duration == 1.0


def test_an_empty_file_is_refused(tmp_path):
    (tmp_path / "a.wav").touch()
    refused(tmp_path / "a.wav", r"is empty \(0 bytes\)")


def test_audio_without_samples_is_refused(tmp_path):
    refused(written(tmp_path / "a.wav", np.zeros(0)), "holds no samples")


def test_text_is_refused(tmp_path):
    (tmp_path / "a.wav").write_text("<html>404</html>")
    refused(tmp_path / "a.wav", "is not readable as audio")


def test_a_suffix_that_does_not_match_the_content_is_refused(tmp_path):
    written(tmp_path / "a.flac", noise(0.5)).rename(tmp_path / "a.wav")
    refused(tmp_path / "a.wav", r"is wrongly named: \.wav by name, FLAC by content")


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_nan_and_infinite_samples_are_refused(tmp_path, value):
    samples = noise(0.5)
    samples[100] = value
    refused(written(tmp_path / "a.wav", samples, subtype="FLOAT"), "holds samples that are NaN or infinite")


def test_an_implausible_sample_rate_is_refused(tmp_path):
    path = written(tmp_path / "a.wav", noise(0.5))
    content = bytearray(path.read_bytes())
    content[24:28] = struct.pack("<I", 2_000_000_000)
    path.write_bytes(content)
    refused(path, "sample rate 2000000000 Hz: expected 1000 to 384000")


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda path: None, "no such audio file"),
        (Path.mkdir, "is a folder, not an audio file"),
        (os.mkfifo, "is no plain file"),
    ],
)
def test_a_path_that_is_not_a_plain_file_is_refused(tmp_path, make, words):
    make(tmp_path / "a.wav")
    refused(tmp_path / "a.wav", words)


@pytest.mark.parametrize("rate", [RATE, 44100])
def test_a_stretch_equals_that_part_of_the_whole_recording(tmp_path, rate):
    samples = 0.3 * np.sin(2 * np.pi * 440 * np.arange(3 * rate) / rate)
    path = written(tmp_path / "a.wav", samples, rate)
    whole, stretch = read_audio(path, RATE, None).samples, read_audio(path, RATE, 1.0, start=1.5)
    np.testing.assert_allclose(stretch.samples, whole[RATE * 3 // 2 : RATE * 5 // 2], atol=1e-4)
    assert stretch.duration == 1.5
