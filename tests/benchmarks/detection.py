"""Speed and memory of `detect`: a folder of 10-s clips, one long file, and the time to the first result.

    python -m tests.benchmarks.detection [--hours 3] [--clips 360] [--rate 44100] [--checkpoint FILE]

Each measurement starts a separate process, as a user would; its peak memory is read from Linux (VmHWM). Without
--checkpoint, the default network has random weights, which is as fast as a trained one.
"""

from __future__ import annotations

import argparse
import importlib.util
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import soundfile
import torch

from recipe_mtlvae.conf import load_conf
from recipe_mtlvae.corpus.metadata import Clip
from recipe_mtlvae.inputs.log_mel import scale
from recipe_mtlvae.nets.checkpoint import build_network, recipe_entry
from recipe_mtlvae.nets.complexity import macs
from recipe_mtlvae.nets.crnn import CRNN
from tests.benchmarks import extraction
from tests.benchmarks.machine import processor, product
from tests.benchmarks.timing import Goal, Line, Way, race

CLASSES = tuple(f"class {number}" for number in range(10))


def random_checkpoint(path: Path) -> Path:
    torch.manual_seed(0)
    conf = load_conf()
    weights = {f"net.{name}": value for name, value in build_network(conf, len(CLASSES)).state_dict().items()}
    torch.save({"state_dict": weights, "epoch": 0, "global_step": 0, "recipe": recipe_entry(conf, CLASSES)}, path)
    return path


def write_noise(path: Path, seconds: float, rate: int) -> None:
    """Write noise with a varying level as 16-bit mono, one minute at a time."""
    rng = np.random.default_rng(0)
    minute = 0.1 * rng.standard_normal(60 * rate) * (1.0 + np.sin(np.arange(60 * rate) / rate))
    with soundfile.SoundFile(path, "w", rate, 1, "PCM_16") as file:
        for start in range(0, round(seconds), 60):
            file.write(minute[: round(min(60, seconds - start) * rate)])


@dataclass(frozen=True)
class Measured:
    seconds: float  # from start to end of the process
    first: float  # from start to the first result
    cpu: float  # s over all cores: more reliable than the wall clock when other processes run
    megabytes: float  # peak resident memory


def measure(checkpoint: Path, audio: Path, out: Path) -> Measured:
    command = [sys.executable, "-m", "recipe_mtlvae", "detect", "--checkpoint", str(checkpoint), "--out", str(out)]
    started = time.perf_counter()
    process = subprocess.Popen([*command, str(audio)], stderr=subprocess.DEVNULL)
    first, peak = None, 0.0
    while True:
        peak = max(peak, _peak_megabytes(process.pid))
        pid, status, usage = os.wait4(process.pid, os.WNOHANG)
        if first is None and (pid or any((out / "events").glob("*.tsv"))):
            first = time.perf_counter() - started
        if pid:
            break
        time.sleep(0.01)
    if status:
        raise SystemExit(f"detect ended with {os.waitstatus_to_exitcode(status)}")
    seconds = time.perf_counter() - started
    return Measured(seconds, first, usage.ru_utime + usage.ru_stime, peak)


def _peak_megabytes(pid: int) -> float:
    """The peak memory of a process so far, or 0 once it has ended.

    The figure that wait4 returns is no substitute: it starts from the memory of the parent at the moment of the fork.
    """
    try:
        status = Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return 0.0
    _, found, rest = status.partition("VmHWM:")
    return int(rest.split()[0]) / 1024 if found else 0.0


def lines(quick: bool) -> Iterable[Line]:
    """Yield lines for a folder of clips and for one long file.

    The baseline's way runs in this process, so that its start-up is not counted.
    """
    clips, fewer, seconds, rounds = (24, 2, 360, 1) if quick else (240, 8, 3600, 3)
    with tempfile.TemporaryDirectory() as name:
        root = Path(name)
        checkpoint = random_checkpoint(root / "random.ckpt")
        sources = extraction.write_clips(_made(root / "clips"), clips)
        network, products = CRNN(len(CLASSES)).eval(), product()
        flop = 2 * macs(build_network(load_conf(), len(CLASSES)), torch.rand(1, 128, 626))
        work = _made(root / "work")
        yield race(
            f"detect, a folder of {clips} clips, to scores and events",
            "s of audio/s",
            Way(lambda: measure(checkpoint, root / "clips", Path(tempfile.mkdtemp(dir=root)) / "out"), 10 * clips),
            Way(lambda: _baseline(sources[:fewer], work, network), 10 * fewer)
            if importlib.util.find_spec("resampy")
            else None,
            Way(products.run, 10 * products.amount / flop),
            rounds=rounds,
            bound_name="the network's FLOP at the speed of a large matrix product",
            goals=(Goal("value", 300.0),),
            note=f"a process from start to end; the baseline's way: {fewer} clips resampled by kaiser_best, "
            "through its network, without decoding",
        )
        write_noise(_made(root / "long") / "long.wav", seconds, 44100)
        found = measure(checkpoint, root / "long", root / "out")
    title = f"detect, one file of {seconds / 3600:g} h"
    yield Line(title, "s of audio/s", (seconds / found.seconds,), goals=(Goal("value", 300.0),))
    yield Line(f"{title}, peak memory", "MB", (found.megabytes,), goals=(Goal("value", 1000.0),), less_is_better=True)


def _made(folder: Path) -> Path:
    folder.mkdir()
    return folder


@torch.inference_mode()
def _baseline(clips: Sequence[Clip], work: Path, network: CRNN) -> None:
    """Do what the test of the baseline recipe does: write a resampled copy of each clip, log-mel, scaling, network."""
    for clip in clips:
        extraction.baseline([clip], work)
        network(scale(torch.from_numpy(np.load(work / "row.npy"))[None], (-1.0, 1.0)))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--hours", type=float, default=3.0, help="length of the long file (3)")
    parser.add_argument("--clips", type=int, default=360, help="number of clips of 10 s in the folder (360)")
    parser.add_argument("--rate", type=int, default=44100, help="sample rate of all recordings in Hz (44100)")
    parser.add_argument("--checkpoint", type=Path)
    options = parser.parse_args()
    print(f"{processor()}, {os.cpu_count()} cores, torch {torch.__version__}; {options.rate} Hz, 16 bit, mono")
    print(f"{'':<24}{'audio':>9}{'wall':>9}{'real time':>11}{'CPU':>9}{'first result':>14}{'peak memory':>13}")
    with tempfile.TemporaryDirectory() as name:
        root = Path(name)
        checkpoint = options.checkpoint or random_checkpoint(root / "random.ckpt")
        tasks = {"one 10-s clip": (1, 10.0)}
        if options.clips:
            tasks[f"{options.clips} clips of 10 s"] = (options.clips, 10.0)
        if options.hours:
            tasks[f"one file of {options.hours:g} h"] = (1, 3600 * options.hours)
        for number, (title, (files, seconds)) in enumerate(tasks.items()):
            folder = root / f"audio{number}"
            folder.mkdir()
            write_noise(folder / "0.wav", seconds, options.rate)
            for copy in range(1, files):
                (folder / f"{copy}.wav").write_bytes((folder / "0.wav").read_bytes())
            found = measure(checkpoint, folder, root / f"out{number}")
            audio = files * seconds
            print(
                f"{title:<24}{audio:7.0f} s{found.seconds:7.1f} s{audio / found.seconds:9.0f} x{found.cpu:7.1f} s"
                f"{found.first:12.1f} s{found.megabytes:10.0f} MB",
                flush=True,
            )


if __name__ == "__main__":
    main()
