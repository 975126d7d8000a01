"""Benchmark how the time per clip and the memory of each step of data preparation change as corpora grow.

    python -m tests.benchmarks.growth [--items metadata,check,features_short,features,reading] [--most 1000000]
                                      [--folder DIR] [--out growth.json]

The metadata is generated; the audio is a few hundred files, hard-linked under as many names as there are clips. Each
row comes from a separate process: wall-clock seconds, processor time over all processes (which other work on the
machine hardly changes), and the peak of its anonymous memory (pages mapped from files are not counted, because the
system can reclaim them). 30,000 clips of 10 s need 5 GB of disk.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from recipe_mtlvae.conf import Conf, load_conf
from tests.benchmarks.timing import Goal, Line

SIZES = (1_000, 10_000, 30_000, 100_000, 1_000_000)
SOURCES = 400  # files that the clips are hard links to: ext4 allows 65,000 links to a file
SPLIT = "synthetic_train"


@dataclass(frozen=True)
class Item:
    """A step of data preparation that touches every clip."""

    name: str
    run: Callable[[Conf, Path, int], Callable[[], int]]  # sets up; returns what is measured, which counts clips
    clip_seconds: float
    most: int


def metadata(conf: Conf, root: Path, clips: int) -> Callable[[], int]:
    """Read a strong TSV and list the clips that exist on disk."""
    from recipe_mtlvae.corpus.splits import Corpus

    return lambda: len(Corpus(conf, root).files(SPLIT).clips)


def check(conf: Conf, root: Path, clips: int) -> Callable[[], int]:
    """Check every recording for the first time."""
    from recipe_mtlvae.corpus.check import check_corpus
    from recipe_mtlvae.corpus.splits import Corpus

    shutil.rmtree(root / ".checked", ignore_errors=True)

    def run() -> int:
        corpus = Corpus(conf, root)
        return check_corpus(corpus, [corpus.files(SPLIT)]).splits[0].usable

    return run


def recheck(conf: Conf, root: Path, clips: int) -> Callable[[], int]:
    """Check the corpus a second time, which reads no recording again."""
    checked = check(conf, root, clips)
    checked()
    from recipe_mtlvae.corpus.check import check_corpus
    from recipe_mtlvae.corpus.splits import Corpus

    corpus = Corpus(conf, root)
    files = [corpus.files(SPLIT)]
    return lambda: check_corpus(corpus, files).splits[0].usable


def features(conf: Conf, root: Path, clips: int) -> Callable[[], int]:
    """Build the feature store."""
    from recipe_mtlvae.corpus.splits import Corpus
    from recipe_mtlvae.inputs.log_mel import LogMelInput
    from recipe_mtlvae.inputs.prepared import store_folder
    from recipe_mtlvae.inputs.store import StoreJob, build_stores

    listed = Corpus(conf, root).files(SPLIT).clips
    folder = store_folder(LogMelInput(conf), root, SPLIT)
    shutil.rmtree(folder, ignore_errors=True)
    return lambda: build_stores([StoreJob(listed, folder)], LogMelInput(conf))[0].clips


def again(conf: Conf, root: Path, clips: int) -> Callable[[], int]:
    """Verify that a finished store is up to date."""
    from recipe_mtlvae.corpus.splits import Corpus
    from recipe_mtlvae.inputs.log_mel import LogMelInput
    from recipe_mtlvae.inputs.prepared import store_folder
    from recipe_mtlvae.inputs.store import StoreJob, build_stores

    listed = Corpus(conf, root).files(SPLIT).clips
    folder = store_folder(LogMelInput(conf), root, SPLIT)
    return lambda: build_stores([StoreJob(listed, folder)], LogMelInput(conf))[0].clips


def reading(conf: Conf, root: Path, clips: int) -> Callable[[], int]:
    """Draw 200 batches of 32 clips from a store that was just built, as training does."""
    from recipe_mtlvae.inputs.batches import MultiTaskSampler
    from recipe_mtlvae.inputs.log_mel import LogMelInput
    from recipe_mtlvae.inputs.prepared import store_folder
    from recipe_mtlvae.inputs.store import Store

    def read() -> int:
        store = Store.open(store_folder(LogMelInput(conf), root, SPLIT))
        sampler = MultiTaskSampler({SPLIT: clips}, {SPLIT: 32}, seed=1, epoch_steps=200)
        return sum(len(store.read(batch[SPLIT])) for batch in sampler)

    return read


ITEMS = {
    item.name: item
    for item in (
        Item("metadata", metadata, 0.1, 1_000_000),
        Item("check", check, 0.1, 1_000_000),
        Item("recheck", recheck, 0.1, 1_000_000),
        Item("features_short", features, 0.1, 1_000_000),
        Item("again_short", again, 0.1, 1_000_000),
        Item("reading_short", reading, 0.1, 1_000_000),
        Item("features", features, 10.0, 30_000),
        Item("again", again, 10.0, 30_000),
        Item("reading", reading, 10.0, 30_000),
    )
}


def make_corpus(conf: Conf, root: Path, clips: int) -> None:
    """Make one strong split: a TSV with two events per clip, and hard links to SOURCES recordings of noise."""
    import soundfile

    split = conf.data.splits[SPLIT]
    sources, audio = root / "sources", root / split.audio
    rate, seconds = conf.features.sample_rate, conf.data.clip_seconds
    sources.mkdir(parents=True)
    audio.mkdir(parents=True)
    for number in range(SOURCES):
        noise = 0.1 * np.random.default_rng(number).standard_normal(round(seconds * rate))
        soundfile.write(sources / f"{number}.wav", noise, rate)
    tsv = root / split.metadata
    tsv.parent.mkdir(parents=True)
    with tsv.open("w", encoding="utf-8") as file:
        file.write("filename\tonset\toffset\tevent_label\n")
        for number in range(clips):
            name = f"Y{number:011d}_30.000_40.000.wav"
            os.link(sources / f"{number % SOURCES}.wav", audio / name)
            for label in ("Speech", "Dog"):
                file.write(f"{name}\t{0.1 * seconds:.3f}\t{0.6 * seconds:.3f}\t{label}\n")


def conf_of(clip_seconds: float) -> Conf:
    splits = [f"data.splits.{name}=null" for name in load_conf().data.splits if name != SPLIT]
    settings = [f"data.clip_seconds={clip_seconds}", "data.classes=[Dog, Speech]", "data.prepare=none"]
    return load_conf(settings=[*settings, *splits])


def measure(item: Item, root: Path, clips: int) -> dict[str, float | int | str]:
    """Measure one item; runs in the process that was started for it."""
    work = item.run(conf_of(item.clip_seconds), root, clips)
    peak, stop = [_own_memory()], threading.Event()

    def watch() -> None:
        while not stop.wait(0.02):
            peak[0] = max(peak[0], _own_memory())

    watcher = threading.Thread(target=watch, daemon=True)
    watcher.start()
    started, before = time.perf_counter(), _cpu_seconds()
    done = work()
    seconds, cpu = time.perf_counter() - started, _cpu_seconds() - before
    stop.set()
    watcher.join()
    if done != (6400 if item.run is reading else clips):
        raise SystemExit(f"{item.name}: {done} clips")
    worker = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024
    return {
        "item": item.name,
        "clips": clips,
        "seconds": round(seconds, 2),
        "cpu_us_per_clip": round(1e6 * cpu / done, 1),
        "megabytes": round(max(peak[0], _own_memory()) / 1e6),
        "largest_worker_megabytes": round(worker),
    }


def _cpu_seconds() -> float:
    """The processor time of this process and of its children that have ended."""
    usages = (resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return sum(usage.ru_utime + usage.ru_stime for usage in usages)


def _own_memory() -> int:
    """The resident anonymous memory in bytes, without pages mapped from files."""
    status = Path("/proc/self/status").read_text(encoding="ascii")
    return 1024 * int(status.partition("RssAnon:")[2].split()[0])


def lines(quick: bool) -> Iterable[Line]:
    """Yield lines with the processor time per clip of a large corpus against a small one; the note gives the memory."""
    few, most, names = (
        (300, 3_000, ("features_short", "reading_short")) if quick else (300, 30_000, ("features", "reading"))
    )
    rows: dict[str, list[dict]] = {name: [] for name in names}
    for clips in (few, most):
        with tempfile.TemporaryDirectory(prefix="growth-") as folder:
            make_corpus(conf_of(ITEMS[names[0]].clip_seconds), Path(folder), clips)
            for name in names:
                rows[name].append(_figure(ITEMS[name], folder, clips))
    for name, (small, large) in rows.items():
        yield Line(
            f"{name}, processor time per clip of {most:,}",
            "us",
            (large["cpu_us_per_clip"],),
            bound=(small["cpu_us_per_clip"],),
            bound_name=f"of {few}",
            goals=(Goal("share", 0.9),),
            less_is_better=True,
            note=f"memory {small['megabytes']} MB with {few} clips, {large['megabytes']} MB with {most:,}",
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--items", default=",".join(ITEMS))
    parser.add_argument("--least", type=int, default=SIZES[0])
    parser.add_argument("--most", type=int, default=SIZES[-1])
    parser.add_argument("--folder", type=Path, help="where the corpora are made, one at a time, and then deleted")
    parser.add_argument("--out", type=Path)
    parser.add_argument("--one", nargs=3, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.one:
        name, root, clips = options.one
        print(json.dumps(measure(ITEMS[name], Path(root), int(clips))))
        return
    rows: list[dict] = []
    wanted = [ITEMS[name] for name in options.items.split(",")]
    for clip_seconds in sorted({item.clip_seconds for item in wanted}):
        items = [item for item in wanted if item.clip_seconds == clip_seconds]
        for clips in (size for size in SIZES if options.least <= size <= options.most):
            due = [item for item in items if clips <= item.most]
            if not due:
                continue
            with tempfile.TemporaryDirectory(dir=options.folder, prefix="growth-") as folder:
                make_corpus(conf_of(clip_seconds), Path(folder), clips)
                for item in due:
                    rows.append(_figure(item, folder, clips) | {"clip_seconds": clip_seconds})
                    print(_line(rows[-1]), flush=True)
                    if options.out:
                        options.out.write_text(json.dumps(rows, indent=2) + "\n", encoding="utf-8")


def _figure(item: Item, folder: str, clips: int) -> dict:
    command = [sys.executable, "-m", "tests.benchmarks.growth", "--one", item.name, folder, str(clips)]
    result = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    return json.loads(result.stdout.splitlines()[-1])


def _line(row: dict) -> str:
    return (
        f"| {row['item']} | {row['clip_seconds']:g} s | {row['clips']:,} | {row['seconds']:,.1f} s "
        f"| {row['cpu_us_per_clip']:,.0f} us | {row['megabytes']:,} MB | {row['largest_worker_megabytes']:,} MB |"
    )


if __name__ == "__main__":
    print(
        "| item | clip | clips | time | CPU a clip | memory | largest worker |\n|---|---|---|---|---|---|---|",
        flush=True,
    )
    main()
