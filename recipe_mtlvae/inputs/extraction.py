"""Compute the part files of a feature store from audio, on all cores."""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, wait
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn
from tqdm import tqdm

from recipe_mtlvae.audio.decoding import read_audio
from recipe_mtlvae.corpus.metadata import Clip
from recipe_mtlvae.errors import Fault, RecipeError, fail
from recipe_mtlvae.files import file_stamp
from recipe_mtlvae.inputs.registry import Input
from recipe_mtlvae.inputs.store_parts import Row, write_part
from recipe_mtlvae.machine import cores
from recipe_mtlvae.processes import held_back, start_processes
from recipe_mtlvae.progress_bar import progress_bar

BATCH_SAMPLES = 320_000  # per call of a transform: memory for larger spectra is allocated anew at each call
FEW = 200  # clips: this process computes so few of them before worker processes would have started


@dataclass(frozen=True)
class PartTask:
    """The clips of one new part."""

    folder: Path  # of the store; it has the name of the split
    number: int
    clips: tuple[Clip, ...]


@dataclass(frozen=True)
class PartResult:
    """The result of a task. Its part is on disk, without the clips that could not be read."""

    folder: Path
    number: int
    rows: list[Row]  # in the part's order
    bad: dict[str, Fault]  # by clip name


def extract_parts(tasks: Sequence[PartTask], source: Input, workers: int | None = None) -> Iterator[PartResult]:
    """Run all tasks and yield their results in any order. A progress bar counts the clips.

    workers: number of processes; None: one per core.
    """
    clips = sum(len(task.clips) for task in tasks)
    workers = min(workers or cores(), len(tasks))
    with progress_bar("features", clips) as bar:
        if workers == 1 or clips <= FEW:
            transform = source.transform() if source.from_audio else None
            for task in tasks:
                yield extract_part(task, source, transform, bar.update)
        else:
            yield from _in_processes(tasks, source, workers, bar)


def _in_processes(tasks: Sequence[PartTask], source: Input, workers: int, bar: tqdm) -> Iterator[PartResult]:
    context = multiprocessing.get_context("spawn")
    done, stop = context.Value("q", 0), context.Event()
    pool = start_processes(_set_up, source, done, stop, workers=workers)
    waiting = iter(tasks)
    running: set[Future[PartResult]] = set()
    try:
        while True:
            while len(running) < 2 * workers and (task := next(waiting, None)):
                with held_back():  # worker processes never see Ctrl-C: this process stops them
                    running.add(pool.submit(_work, task))
            if not running:
                break
            finished, running = wait(running, timeout=0.5, return_when=FIRST_COMPLETED)
            bar.update(done.value - bar.n)
            for future in finished:
                yield future.result()
    except BrokenProcessPool:
        raise fail("a process was killed while computing features", "is memory short? Run the same again") from None
    finally:
        stop.set()
        pool.shutdown(cancel_futures=True)


_worker: dict[str, Any] = {}  # state of a worker process, set once


def _set_up(source: Input, done: Any, stop: Any) -> None:
    torch.set_num_threads(1)
    transform = source.transform() if source.from_audio else None
    _worker.update(source=source, transform=transform, done=done, stop=stop)


def _work(task: PartTask) -> PartResult:
    def count(clips: int) -> None:
        if _worker["stop"].is_set():
            raise InterruptedError
        with _worker["done"].get_lock():
            _worker["done"].value += clips

    return extract_part(task, _worker["source"], _worker["transform"], count)


@torch.inference_mode()
def extract_part(task: PartTask, source: Input, transform: nn.Module | None, count: Callable[[int], Any]) -> PartResult:
    """Read the clips, compute their values and write one part. `count` is called with the clips done in each batch."""
    values = np.empty((len(task.clips), *source.shape), dtype=np.float16)
    sample_rate, clip_seconds = source.conf.features.sample_rate, source.conf.data.clip_seconds
    rows: list[Row] = []
    bad: dict[str, Fault] = {}
    step = max(1, BATCH_SAMPLES // source.clip_samples)
    for start in range(0, len(task.clips), step):
        batch = task.clips[start : start + step]
        samples, read = [], []
        for clip in batch:
            try:
                stamp = file_stamp(clip.path)  # taken before reading, so that a change meanwhile is noticed
                audio = read_audio(clip.path, sample_rate, clip_seconds, clip.start or 0.0)
            except RecipeError as error:
                bad[clip.name] = error.faults[0]
                continue
            duration = audio.duration if clip.start is None else min(audio.duration, clip_seconds)
            rows.append(Row(clip.name, *stamp, duration))
            samples.append(audio.samples)
            read.append(clip)
        if samples:
            computed = source.compute(transform, np.stack(samples), read, task.folder.name)
            # torch's conversion is 20 times as fast as numpy's
            values[len(rows) - len(samples) : len(rows)] = computed.half().numpy()
        count(len(batch))
    if rows:
        write_part(task.folder, task.number, values[: len(rows)], rows)
    return PartResult(task.folder, task.number, rows, bad)
