"""Damaged files: what can be decoded keeps its true time, and one line says what is missing."""

from __future__ import annotations

import struct
from pathlib import Path

import numpy as np
import pytest
import soundfile

from recipe_mtlvae.audio.decoding import read_audio
from recipe_mtlvae.audio.ogg import _checksum
from recipe_mtlvae.audio.recording import Recording
from recipe_mtlvae.audio.streaming import open_stream
from recipe_mtlvae.errors import RecipeError

RATE = 16000
SECONDS = 6.0
TIME = np.arange(round(SECONDS * RATE)) / RATE
NOISE = 0.02 * np.random.default_rng(0).standard_normal(len(TIME))  # keeps compressed files large
SWEEP = (0.3 * np.sin(2 * np.pi * (200 + 100 * TIME) * TIME) + NOISE).astype(np.float32)
COMPRESSED = ("mp3", "ogg", "opus", "flac")
PLAIN = ("wav", "rf64", "w64", "aiff", "au", "caf")


def written(folder: Path, kind: str, samples: np.ndarray = SWEEP) -> Path:
    path = folder / f"a.{kind}"
    options = {"opus": {"format": "OGG", "subtype": "OPUS"}, "rf64": {"format": "RF64"}}.get(kind, {})
    soundfile.write(path, samples, RATE, **options)
    return path


def spoilt(path: Path, begin: float, count: int) -> Path:
    """Overwrite `count` bytes by zeros, beginning at the share `begin` of the file."""
    data = bytearray(path.read_bytes())
    first = round(begin * len(data))
    data[first : first + count] = bytes(count)
    path.write_bytes(data)
    return path


def clean(path: Path) -> np.ndarray:
    return soundfile.read(path, dtype="float32")[0]


def said(path: Path) -> str:
    damage = read_audio(path, RATE, None).damage
    return damage.what if damage else ""


@pytest.mark.parametrize("kind", [*COMPRESSED, *PLAIN])
def test_an_undamaged_file_is_read_as_by_libsndfile_and_no_damage_is_reported(tmp_path, kind):
    path = written(tmp_path, kind)
    np.testing.assert_allclose(read_audio(path, RATE, None).samples, clean(path), atol=1e-6)
    assert said(path) == ""


@pytest.mark.parametrize("kind", [*COMPRESSED, *PLAIN])
@pytest.mark.parametrize("share", [0.5, 0.9])
def test_a_truncated_file_is_read_as_far_as_it_goes_and_its_end_is_reported(tmp_path, kind, share):
    path = written(tmp_path, kind)
    whole = clean(path)
    path.write_bytes(path.read_bytes()[: round(share * path.stat().st_size)])
    audio = read_audio(path, RATE, None)
    assert 0.6 * share * SECONDS < audio.duration < share * SECONDS + 0.1
    np.testing.assert_allclose(audio.samples, whole[: len(audio.samples)], atol=1e-3)
    assert f"is truncated at {audio.duration:.2f} s: " in said(path)


@pytest.mark.parametrize("kind", [*COMPRESSED, *PLAIN])
def test_concatenated_files_are_read_one_after_the_other(tmp_path, kind):
    path = written(tmp_path, kind)
    whole = clean(path)
    path.write_bytes(2 * path.read_bytes())
    np.testing.assert_allclose(read_audio(path, RATE, None).samples, np.concatenate([whole, whole]), atol=1e-3)
    assert said(path) == ""


def test_an_appended_recording_of_another_rate_is_not_read_but_reported(tmp_path):
    path = written(tmp_path, "flac")
    soundfile.write(tmp_path / "b.flac", SWEEP, 8000)
    path.write_bytes(path.read_bytes() + (tmp_path / "b.flac").read_bytes())
    assert read_audio(path, RATE, None).duration == SECONDS
    assert said(path) == "is damaged at 6.00 s: another recording follows, of 8000 Hz in 1 channels"


@pytest.mark.parametrize("kind", COMPRESSED)
@pytest.mark.parametrize("where", [0.3, 0.55])
def test_a_gap_is_silent_and_what_follows_keeps_its_time(tmp_path, kind, where):
    path = written(tmp_path, kind)
    whole = clean(path)
    samples = read_audio(spoilt(path, where, 300), RATE, None).samples
    assert abs(len(samples) - len(whole)) < 0.01 * RATE
    wrong = np.flatnonzero(np.abs(samples - whole[: len(samples)]) > 0.02) / RATE
    hole = np.flatnonzero(samples == 0)
    assert len(hole) > 0.05 * RATE
    assert wrong.max() - wrong.min() < 2.5  # s; an Ogg page holds about a second, and decoders need time to start
    assert "is damaged at " in said(path)


def test_a_stretch_after_a_gap_keeps_its_time(tmp_path):
    path = written(tmp_path, "ogg")
    whole = clean(path)
    stretch = read_audio(spoilt(path, 0.3, 300), RATE, 1.0, start=4.9).samples
    np.testing.assert_allclose(stretch, whole[round(4.9 * RATE) :][:RATE], atol=1e-3)


@pytest.mark.parametrize("kind", ["opus", "ogg", "mp3", "flac"])
def test_a_gap_at_the_beginning_is_reported_and_what_follows_keeps_its_time(tmp_path, kind):
    path = written(tmp_path, kind)
    whole = clean(path)
    data = path.read_bytes()
    sound = {"opus": 1000, "ogg": 4000, "flac": 9000}.get(kind) or data.index(b"Xing") + 700
    path.write_bytes(data[:sound] + bytes(300) + data[sound + 300 :])
    samples = read_audio(path, RATE, None).samples
    np.testing.assert_allclose(samples[3 * RATE : 5 * RATE], whole[3 * RATE : 5 * RATE], atol=0.02)
    assert said(path).startswith("is damaged at 0.")


def test_an_mp3_of_variable_bit_rate_with_two_gaps_ends_at_the_first(tmp_path):
    path = spoilt(spoilt(written(tmp_path, "mp3"), 0.4, 300), 0.7, 300)
    assert 0.3 * SECONDS < read_audio(path, RATE, None).duration < 0.45 * SECONDS
    assert "bytes are no audio, and for how long is not known: what follows is not read" in said(path)


def without_xing(data: bytes) -> bytes:
    """Return an MP3 file without its first frame, which holds the length."""
    place = next(data.index(mark) for mark in (b"Info", b"Xing") if mark in data)
    first = data.rindex(b"\xff", 0, place)
    return data[data.index(data[first : first + 2], place) :]


def test_an_mp3_without_its_length_is_decoded_to_its_end(tmp_path):
    """6 s at 16 kHz are 166.7 frames of 576 samples; the encoder adds two or three."""
    silence = np.zeros_like(SWEEP[: RATE * 3])
    path = written(tmp_path, "mp3", np.concatenate([SWEEP[: RATE * 3], silence]))
    path.write_bytes(without_xing(path.read_bytes()))
    audio = read_audio(path, RATE, None)
    assert len(audio.samples) % 576 == 0
    assert 167 <= len(audio.samples) / 576 <= 171
    assert audio.damage is None


@pytest.mark.parametrize("kind", ["mp3", "ogg", "opus", "flac"])
@pytest.mark.parametrize("start", [0.7, 2.03, 4.4])
def test_a_stretch_of_a_compressed_file_equals_that_part_decoded_from_the_start(tmp_path, kind, start):
    path = written(tmp_path, kind)
    whole = clean(path)
    stretch = read_audio(path, RATE, 1.0, start=start).samples
    np.testing.assert_allclose(stretch, whole[round(start * RATE) :][:RATE], atol=1e-5)


HEADERS = {  # kind: (place of the size of the samples, its format, bytes that it counts besides the samples)
    "wav": (40, "<I", 0),
    "w64": (96, "<Q", 24),
    "aiff": (42, ">I", 8),
    "au": (8, ">I", 0),
    "caf": (4084, ">Q", 4),
}


@pytest.mark.parametrize("kind", HEADERS)
@pytest.mark.parametrize("promised", [0, 3200])
def test_a_file_with_an_unfinished_header_is_read_to_its_end(tmp_path, kind, promised):
    path = written(tmp_path, kind)
    whole = clean(path)
    place, form, more = HEADERS[kind]
    data = bytearray(path.read_bytes())
    struct.pack_into(form, data, place, promised + more)
    path.write_bytes(data)
    np.testing.assert_array_equal(read_audio(path, RATE, None).samples, whole)
    assert said(path) == f"is truncated at 6.00 s: its header was never finished, and promises {promised} bytes"


def test_a_wav_two_bytes_short_is_read_and_reported_as_truncated(tmp_path):
    path = written(tmp_path, "wav")
    path.write_bytes(path.read_bytes()[:-2])
    assert len(read_audio(path, RATE, None).samples) == len(SWEEP) - 1
    assert said(path) == "is truncated at 6.00 s: 2 of 192000 bytes are missing"


@pytest.mark.parametrize("count", [len(SWEEP), 95_999])  # an odd number lacks its padding byte
@pytest.mark.parametrize("more", [b"LIST\x04\0\0\0\x80\x81\x82\x83", b"TAGtitle" + 120 * b"\x80", bytes(4096)])
def test_data_after_the_samples_is_not_read_as_sound(tmp_path, count, more):
    soundfile.write(tmp_path / "a.wav", SWEEP[:count], RATE, subtype="PCM_U8")
    data = (tmp_path / "a.wav").read_bytes()[: 44 + count]
    (tmp_path / "a.wav").write_bytes(data + more)
    assert (len(read_audio(tmp_path / "a.wav", RATE, None).samples), said(tmp_path / "a.wav")) == (count, "")


def test_a_flac_without_its_length_is_decoded_to_its_end(tmp_path):
    path = written(tmp_path, "flac")
    data = bytearray(path.read_bytes())
    data[21] &= 0xF0  # the last 36 bits of STREAMINFO's bytes 10 to 17: the number of samples
    data[22:26] = bytes(4)
    path.write_bytes(data)
    assert (read_audio(path, RATE, None).duration, said(path)) == (SECONDS, "")


def test_the_first_seconds_of_a_damaged_recording_are_those_of_the_undamaged_one(tmp_path):
    path = spoilt(written(tmp_path, "flac"), 0.7, 300)
    audio = read_audio(path, RATE, 2.0)
    np.testing.assert_allclose(audio.samples, SWEEP[: 2 * RATE], atol=1e-4)


def test_the_duration_of_a_stream_of_a_damaged_file_is_that_of_its_samples(tmp_path):
    path = written(tmp_path, "flac")
    path.write_bytes(path.read_bytes()[:-3000])
    with open_stream(path, RATE, 0.5) as stream:
        samples = np.concatenate(list(stream.blocks))
    assert len(samples) / RATE == stream.duration
    assert "is truncated" in stream.damage.what


def test_a_file_that_cannot_be_decoded_at_all_is_refused(tmp_path):
    path = written(tmp_path, "flac")
    spoilt(path, 0.0, path.stat().st_size)
    with pytest.raises(RecipeError, match="is not readable as audio"):
        read_audio(path, RATE, None)


@pytest.mark.parametrize("name", ["f" * 200 + "/" + "g" * 200, "\udcff"])
def test_a_path_that_libsndfile_cannot_open_is_read(tmp_path, name):
    folder = tmp_path.joinpath(*[name] * 3)
    folder.mkdir(parents=True)
    path = written(tmp_path, "wav").rename(folder / "a.wav")
    assert read_audio(path, RATE, None).duration == SECONDS


def test_samples_far_above_full_scale_are_refused(tmp_path):
    samples = SWEEP.copy()
    samples[100] = 1e18
    soundfile.write(tmp_path / "a.wav", samples, RATE, subtype="FLOAT")
    with pytest.raises(RecipeError, match=r"holds samples as large as 1e\+18: full scale is 1; export it again"):
        read_audio(tmp_path / "a.wav", RATE, None)


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("channels", [(3e38, 3e38), (np.inf, -np.inf), (np.nan, 0.0)])
def test_channels_whose_mean_is_not_finite_give_our_error_and_no_warning_of_numpy(tmp_path, channels):
    soundfile.write(tmp_path / "a.wav", np.full((100, 2), channels, np.float32), RATE, subtype="FLOAT")
    with pytest.raises(RecipeError, match="holds samples that are NaN or infinite"):
        read_audio(tmp_path / "a.wav", RATE, None)


@pytest.mark.parametrize("kind", [*COMPRESSED, *PLAIN])
def test_random_damage_gives_finite_samples_or_one_error(tmp_path, kind):
    """Bytes are removed, overwritten or cut off at random places: the result is samples or one line."""
    path = written(tmp_path, kind, SWEEP[: 2 * RATE])
    data = path.read_bytes()
    rng = np.random.default_rng(0)
    for _ in range(30):
        bad = bytearray(data)
        first, count = int(rng.integers(len(bad))), int(rng.integers(1, 400))
        change = rng.integers(3)
        if change == 0:
            del bad[first : first + count]
        elif change == 1:
            bad[first : first + count] = rng.bytes(count)
        else:
            del bad[first:]
        path.write_bytes(bad or b"x")
        try:
            with open_stream(path, RATE, 0.5) as stream:
                assert all(np.isfinite(block).all() for block in stream.blocks)
        except RecipeError as error:
            assert str(error).startswith(str(path))


def test_an_ogg_file_whose_first_page_has_a_time_is_read(tmp_path):
    path = written(tmp_path, "ogg")
    data, whole = bytearray(path.read_bytes()), clean(path)
    end = 28 + data[27]
    struct.pack_into("<q", data, 6, 5)
    data[22:26] = bytes(4)
    struct.pack_into("<I", data, 22, _checksum(bytes(data[:end])))
    path.write_bytes(data)
    np.testing.assert_array_equal(read_audio(path, RATE, None).samples, whole)


@pytest.mark.parametrize("rate", [RATE, 44100])
def test_a_clip_that_begins_after_the_end_is_refused(tmp_path, rate):
    with pytest.raises(RecipeError, match=r"expected more than 7 s, got 6 s; if it was replaced, run stage 0 again"):
        read_audio(written(tmp_path, "wav"), rate, 1.0, 7.0)


def test_the_damage_of_a_recording_is_still_known_after_it_is_closed(tmp_path):
    recording = Recording(spoilt(written(tmp_path, "ogg"), 0.5, 300))
    recording.read(len(SWEEP))
    recording.close()
    assert "is damaged" in str(recording.damage)
