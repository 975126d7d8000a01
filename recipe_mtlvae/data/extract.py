"""Audio to part files of the feature store, on all cores."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from tqdm import tqdm

from recipe_mtlvae.conf import FeatureConf
from recipe_mtlvae.data.audio import read_audio
from recipe_mtlvae.data.features import LogMel
from recipe_mtlvae.data.store import PartTask, Row, feature_shape, part_path, write_rows
from recipe_mtlvae.errors import Fault, RecipeError, fail
from recipe_mtlvae.files import whole_file

BATCH = 8  # clips to one call of LogMel
FEW = 64  # clips that are done sooner than a pool of processes starts


@dataclass(frozen=True)
class PartResult:
    """A part that is on disk now, without the clips that could not be read."""

    folder: Path
    faults: list[Fault]


def extract_parts(
    tasks: Sequence[PartTask], features: FeatureConf, clip_seconds: float, workers: int | None = None
) -> Iterator[PartResult]:
    """Do all tasks, in no order, with a progress bar that counts clips."""
    clips = sum(len(task.clips) for task in tasks)
    workers = min(workers or len(os.sched_getaffinity(0)), len(tasks))
    with tqdm(total=clips, desc="features", unit=" clips", mininterval=0.5) as bar:
        if workers == 1 or clips <= FEW:
            log_mel = LogMel(features)
            for task in tasks:
                yield _extract(task, log_mel, clip_seconds, bar.update)
        else:
            yield from _in_pool(tasks, features, clip_seconds, workers, bar)


def _in_pool(
    tasks: Sequence[PartTask], features: FeatureConf, clip_seconds: float, workers: int, bar: tqdm
) -> Iterator[PartResult]:
    context = multiprocessing.get_context("spawn")  # fork after torch's threads have started can hang
    done, stop = context.Value("q", 0), context.Event()
    shared = (features, clip_seconds, done, stop)
    pool = ProcessPoolExecutor(workers, mp_context=context, initializer=_start_worker, initargs=shared)
    waiting = iter(tasks)
    running: set[Future[PartResult]] = set()
    try:
        while True:
            for task in waiting:
                running.add(pool.submit(_work, task))
                if len(running) >= 2 * workers:
                    break
            if not running:
                break
            finished, running = wait(running, timeout=0.5, return_when=FIRST_COMPLETED)
            bar.update(done.value - bar.n)
            for future in finished:
                yield future.result()
    except BrokenProcessPool:
        raise fail("a feature process was killed, out of memory perhaps", "run the same command again") from None
    finally:
        stop.set()
        pool.shutdown(cancel_futures=True)
    bar.update(done.value - bar.n)


_worker: dict[str, Any] = {}


def _start_worker(features: FeatureConf, clip_seconds: float, done: Any, stop: Any) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent stops its workers
    threading.Thread(target=_die_with_parent, daemon=True).start()
    torch.set_num_threads(1)
    _worker.update(log_mel=LogMel(features), clip_seconds=clip_seconds, done=done, stop=stop)


def _die_with_parent() -> None:
    """A worker of a killed run must not stay."""
    multiprocessing.parent_process().join()
    os._exit(1)


def _work(task: PartTask) -> PartResult:
    def count(clips: int) -> None:
        if _worker["stop"].is_set():
            raise InterruptedError("stopped")
        with _worker["done"].get_lock():
            _worker["done"].value += clips

    return _extract(task, _worker["log_mel"], _worker["clip_seconds"], count)


@torch.inference_mode()
def _extract(task: PartTask, log_mel: LogMel, clip_seconds: float, count: Callable[[int], Any]) -> PartResult:
    """Read, transform and write one part; count is called with the number of clips done."""
    rows: list[Row] = []
    part = np.empty((len(task.clips), *feature_shape(log_mel.conf, clip_seconds)), dtype=np.float16)
    faults: list[Fault] = []
    for start in range(0, len(task.clips), BATCH):
        batch = task.clips[start : start + BATCH]
        samples = []
        for clip in batch:
            try:
                stat = clip.path.stat()
                audio = read_audio(clip.path, log_mel.conf.sample_rate, clip_seconds)
            except RecipeError as error:
                faults += error.faults
                continue
            rows.append(Row(clip.name, stat.st_size, stat.st_mtime_ns, audio.duration, audio.warnings))
            samples.append(audio.samples)
        if samples:
            part[len(rows) - len(samples) : len(rows)] = log_mel(torch.from_numpy(np.stack(samples))).numpy()
        count(len(batch))
    if rows:
        _write_part(part_path(task.folder, task.number), part[: len(rows)])
        write_rows(task.folder, task.number, rows)
    return PartResult(task.folder, faults)


def _write_part(path: Path, array: np.ndarray) -> None:
    """As np.save, but a full disk is an OSError that tells its reason and the file."""
    try:
        with whole_file(path) as temporary, temporary.open("wb") as file:
            np.lib.format.write_array_header_1_0(file, np.lib.format.header_data_from_array_1_0(array))
            file.write(memoryview(array).cast("B"))
    except OSError as error:
        raise OSError(error.errno, error.strerror, str(path)) from None
