"""Stage 1: train the configured system on the prepared splits; resumes by itself."""

from __future__ import annotations

import importlib
import resource
import sys
import warnings
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import Callback, TQDMProgressBar
from pytorch_lightning.loggers import TensorBoardLogger
from pytorch_lightning.utilities.exceptions import MisconfigurationException

from local.stage import Stage, open_stage, trained_on
from local.training.callbacks import CollapseWarning, EndProcesses, Selection
from local.training.checkpoints import BEST, Checkpoints, Trained, WholeFiles, is_whole, restore, say, trained
from local.training.devices import Processes, on_cpu, processes_of, require_devices, require_whole_batches
from local.training.finite import Finite
from local.training.history import History, Patience, has_levelled_off
from local.training.schedule import moving_average, plan_of
from local.training.tune import GRID, tune_checkpoint
from recipe_mtlvae.conf import Conf
from recipe_mtlvae.corpus.splits import Corpus, of_role
from recipe_mtlvae.errors import exit_code_of, fail
from recipe_mtlvae.files import content_hash, read_json, write_json
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
from recipe_mtlvae.machine import is_rank_zero
from recipe_mtlvae.scoring.box_tuning import MEDIAN_SECONDS
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

    def epoch_steps(self, processes: int) -> int:
        """Raises RecipeError where the sets are smaller than a batch, or a batch than the processes."""
        return len(self._train_loader(0, processes).sampler)

    def train_dataloader(self) -> torch.utils.data.DataLoader:
        return self._train_loader(self.trainer.global_rank, self.trainer.world_size)

    def _train_loader(self, rank: int, world: int) -> torch.utils.data.DataLoader:
        return train_loader(self.plan, self.conf.seed, self.conf.train.epoch_steps, rank, world)

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
    so_far = trained(stage.run_dir)
    if stage.done(inputs) and is_whole(stage.run_dir, so_far):
        print(f"stage 1: {stage.run_dir} is trained already")
        return
    train(stage, data, inputs, so_far)


def training_inputs(data: Data) -> dict:
    """What best.ckpt depends on: the configuration, the clips with their labels, what is tuned at the end."""
    splits = data.splits.values()
    clips = [(clip.name, clip.events, sorted(clip.labels or ())) for split in splits for clip in split.clips]
    seconds = [split.durations for split in splits]
    fixed = [data.conf.postprocess.threshold, data.conf.postprocess.median_filter]
    stores = {name: source.key for name, source in inputs_of(data.conf).items()}
    if data.conf.postprocess.method != "median":
        fixed += [data.conf.postprocess.method, MEDIAN_SECONDS]
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


def _refuse_other_data(stage: Stage, clips: str, file: Path) -> None:
    """A half-trained run goes on only with the clips and labels that it began with."""
    before = read_json(file)
    if isinstance(before, str) and before != clips:
        raise fail(
            "clips or labels have changed since this run's training began", "give --tag another name", stage.root
        )
    if file.exists() and not isinstance(before, str):
        say(f"{file}: damaged; whether clips and labels are those that training began with is not known")


def _refuse_fewer_epochs(stage: Stage, so_far: Trained) -> None:
    asked = stage.conf.train.max_epochs
    if so_far.epochs > asked:
        what = f"train.max_epochs: this run has trained {so_far.epochs} epochs already, {asked} are asked for"
        raise fail(what, f"set {so_far.epochs} or more, or give --tag another name", stage.run_dir)


def train(stage: Stage, data: Data | None = None, inputs: dict | None = None, so_far: Trained | None = None) -> None:
    """Train, from the last checkpoint where there is one; leaves best.ckpt, tuned, and history.csv in the run.

    data, so_far: the stage's, where they are opened already. inputs: its training_inputs; with them the stage is marked
    as done.
    All that can be refused is refused before anything is written.
    """
    conf, run_dir = stage.conf, stage.run_dir
    so_far = so_far or trained(run_dir)
    _refuse_fewer_epochs(stage, so_far)
    clips, plan_file = (run_dir / "stages" / f"training_{name}.json" for name in ("data", "plan"))
    if inputs is not None:
        _refuse_other_data(stage, inputs["clips"], clips)
    processes = processes_of(conf.train)
    require_whole_batches(conf, processes)
    require_devices(conf.train, processes)
    if processes.threads is not None:
        torch.set_num_threads(processes.threads)
    torch.set_float32_matmul_precision("high")  # TF32 on a GPU that has it; without effect on a CPU
    _quiet()
    pl.seed_everything(conf.seed, verbose=False)
    data = data or Data(stage.corpus)
    module = system_of(conf)(conf, data.classes)
    trainer = _trainer(conf, run_dir, data, processes, so_far)
    module.plan = plan_of(plan_file, conf.train, data.epoch_steps(processes.all))
    # On SIGTERM, Lightning waits for processes that wait for this one; ours alone is to answer (interrupts.py)
    trainer._signal_connector._sigterm_notifier_fn = lambda *_: None
    patience = conf.train.patience
    ended = patience is not None and has_levelled_off(so_far.rows, patience, module.warm_up_steps)
    with stage.begun():
        if is_rank_zero():
            restore(run_dir, so_far)
            write_json(plan_file, asdict(module.plan))
            if inputs is not None:
                write_json(clips, inputs["clips"])
        if so_far.epochs < conf.train.max_epochs and not ended:
            with measured(run_dir / "energy.json", "training", conf.energy):
                trainer.fit(module, datamodule=data, ckpt_path=so_far.checkpoint, weights_only=True)
            if trainer.is_global_zero:
                _note_memory(run_dir / "training.json", trainer.world_size)
        if is_rank_zero():
            tune_checkpoint(run_dir / BEST, data.strong_selection, data.weak_selection, conf.postprocess)
            if inputs is not None:
                stage.mark_done(inputs)


def _trainer(conf: Conf, run_dir: Path, data: Data, processes: Processes, so_far: Trained) -> pl.Trainer:
    """Raises RecipeError where Lightning refuses a setting of the configuration's `train`."""
    callbacks, logger = _callbacks(conf, run_dir, data, so_far), _logger(run_dir)
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
            plugins=[WholeFiles()],
            logger=logger,
            sync_batchnorm=processes.all > 1 and not on_cpu(conf.train),
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


def system_of(conf: Conf) -> type[pl.LightningModule]:
    """The LightningModule of conf.system."""
    return getattr(importlib.import_module(f"local.training.{conf.system}"), SYSTEMS[conf.system].training)


def _callbacks(conf: Conf, run_dir: Path, data: Data, so_far: Trained) -> list[Callback]:
    on_terminal = sys.stderr.isatty()
    history = History(run_dir / "history.csv", so_far.rows, sum(data.plan.clips.values()), show=not on_terminal)
    callbacks = [
        Selection(data.strong_selection, data.weak_selection, conf.postprocess),
        EndProcesses(),
        CollapseWarning(),
        Finite(data.plan),
        history,
        Checkpoints(run_dir, history),
    ]
    if conf.train.weight_average:
        callbacks.append(moving_average(conf.train.weight_average))
    if conf.train.patience is not None:
        callbacks.append(Patience(conf.train.patience, history))
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
