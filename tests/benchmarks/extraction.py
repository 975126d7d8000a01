"""Benchmark the way from an audio file to a row of the feature store, on one core: ours, the baseline's, and with soxr.

    python -m tests.benchmarks.extraction [--clips 24] [--rounds 5] [--out extraction.json]

The ways take turns on the whole set of clips, so that other load on the machine slows all of them alike. librosa and
soxr are installed with the packages for scoring; a way whose package is missing is left out.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import os
import statistics
import tempfile
import time
from collections.abc import Callable, Iterable
from pathlib import Path

import numpy as np
import soundfile
import torch
from torchaudio.transforms import MelSpectrogram

from recipe_mtlvae.audio.decoding import read_audio
from recipe_mtlvae.audio.resampling import resample
from recipe_mtlvae.conf import load_conf
from recipe_mtlvae.corpus.metadata import Clip
from recipe_mtlvae.inputs.extraction import PartTask, extract_part
from recipe_mtlvae.inputs.log_mel import LogMelInput
from recipe_mtlvae.inputs.mel_transform import LogMel
from tests.benchmarks.timing import Goal, Line, Way, race

SECONDS, FILE_RATE = 10.0, 44_100
SOURCE = LogMelInput(load_conf())
FEATURES = SOURCE.conf.features
RATE = FEATURES.sample_rate


def write_clips(folder: Path, count: int) -> list[Clip]:
    """Write clips of noise: 10 s at 44.1 kHz, 16 bit, like the clips of DESED."""
    clips = []
    for number in range(count):
        path = folder / f"{number}.wav"
        noise = 0.1 * np.random.default_rng(number).standard_normal(round(SECONDS * FILE_RATE))
        soundfile.write(path, noise, FILE_RATE)
        clips.append(Clip(path.name, path, None, None))
    return clips


def ours(clips: list[Clip], folder: Path) -> None:
    """Do what stage 0 does in each of its processes."""
    extract_part(PartTask(folder / "store", 0, tuple(clips)), SOURCE, LogMel(FEATURES), lambda done: None)


def torchaudio_mel() -> Callable[[torch.Tensor], torch.Tensor]:
    mel = MelSpectrogram(
        sample_rate=RATE,
        n_fft=FEATURES.n_fft,
        hop_length=FEATURES.hop_length,
        f_min=FEATURES.f_min,
        f_max=FEATURES.f_max,
        n_mels=FEATURES.n_mels,
        window_fn=torch.hamming_window,
        wkwargs={"periodic": False},
        power=1.0,
    )
    return lambda samples: (20 * mel(samples).clamp(min=1e-5).log10()).clamp(-50, 80)


def through_a_file(clips: list[Clip], folder: Path, resampled: Callable[[np.ndarray], np.ndarray]) -> None:
    """Do what the baseline recipe does: write a resampled copy of each clip, then read and transform that copy."""
    log_mel = torchaudio_mel()
    for clip in clips:
        samples, _ = soundfile.read(clip.path, dtype="float32")
        copy = folder / "16k" / clip.name
        copy.parent.mkdir(exist_ok=True)
        soundfile.write(copy, resampled(samples), RATE)
        again, _ = soundfile.read(copy, dtype="float32")
        np.save(folder / "row.npy", log_mel(torch.from_numpy(again)[None])[0].numpy())


def baseline(clips: list[Clip], folder: Path) -> None:
    import librosa

    rates = {"orig_sr": FILE_RATE, "target_sr": RATE}
    through_a_file(clips, folder, lambda samples: librosa.resample(samples, res_type="kaiser_best", **rates))


def soxr_way(clips: list[Clip], folder: Path) -> None:
    import soxr

    through_a_file(clips, folder, lambda x: soxr.resample(x, FILE_RATE, RATE, quality="HQ"))


def reading(clips: list[Clip], folder: Path) -> None:
    """One part of our way: decoding."""
    for clip in clips:
        read_audio(clip.path, FILE_RATE, SECONDS)


def resampling(clips: list[Clip], folder: Path) -> None:
    """One part of our way: resampling from 44.1 to 16 kHz, always of the same clip."""
    for _ in clips:
        resample(_NOISE, FILE_RATE, RATE)


def soxr_alone(clips: list[Clip], folder: Path) -> None:
    import soxr

    for _ in clips:
        soxr.resample(_NOISE, FILE_RATE, RATE, quality="HQ")


def transforming(clips: list[Clip], folder: Path) -> None:
    """One part of our way: the log-mel."""
    with torch.inference_mode():
        for _ in clips:
            _LOG_MEL(_WAVEFORM)


def torchaudio_alone(clips: list[Clip], folder: Path) -> None:
    with torch.inference_mode():
        for _ in clips:
            _TORCHAUDIO(_WAVEFORM)


_NOISE = 0.1 * np.random.default_rng(0).standard_normal(round(SECONDS * FILE_RATE)).astype(np.float32)
_WAVEFORM = torch.from_numpy(_NOISE[: round(SECONDS * RATE)])[None]
_LOG_MEL, _TORCHAUDIO = LogMel(FEATURES), torchaudio_mel()
# name: (function, the package that it needs, the way that it is compared with)
WAYS: dict[str, tuple[Callable[[list[Clip], Path], None], str, str]] = {
    "file to store row, ours": (ours, "numpy", ""),
    "the baseline's way (librosa kaiser_best)": (baseline, "resampy", "file to store row, ours"),
    "the baseline's way with soxr HQ": (soxr_way, "soxr", "file to store row, ours"),
    "decoding": (reading, "numpy", ""),
    "resampling, ours": (resampling, "numpy", ""),
    "resampling, soxr HQ": (soxr_alone, "soxr", "resampling, ours"),
    "log-mel, ours": (transforming, "numpy", ""),
    "log-mel, torchaudio": (torchaudio_alone, "numpy", "log-mel, ours"),
}


def measure(count: int, rounds: int) -> dict[str, float]:
    """Return the median seconds per clip of each way."""
    there = {name: way for name, (way, package, _) in WAYS.items() if importlib.util.find_spec(package)}
    times: dict[str, list[float]] = {name: [] for name in there}
    with tempfile.TemporaryDirectory() as folder:
        clips = write_clips(Path(folder), count)
        for turn in range(rounds + 1):
            for name, way in there.items():
                started = time.perf_counter()
                way(clips, Path(folder))
                if turn:  # the first one warms up: files into memory, filters, imports
                    times[name].append((time.perf_counter() - started) / count)
    return {name: statistics.median(seconds) for name, seconds in times.items()}


def lines(quick: bool) -> Iterable[Line]:
    """Yield the lines, measured on one thread because the goal is stated for one core."""
    count, rounds = (4, 1) if quick else (24, 5)
    threads = torch.get_num_threads()
    others = {"the baseline's way (librosa kaiser_best)": baseline, "the same with soxr HQ": soxr_way}
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        clips = write_clips(folder, count)
        for title, other in others.items():
            there = importlib.util.find_spec("soxr" if other is soxr_way else "resampy")
            yield race(
                f"file to store row, one core, against {title}",
                "s of audio/s",
                Way(lambda: ours(clips, folder), count * SECONDS),
                Way(lambda way=other: way(clips, folder), count * SECONDS) if there else None,
                Way(lambda: [clip.path.read_bytes() for clip in clips], count * SECONDS),
                rounds=rounds,
                bound_name="reading the files' bytes",
                goals=(Goal("value", 400.0),) if other is baseline else (),
                energy=other is baseline,
            )
    torch.set_num_threads(threads)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--clips", type=int, default=24)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    torch.set_num_threads(1)
    seconds = measure(options.clips, options.rounds)
    print(f"one thread, {os.cpu_count()} cores, torch {torch.__version__}; a clip is {SECONDS:g} s at {FILE_RATE} Hz")
    print("| way | ms a clip | times real time | of ours |\n|---|---|---|---|")
    for name, each in seconds.items():
        against = WAYS[name][2]
        ratio = f"{each / seconds[against]:.1f} x" if against else ""
        print(f"| {name} | {1000 * each:.2f} | {SECONDS / each:,.0f} | {ratio} |")
    if options.out:
        options.out.write_text(json.dumps({"seconds_per_clip": seconds, "clip_seconds": SECONDS}, indent=2) + "\n")


if __name__ == "__main__":
    main()
