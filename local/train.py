"""Stage 1: train the configured system on the prepared splits; resumes by itself."""

from __future__ import annotations

import importlib
import json
import resource
import sys
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import Callback, ModelCheckpoint, TQDMProgressBar
from pytorch_lightning.loggers import TensorBoardLogger
from pytorch_lightning.utilities.exceptions import MisconfigurationException

from local.callbacks import CollapseWarning, EndProcesses, History, Patience, Selection, read_history
from local.schedule import moving_average, plan_of
from local.stage import Stage, open_stage, trained_on
from local.tune import GRID, tune_checkpoint
from recipe_mtlvae.conf import Conf
from recipe_mtlvae.conf_sections import TrainConf
from recipe_mtlvae.corpus.splits import Corpus, of_role
from recipe_mtlvae.errors import exit_code_of, fail
from recipe_mtlvae.files import content_hash, write_json
from recipe_mtlvae.inputs.batches import (
    TaskData,
    evaluation_batches,
    hold_out,
    joined,
    train_loader,
)
from recipe_mtlvae.inputs.prepared import open_split
from recipe_mtlvae.inputs.registry import inputs_of
from recipe_mtlvae.labels import Grid
from recipe_mtlvae.machine import cores
from recipe_mtlvae.scoring.energy import measured
from recipe_mtlvae.systems import SYSTEMS
from recipe_mtlvae.tasks import TASKS


class Data(pl.LightningDataModule):
    """The sets that training and model selection use, each process's own share of them."""

    def __init__(self, corpus: Corpus) -> None:
        super().__init__()
        self.conf = conf = corpus.conf
        self.classes = corpus.classes
        self.splits = {name: open_split(corpus, name) for name in learned_splits(conf)}
        weak = splits_of_task(conf, "weak")  # of which some are held out, whether or not that task is active
        rows = hold_out([len(self.splits[name].clips) for name in weak], conf.data.weak_held_out, conf.seed)
        kept = {name: own for name, (own, _) in zip(weak, rows, strict=True)}
        held = [self._set(name, own) for name, (_, own) in zip(weak, rows, strict=True)]
        tasks = {task: joined([self._set(n, kept.get(n)) for n in splits_of_task(conf, task)]) for task in conf.tasks}
        self.plan = system_of(conf).batch_plan(conf, tasks)
        select = {name: conf.data.splits[name].labels for name in of_role(conf.data.splits, "select")}
        self.strong_selection = [self._set(name) for name, labels in select.items() if labels == "strong"]
        self.weak_selection = joined([*held, *(self._set(name) for name, labels in select.items() if labels == "weak")])

    def _set(self, name: str, rows: Sequence[int] | None = None) -> TaskData:
        """The clips of a split, or these rows of them."""
        return TaskData(self.splits[name], Grid.of(self.conf.features, self.conf.data.clip_seconds), self.classes, rows)

    @property
    def epoch_steps(self) -> int:
        return len(train_loader(self.plan, self.conf.seed, self.conf.train.epoch_steps).sampler)

    def train_dataloader(self) -> torch.utils.data.DataLoader:
        share = (self.trainer.global_rank, self.trainer.world_size)
        return train_loader(self.plan, self.conf.seed, self.conf.train.epoch_steps, *share)

    def val_dataloader(self) -> list[torch.utils.data.DataLoader]:
        share = (self.conf.train.batch_size, self.trainer.global_rank, self.trainer.world_size)
        loaders = [evaluation_batches(data, "strong", *share) for data in self.strong_selection]
        if self.weak_selection is not None:
            loaders.append(evaluation_batches(self.weak_selection, "weak", *share))
        return loaders


def main() -> None:
    stage = open_stage(1, __doc__)
    _require_splits(stage.conf)
    data = Data(stage.corpus)
    inputs = training_inputs(data)
    if stage.done(inputs) and (stage.run_dir / "best.ckpt").exists():
        print(f"stage 1: {stage.run_dir} is trained already")
        return
    with stage.begun():
        _refuse_other_data(stage, inputs["clips"])
        if train(stage, data):
            stage.mark_done(inputs)


def training_inputs(data: Data) -> dict:
    """What best.ckpt depends on: the configuration, the clips with their labels, what is tuned at the end."""
    splits = data.splits.values()
    clips = [(clip.name, clip.events, sorted(clip.labels or ())) for split in splits for clip in split.clips]
    seconds = [split.durations for split in splits]
    fixed = [data.conf.postprocess.threshold, data.conf.postprocess.median_filter]
    stores = {name: source.key for name, source in inputs_of(data.conf).items()}
    known = {"inputs": stores, "clips": content_hash(str(clips), seconds), "tuning": [GRID, fixed]}
    return trained_on(data.conf) | known


def splits_of_task(conf: Conf, task: str) -> list[str]:
    """The splits that train a task, in the order of the YAML."""
    return [name for name in of_role(conf.data.splits, "train") if conf.data.splits[name].task == task]


def learned_splits(conf: Conf) -> list[str]:
    """The splits that training opens: those of every task, active or not, then those to select by."""
    return [*(name for task in TASKS for name in splits_of_task(conf, task)), *of_role(conf.data.splits, "select")]


def _require_splits(conf: Conf) -> None:
    """Own data may have fewer splits than DESED; what is trained needs its own, and one to select by."""
    for task in conf.tasks:
        if not splits_of_task(conf, task):
            hint = f"leave it out of tasks, or give a split role: train, task: {task}"
            raise fail(f"task '{task}' has no split to learn from", hint)
    if not any(conf.data.splits[name].labels == "strong" for name in of_role(conf.data.splits, "select")):
        hint = "give one role: select in data.splits: the epoch with its best F1 is kept"
        raise fail("there is no strongly labelled split to select by", hint)


def _refuse_other_data(stage: Stage, clips: str) -> None:
    """A half-trained run goes on only with the clips and labels that it began with."""
    file = stage.run_dir / "stages" / "training_data.json"
    if file.exists() and json.loads(file.read_text(encoding="utf-8")) != clips:
        raise fail(
            "clips or labels have changed since this run's training began", "give --tag another name", stage.root
        )
    write_json(file, clips)


def _refuse_fewer_epochs(stage: Stage) -> None:
    trained, asked = len(read_history(stage.run_dir / "history.csv")), stage.conf.train.max_epochs
    if trained > asked:
        what = f"train.max_epochs: this run has trained {trained} epochs already, {asked} are asked for"
        raise fail(what, f"set {trained} or more, or give --tag another name", stage.run_dir)


def train(stage: Stage, data: Data | None = None) -> bool:
    """Train, from the last checkpoint where there is one; leaves best.ckpt, tuned, and history.csv in the run.

    data: the stage's, where it is opened already. Of several processes, the first one finishes the work: true there.
    """
    _refuse_fewer_epochs(stage)
    conf, run_dir = stage.conf, stage.run_dir
    processes = processes_of(conf.train)
    _require_whole_batches(conf, processes)
    if processes.threads is not None:
        torch.set_num_threads(processes.threads)
    torch.set_float32_matmul_precision("high")  # TF32 on a GPU that has it; without effect on a CPU
    _quiet()
    pl.seed_everything(conf.seed, verbose=False)
    data = data or Data(stage.corpus)
    module = system_of(conf)(conf, data.classes)
    module.plan = plan_of(run_dir / "stages" / "training_plan.json", conf.train, data.epoch_steps)
    trainer = _trainer(conf, run_dir, data, processes)
    # On SIGTERM, Lightning waits for processes that wait for this one; ours alone is to answer (interrupts.py)
    trainer._signal_connector._sigterm_notifier_fn = lambda *_: None
    last = run_dir / "checkpoints" / "last.ckpt"
    with measured(run_dir / "energy.json", "training", conf.energy):
        trainer.fit(module, datamodule=data, ckpt_path=last if last.exists() else None, weights_only=True)
    if trainer.is_global_zero:
        _note_memory(run_dir / "training.json", trainer.world_size)
        tune_checkpoint(run_dir / "best.ckpt", data.strong_selection, data.weak_selection, conf.postprocess)
    return trainer.is_global_zero


def _trainer(conf: Conf, run_dir: Path, data: Data, processes: Processes) -> pl.Trainer:
    """Raises RecipeError where Lightning refuses a setting of the configuration's `train`."""
    callbacks, logger = _callbacks(conf, run_dir, data), _logger(run_dir)
    try:
        return pl.Trainer(
            accelerator=conf.train.accelerator,
            devices=processes.devices,
            num_nodes=conf.train.num_nodes,
            strategy=processes.strategy,
            precision=conf.train.precision,
            max_epochs=conf.train.max_epochs,
            gradient_clip_val=conf.train.gradient_clip or None,
            callbacks=callbacks,
            logger=logger,
            sync_batchnorm=processes.devices * conf.train.num_nodes > 1 and not on_cpu(conf.train),
            use_distributed_sampler=False,  # the sampler shares each task's clips itself
            num_sanity_val_steps=0,
            enable_model_summary=False,
            log_every_n_steps=1,  # figures are means over an epoch; also silences a warning about short ones
            default_root_dir=run_dir,
        )
    except (ValueError, MisconfigurationException) as error:
        raise fail(f"train.accelerator, devices, strategy or precision: {' '.join(str(error).split())}") from None


def _note_memory(file: Path, processes: int) -> None:
    """The peak of this process, times the processes, which are alike; a GPU's own memory is not in it."""
    unit = 1 if sys.platform == "darwin" else 1024  # of ru_maxrss
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit * processes
    write_json(file, {"processes": processes, "peak_memory_bytes": peak})


@dataclass(frozen=True)
class Processes:
    """How training is spread over one node."""

    devices: int
    strategy: str
    threads: int | None  # a process; None: torch's choice


def processes_of(train: TrainConf) -> Processes:
    """As configured. Where that is left open, a CPU of several cores gets two processes of one thread each.

    On an idle machine two threads that spin are as fast, but beside any other work they stop each other.
    """
    if train.devices is None and train.strategy == "auto" and on_cpu(train) and cores() > 1:
        return Processes(2, "ddp", train.threads or 1)
    return Processes(train.devices or 1, train.strategy, train.threads)


def on_cpu(train: TrainConf) -> bool:
    return train.accelerator == "cpu" or (train.accelerator == "auto" and not torch.accelerator.is_available())


def _require_whole_batches(conf: Conf, processes: Processes) -> None:
    """What the network learns is not to depend on the number of processes, which batch norm's statistics would do."""
    if conf.system != "mtlvae" or conf.vae.front_end == "stack" or processes.devices * conf.train.num_nodes == 1:
        return
    if on_cpu(conf.train):
        what = f"train.devices: expected 1 on a CPU with vae.front_end {conf.vae.front_end}, got {processes.devices}"
        raise fail(f"{what}: its batch norm sees the clips of one process only", "set train.devices=1")


def system_of(conf: Conf) -> type[pl.LightningModule]:
    """The LightningModule of conf.system."""
    return getattr(importlib.import_module(f"local.{conf.system}"), SYSTEMS[conf.system].training)


def _callbacks(conf: Conf, run_dir: Path, data: Data) -> list[Callback]:
    on_terminal = sys.stderr.isatty()
    once_an_epoch = {"save_on_train_epoch_end": True, "enable_version_counter": False}
    callbacks = [
        Selection(data.strong_selection, data.weak_selection, conf.postprocess),
        EndProcesses(),
        CollapseWarning(),
        History(run_dir / "history.csv", sum(data.plan.clips.values()), show=not on_terminal),
        ModelCheckpoint(run_dir, "best", monitor="val/selection", mode="max", save_weights_only=True, **once_an_epoch),
        ModelCheckpoint(run_dir / "checkpoints", "last", **once_an_epoch),
    ]
    if conf.train.weight_average:
        callbacks.append(moving_average(conf.train.weight_average))
    if conf.train.patience is not None:
        callbacks.append(Patience(conf.train.patience))
    return [*callbacks, TQDMProgressBar(refresh_rate=5 if on_terminal else 0)]


def _logger(run_dir: Path) -> TensorBoardLogger | bool:
    """TensorBoard where it is installed; history.csv is written in any case."""
    try:
        return TensorBoardLogger(run_dir, name="", version="tensorboard", default_hp_metric=False)
    except ModuleNotFoundError:
        return False


def _quiet() -> None:
    """Leave out what a user of the recipe can do nothing about."""
    import logging

    for name in ("pytorch_lightning", "lightning_fabric", "lightning.fabric"):
        logging.getLogger(name).setLevel(logging.WARNING)
    for message in (".*does not have many workers.*", ".*Checkpoint directory.*", ".*LeafSpec.*", ".*GPU available.*"):
        warnings.filterwarnings("ignore", message)


if __name__ == "__main__":
    sys.exit(exit_code_of(main))
