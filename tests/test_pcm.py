"""Containers of plain samples: lengths over 2 and 4 GiB, where 32 bits end, and headers that lead nowhere.

The large files are sparse: they take no room on the disk.
"""

from __future__ import annotations

import struct
from pathlib import Path

import numpy as np
import pytest
import soundfile

from recipe_mtlvae.audio import pcm
from recipe_mtlvae.audio.decoding import read_audio
from recipe_mtlvae.audio.pcm import _chunks
from recipe_mtlvae.errors import RecipeError

RATE = 16000
SAMPLES = (8000 * np.random.default_rng(0).standard_normal(RATE)).astype("<i2")
# kind: (place of the size of the samples, its format, place of the first sample)
HEADERS = {"wav": (40, "<I", 44), "au": (8, ">I", 24), "rifx": (40, ">I", 44), "aiff": (42, ">I", 54)}


def enlarged(folder: Path, kind: str, promised: int, size: int) -> Path:
    """Write a file of `size` bytes: sound at its beginning, after the promised bytes and at its end, else silence."""
    path = folder / f"a.{'wav' if kind == 'rifx' else kind}"
    order = ">" if HEADERS[kind][1] == ">I" else "<"
    soundfile.write(path, SAMPLES, RATE, "PCM_16", "BIG" if kind == "rifx" else "FILE")
    place, form, begin = HEADERS[kind]
    with path.open("r+b") as file:
        file.seek(place)
        file.write(struct.pack(form, promised))
        file.truncate(size)
        for where in (begin + promised // 4 * 4, size - 2 * RATE):
            if where <= size - 2 * RATE:
                file.seek(where)
                file.write(SAMPLES.astype(f"{order}i2").tobytes())
    return path


@pytest.mark.parametrize("kind", ["wav", "au"])
@pytest.mark.parametrize(
    ("promised", "size", "damage"),
    [
        (0, 2**32 + 2**20, "never finished, and promises 0 bytes"),
        (2**20, 2**32 + 2**20, "never finished, and promises 1048576 bytes"),  # the true length less 4 GiB
        (0x7FFFF000, 2**31 + 2**20, ""),
        (0xFFFFFFFF, 2**32 + 2**20, ""),
    ],
)
def test_a_long_recording_with_a_wrong_or_unknown_length_is_read_to_its_end(tmp_path, kind, promised, size, damage):
    path = enlarged(tmp_path, kind, promised, size)
    seconds = (size - HEADERS[kind][2]) / 2 / RATE
    audio = read_audio(path, RATE, 1.0, seconds - 1.0)
    assert audio.duration == pytest.approx(1.0, abs=1e-4)
    np.testing.assert_array_equal(audio.samples, SAMPLES.astype(np.float32) / 2**15)
    assert (damage in audio.damage.what) if damage else audio.damage is None


@pytest.mark.parametrize(("size", "missing"), [(2**31 + 2**20, 0), (2**32 - 2**20, 0), (2**31 + 2**20, 400)])
def test_an_au_file_over_2_gib_with_its_length_in_the_header_is_read_to_its_end(tmp_path, size, missing):
    """libsndfile takes the length for a signed number."""
    path = enlarged(tmp_path, "au", size - 24 + missing, size)
    audio = read_audio(path, RATE, 1.0, (size - 24) / 2 / RATE - 1.0)
    assert audio.duration == pytest.approx(1.0, abs=1e-4)
    np.testing.assert_array_equal(audio.samples, SAMPLES.astype(np.float32) / 2**15)


@pytest.mark.parametrize(("promised", "long"), [(0, 0), (400, 0), (2 * RATE, 0), (0xFFFFFFFF, 0), (0, 2 * RATE)])
def test_an_rf64_file_with_a_wrong_length_in_either_place_is_read_to_its_end(tmp_path, promised, long):
    ds64 = struct.pack("<4sI4s4sIQQQI", b"RF64", 0xFFFFFFFF, b"WAVE", b"ds64", 28, 0, long, 0, 0)
    form = struct.pack("<4sIHHIIHH4sI", b"fmt ", 16, 1, 1, RATE, 2 * RATE, 2, 16, b"data", promised)
    (tmp_path / "a.wav").write_bytes(ds64 + form + SAMPLES.tobytes())
    np.testing.assert_array_equal(
        read_audio(tmp_path / "a.wav", RATE, None).samples, SAMPLES.astype(np.float32) / 2**15
    )


@pytest.mark.parametrize("kind", ["rifx", "aiff"])
def test_sound_beyond_the_4_gib_of_a_32_bit_format_is_reported_as_not_read(tmp_path, kind):
    audio = read_audio(enlarged(tmp_path, kind, 0, 2**32 + 2**20), RATE, 1.0)
    assert 2**31 / RATE - 1 < audio.duration < 2**31 / RATE + 1
    assert "its format holds at most 4 GiB, and what follows is not read" in audio.damage.what


def test_data_after_more_than_2_gib_of_samples_is_not_read_as_sound(tmp_path):
    size = 2**31 + 2**20
    path = enlarged(tmp_path, "wav", size - 44, size)
    with path.open("ab") as file:
        file.write(b"LIST\x04\0\0\0\x80\x81\x82\x83")
    audio = read_audio(path, RATE, 1.0)
    assert (audio.duration, audio.damage) == ((size - 44) / 2 / RATE, None)


@pytest.mark.parametrize(("start", "length"), [(5000, 0), (5000, 400), (5000, 0xFFFFFFFF), (0, 0)])
def test_an_au_file_whose_samples_begin_within_its_header_or_beyond_its_end_is_refused(tmp_path, start, length):
    path = tmp_path / "a.au"
    path.write_bytes(struct.pack(">4s5I", b".snd", start, length, 3, RATE, 1) + bytes(range(200)))
    with pytest.raises(RecipeError, match=r"is not readable as audio|holds no samples"):
        read_audio(path, RATE, 1.0)


def test_an_rf64_file_whose_ds64_chunk_is_empty_is_refused(tmp_path):
    chunks = struct.pack("<4sI4s4sI4sI", b"RF64", 0xFFFFFFFF, b"WAVE", b"ds64", 0, b"data", 0xFFFFFFFF)
    (tmp_path / "a.wav").write_bytes(chunks)
    with pytest.raises(RecipeError, match=r"is not readable as audio|holds no samples"):
        read_audio(tmp_path / "a.wav", RATE, 1.0)


@pytest.mark.parametrize("kind", ["wav", "aiff", "au"])
def test_thousands_of_recordings_in_one_file_are_read_one_after_the_other(tmp_path, kind):
    soundfile.write(tmp_path / f"a.{kind}", SAMPLES[:160], RATE, "PCM_16")
    path = tmp_path / f"b.{kind}"
    path.write_bytes(1500 * (tmp_path / f"a.{kind}").read_bytes())
    samples = read_audio(path, RATE, None).samples
    np.testing.assert_array_equal(samples, np.tile(SAMPLES[:160].astype(np.float32) / 2**15, 1500))


def test_a_recording_after_the_chunks_behind_the_samples_of_another_is_read(tmp_path):
    soundfile.write(tmp_path / "a.wav", SAMPLES, RATE, "PCM_16")
    one = (tmp_path / "a.wav").read_bytes() + b"LIST\x04\0\0\0INFO" + b"bext\x02\0\0\0ab"
    (tmp_path / "a.wav").write_bytes(2 * one)
    audio = read_audio(tmp_path / "a.wav", RATE, None)
    np.testing.assert_array_equal(audio.samples, np.tile(SAMPLES.astype(np.float32) / 2**15, 2))
    assert audio.damage is None


def test_zeros_in_place_of_chunks_are_refused_at_once(tmp_path, monkeypatch):
    read = []
    monkeypatch.setattr(pcm, "_chunks", lambda *given: (read.append(chunk) or chunk for chunk in _chunks(*given)))
    (tmp_path / "a.wav").write_bytes(b"RIFF\0\0\0\0WAVE" + bytes(10_000))
    with pytest.raises(RecipeError, match="is not readable as audio"):
        read_audio(tmp_path / "a.wav", RATE, 1.0)
    assert len(read) == 1
