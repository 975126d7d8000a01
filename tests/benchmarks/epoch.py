"""Benchmark whole epochs of stage 1's trainer against the same training steps alone, on a batch already in memory.

The difference is what an epoch adds to its steps: loading, scaling, logging, validation, selection and checkpoints.
"""

from __future__ import annotations

import dataclasses
import tempfile
import time
from collections.abc import Callable, Iterable
from pathlib import Path

import numpy as np
import pytorch_lightning as pl
import torch

from local.training.base import training_of
from local.training.data import Data
from local.training.devices import Processes
from local.training.run_state import RunState
from local.training.schedule import plan_of
from local.training.trainer import make_trainer
from recipe_mtlvae.audio.decoding import read_audio
from recipe_mtlvae.conf import Conf
from recipe_mtlvae.corpus.splits import Corpus
from recipe_mtlvae.inputs.batches import Batch
from recipe_mtlvae.inputs.mel_transform import LogMel
from tests.benchmarks.corpus import corpus_conf, make_corpus
from tests.benchmarks.timing import Goal, Line
from tests.benchmarks.training import mean_teacher_step, mtlvae_step, random_batch

STEPS_ALONE = 5


def lines(quick: bool) -> Iterable[Line]:
    steps, rounds = 25, 1 if quick else 3
    conf = corpus_conf(f"train.max_epochs={rounds + 2}", f"train.epoch_steps={steps}", "train.devices=1")
    batch = random_batch(conf)
    with tempfile.TemporaryDirectory() as name:
        root, run_dir = Path(name) / "corpus", Path(name) / "run"
        make_corpus(root, conf)
        data = Data(Corpus(conf, root))
        module = training_of(conf)(conf, data.classes)
        module.plan = plan_of(conf.train, data.epoch_steps(1), None)
        trainer = make_trainer(data, run_dir, Processes(1, "auto", None), RunState(plan=module.plan))
        turns = Turns(mtlvae_step(conf, batch), baseline_step(conf, batch, root), rounds)
        trainer.callbacks.insert(0, turns)
        trainer.fit(module, datamodule=data)
    clips = len(batch)
    yield Line(
        f"epoch of {steps} steps with validation",
        "clips/s",
        ours=tuple(steps * clips / seconds for seconds in turns.epochs[1:]),
        baseline=tuple(clips / seconds for seconds in turns.baseline),
        bound=tuple(clips / seconds for seconds in turns.steps),
        bound_name="its steps alone",
        goals=(Goal("share", 1 / 1.15),),
        note="the baseline's way reads each clip's audio and takes its log-mel in every step; without its validation",
    )


class Turns(pl.Callback):
    """Measure the seconds of each epoch and, before each epoch, of one step alone and of one baseline step.

    The first epoch is a warm-up. One more epoch follows the last round, because an epoch is timed when the next starts.
    """

    def __init__(self, step: Callable[[], None], baseline: Callable[[], None], rounds: int) -> None:
        self.ways = (step, baseline)
        self.rounds = rounds
        self.epochs: list[float] = []
        self.steps: list[float] = []
        self.baseline: list[float] = []
        self.started: float | None = None

    def on_train_epoch_start(self, trainer: pl.Trainer, module: pl.LightningModule) -> None:
        if self.started is not None:
            self.epochs.append(time.perf_counter() - self.started)
        step, baseline = self.ways
        if 1 <= trainer.current_epoch <= self.rounds:
            self.steps.append(_seconds(step, STEPS_ALONE))
            self.baseline.append(_seconds(baseline, 1))
        self.started = time.perf_counter()


def _seconds(run: Callable[[], None], times: int) -> float:
    started = time.perf_counter()
    for _ in range(times):
        run()
    return (time.perf_counter() - started) / times


def baseline_step(conf: Conf, batch: Batch, root: Path) -> Callable[[], None]:
    """Return a function that reads the clips, computes their log-mel and takes a mean-teacher step."""
    files = sorted((root / conf.data.splits["synthetic_train"].audio).iterdir())[: len(batch)]
    log_mel = LogMel(conf.features)
    own = dataclasses.replace(batch)
    step = mean_teacher_step(own)

    def run() -> None:
        clips = [read_audio(file, conf.features.sample_rate, conf.data.clip_seconds).samples for file in files]
        with torch.no_grad():
            own.inputs = {"log_mel": log_mel(torch.from_numpy(np.stack(clips)))}
        step()

    return run
