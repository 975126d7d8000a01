"""The statistics of a recording, and which recordings a second check reads again."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
import soundfile

from recipe_mtlvae.corpus import scan as scan_module
from recipe_mtlvae.corpus.audio_stats import AudioStats, audio_stats
from recipe_mtlvae.corpus.metadata import Clip
from recipe_mtlvae.corpus.scan import scan
from recipe_mtlvae.errors import Fault, fail

RATE = 16000
NOISE = np.random.default_rng(0).integers(-5000, 5000, RATE, dtype=np.int16)


def written(path: Path, samples: np.ndarray, rate: int = RATE, **options: str) -> Path:
    soundfile.write(path, samples, rate, **options)
    return path


def test_rate_duration_and_peak_are_those_of_the_file(tmp_path):
    stats = audio_stats(written(tmp_path / "a.wav", np.array([0.0, 0.25, -0.5, 0.0]), 44100))
    assert (stats.rate, stats.duration, stats.peak) == (44100, 4 / 44100, 0.5)


@pytest.mark.parametrize("subtype", ["PCM_16", "PCM_24", "FLOAT"])
def test_runs_at_full_scale_are_clipping_and_lone_peaks_are_not(tmp_path, subtype):
    samples = np.zeros(1000)
    samples[[10, 11, 12, 13]] = 1.0  # four side by side
    samples[[50, 51, 60]] = -1.0  # two side by side, and one alone
    samples[[100, 101, 102]] = [1.0, -1.0, 1.0]  # three side by side, of both signs
    stats = audio_stats(written(tmp_path / "a.wav", samples, subtype=subtype))
    assert stats.clipped == pytest.approx(7 / 1000)
    assert stats.is_clipped


def test_one_clipped_channel_counts(tmp_path):
    samples = np.zeros((1000, 2))
    samples[10:20, 1] = 1.0
    assert audio_stats(written(tmp_path / "a.wav", samples)).clipped == pytest.approx(10 / 2000)


def test_the_same_samples_have_the_same_content_in_another_file_format_and_as_two_channels(tmp_path):
    one = audio_stats(written(tmp_path / "a.wav", NOISE)).content
    assert audio_stats(written(tmp_path / "Ya.wav", NOISE)).content == one
    assert audio_stats(written(tmp_path / "a.flac", NOISE)).content == one
    assert audio_stats(written(tmp_path / "b.wav", np.stack([NOISE, NOISE], axis=1))).content == one
    for subtype in ("PCM_24", "PCM_32", "FLOAT", "DOUBLE"):
        assert audio_stats(written(tmp_path / f"{subtype}.wav", NOISE / 32768, subtype=subtype)).content == one


def test_one_changed_or_missing_sample_changes_the_content(tmp_path):
    other = NOISE.copy()
    other[-1] += 1
    contents = {audio_stats(written(tmp_path / "a.wav", samples)).content for samples in (NOISE, other, NOISE[:-1])}
    assert len(contents) == 3


@pytest.mark.parametrize("level", [0, 1])  # 1: only the last bit is set, as by dither
def test_silence_has_no_content_so_that_it_never_counts_as_a_copy(tmp_path, level):
    stats = audio_stats(written(tmp_path / "a.wav", (level * np.sign(NOISE)).astype(np.int16)))
    assert stats.is_silent
    assert stats.content is None


def test_the_statistics_do_not_depend_on_the_number_of_blocks(tmp_path, monkeypatch):
    path = written(tmp_path / "a.wav", NOISE)
    whole = audio_stats(path)
    monkeypatch.setattr("recipe_mtlvae.corpus.audio_stats._BLOCK", 1000)
    assert audio_stats(path) == whole


@pytest.fixture
def clips(tmp_path: Path) -> list[Clip]:
    names = [f"{number}.wav" for number in range(200)]
    (tmp_path / "audio").mkdir()
    for number, name in enumerate(names):
        written(tmp_path / "audio" / name, NOISE[number : number + 100])
    return [Clip(name, tmp_path / "audio" / name, None, None) for name in names]


@pytest.fixture
def read(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The names of the recordings that are read, in a list that grows."""
    names: list[str] = []

    def examined(path: Path) -> AudioStats:
        names.append(path.name)
        return audio_stats(path)

    monkeypatch.setattr(scan_module, "audio_stats", examined)
    return names


@pytest.mark.parametrize("workers", [1, 3])
def test_statistics_come_in_the_order_of_the_clips(tmp_path, clips, workers):
    found = list(scan(clips, tmp_path / "cache.jsonl", workers))
    assert [clip for clip, _ in found] == clips
    assert [stats for _, stats in found] == [audio_stats(clip.path) for clip in clips]


def test_a_second_check_reads_only_new_and_changed_recordings(tmp_path, clips, read):
    cache = tmp_path / "cache.jsonl"
    clips[5].path.write_bytes(b"no audio")
    first = list(scan(clips[:-1], cache))
    read.clear()
    written(clips[7].path, NOISE)
    os.utime(clips[9].path, ns=(1, 1))
    second = list(scan(clips, cache))
    assert sorted(read) == ["199.wav", "5.wav", "7.wav", "9.wav"]
    changed = [clip.name for (clip, before), (_, now) in zip(first, second, strict=False) if before != now]
    assert changed == ["7.wav"]
    assert isinstance(second[5][1], Fault)
    read.clear()
    assert list(scan(clips, cache)) == second
    assert read == ["5.wav"]


def test_a_fault_is_gone_once_its_cause_is_although_the_file_has_not_changed(tmp_path, clips, monkeypatch):
    def denied(path: Path) -> AudioStats:
        raise fail("cannot be read (Permission denied)", path=path)

    with monkeypatch.context() as patch:
        patch.setattr(scan_module, "audio_stats", denied)
        assert all(isinstance(found, Fault) for _, found in scan(clips, tmp_path / "cache.jsonl"))
    assert [found for _, found in scan(clips, tmp_path / "cache.jsonl")] == [audio_stats(clip.path) for clip in clips]


@pytest.mark.parametrize("cut", [1, 40, 400])
def test_a_cache_with_a_torn_end_keeps_its_other_lines(tmp_path, clips, read, cut):
    cache = tmp_path / "cache.jsonl"
    first = list(scan(clips, cache))
    os.truncate(cache, cache.stat().st_size - cut)
    read.clear()
    assert list(scan(clips, cache)) == first
    assert 1 <= len(read) <= 6
    read.clear()
    assert list(scan(clips, cache)) == first
    assert read == []


@pytest.mark.parametrize(
    "line", ["[]", "{}", '["0.wav"]', "null", '["0.wav", 1, 2, [], {}]', '["0.wav", 1, 2, "a", 0, 0, 0, null]', "\0"]
)
def test_invalid_lines_in_a_cache_are_ignored(tmp_path, clips, line):
    cache = tmp_path / "cache.jsonl"
    key = clips[0].path.stat()
    line = line.replace("1, 2", f"{key.st_size}, {key.st_mtime_ns}")
    cache.write_text(scan_module._FORMAT + "\n" + line + "\n")
    assert [stats for _, stats in scan(clips, cache)] == [audio_stats(clip.path) for clip in clips]


def test_a_cache_of_another_version_is_written_again(tmp_path, clips, read):
    cache = tmp_path / "cache.jsonl"
    list(scan(clips, cache))
    cache.write_text(cache.read_text().replace("check 4", "check 0", 1))
    read.clear()
    list(scan(clips, cache))
    assert len(read) == len(clips)
    read.clear()
    list(scan(clips, cache))
    assert read == []


def test_a_cache_does_not_grow_without_limit(tmp_path, clips):
    cache = tmp_path / "cache.jsonl"
    for turn in range(5):
        for clip in clips:
            os.utime(clip.path, ns=(turn, turn))
        list(scan(clips, cache))
    assert len(cache.read_text().splitlines()) <= 3 * len(clips)


def test_a_cache_that_cannot_be_written_does_not_stop_the_check(tmp_path, clips):
    (tmp_path / "cache.jsonl").mkdir()
    assert len(list(scan(clips, tmp_path / "cache.jsonl"))) == len(clips)
