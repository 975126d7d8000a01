"""Reading block by block gives the same samples as reading at once, and the same faults."""

from __future__ import annotations

import tracemalloc
from pathlib import Path

import numpy as np
import pytest
import soundfile

from recipe_mtlvae.audio.decoding import read_audio
from recipe_mtlvae.audio.resampling import resample
from recipe_mtlvae.audio.streaming import array_stream, open_stream, overlapped
from recipe_mtlvae.errors import RecipeError

RATE = 16000


def noise(samples: int) -> np.ndarray:
    return 0.1 * np.random.default_rng(0).standard_normal(samples).astype(np.float32)


def recording(path: Path, seconds: float, rate: int, channels: int = 1) -> Path:
    samples = noise(round(seconds * rate) * channels).reshape(-1, channels)
    soundfile.write(path, samples, rate, subtype="FLOAT")
    return path


def streamed(path: Path, block_seconds: float, **stretch: float) -> list[np.ndarray]:
    with open_stream(path, RATE, block_seconds, **stretch) as stream:
        return list(stream.blocks)


@pytest.mark.parametrize("rate", [16000, 8000, 11025, 22050, 44100, 48000, 96000, 22051, 1000])
@pytest.mark.parametrize("seconds", [0.05, 0.9, 3.0, 4.0371])
def test_blocks_joined_are_the_whole_recording_at_any_rate(tmp_path, rate, seconds):
    path = recording(tmp_path / "a.wav", seconds, rate)
    blocks, whole = streamed(path, 0.5), read_audio(path, RATE, None).samples
    assert sum(map(len, blocks)) == len(whole)
    np.testing.assert_allclose(np.concatenate(blocks), whole, atol=1e-6)


@pytest.mark.parametrize("suffix", ["flac", "ogg", "mp3", "aiff", "au", "caf", "w64", "opus"])
def test_every_format_streams(tmp_path, suffix):
    path = tmp_path / f"a.{suffix}"
    codec = {"format": "OGG", "subtype": "OPUS"} if suffix == "opus" else {}
    soundfile.write(path, noise(4 * 48000), 48000, **codec)
    blocks, whole = streamed(path, 0.5), read_audio(path, RATE, None).samples
    assert len(blocks) > 4
    np.testing.assert_allclose(np.concatenate(blocks), whole, atol=1e-6)


def test_a_recording_within_one_block_equals_reading_at_once_to_the_last_bit(tmp_path):
    path = recording(tmp_path / "a.wav", 2.0, 44100, channels=2)
    (block,) = streamed(path, 2.0)
    np.testing.assert_array_equal(block, read_audio(path, RATE, None).samples)


def test_a_stretch_is_that_part_of_the_whole(tmp_path):
    path = recording(tmp_path / "a.wav", 3.0, RATE)
    part = np.concatenate(streamed(path, 0.5, first=1.0, seconds=1.2))
    np.testing.assert_array_equal(part, read_audio(path, RATE, None).samples[16000:35200])


def test_a_stretch_beyond_the_end_is_empty(tmp_path):
    assert streamed(recording(tmp_path / "a.wav", 1.0, RATE), 0.5, first=2.0) == []


def test_an_array_is_resampled_as_a_file_is():
    samples = noise(44100 * 2)
    blocks = list(array_stream(samples, 44100, RATE, 0.5).blocks)
    np.testing.assert_allclose(np.concatenate(blocks), resample(samples, 44100, RATE), atol=1e-6)


def test_memory_does_not_grow_with_the_length(tmp_path):
    def peak(seconds: float) -> int:
        path = recording(tmp_path / "a.wav", seconds, 44100)
        with open_stream(path, RATE, 1.0) as stream:
            next(stream.blocks)
            tracemalloc.start()
            for _ in stream.blocks:
                pass
        found = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return found

    assert peak(40.0) < 1.1 * peak(5.0)


def test_a_running_mean_over_pieces_is_that_of_the_whole():
    """Means of 3 neighbouring samples reach 1 sample on either side."""

    def mean(samples: np.ndarray) -> np.ndarray:
        return np.convolve(np.pad(samples, 1), np.ones(3) / 3, "valid")

    samples = np.arange(20.0)
    pieces = list(overlapped([samples[:7], samples[7:8], samples[8:9], samples[9:]], mean, unit=1, given=1, reach=1))
    assert len(pieces) > 2
    np.testing.assert_allclose(np.concatenate(pieces), mean(samples))


def test_damage_is_reported_when_its_block_is_read(tmp_path):
    samples = noise(3 * RATE)
    samples[-100] = np.nan
    soundfile.write(tmp_path / "a.wav", samples, RATE, subtype="FLOAT")
    with open_stream(tmp_path / "a.wav", RATE, 1.0) as stream:
        assert len(next(stream.blocks)) == RATE
        with pytest.raises(RecipeError, match="NaN or infinite"):
            list(stream.blocks)
