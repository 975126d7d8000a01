"""The data that stage 1 trains on, selects its best epoch by, and tunes on."""

from __future__ import annotations

from collections.abc import Sequence

import pytorch_lightning as pl
import torch

from local.training.base import training_of
from recipe_mtlvae.conf import Conf
from recipe_mtlvae.corpus.cutting import recording_of
from recipe_mtlvae.corpus.splits import Corpus, of_role
from recipe_mtlvae.errors import fail
from recipe_mtlvae.inputs.batches import TaskData, evaluation_batches, hold_out, joined, train_loader
from recipe_mtlvae.inputs.prepared import open_split
from recipe_mtlvae.labels import Grid
from recipe_mtlvae.tasks import TASKS


class Data(pl.LightningDataModule):
    """The sets for training and selection, and each process's share of them.

    Raises RecipeError if the splits of the configuration lack what a task or the selection needs.
    """

    def __init__(self, corpus: Corpus) -> None:
        super().__init__()
        self.conf = conf = corpus.conf
        require_splits(conf)
        self.classes = corpus.classes
        self.splits = {name: open_split(corpus, name) for name in learned_splits(conf)}
        weak = splits_of_task(conf, "weak")  # some of their clips are held out, whether or not the weak task is active
        recordings = [[recording_of(clip.name) for clip in self.splits[name].clips] for name in weak]
        rows = hold_out(recordings, conf.data.weak_held_out, conf.seed)
        kept = {name: own for name, (own, _) in zip(weak, rows, strict=True)}
        held = [self._set(name, own) for name, (_, own) in zip(weak, rows, strict=True)]
        tasks = {task: joined([self._set(n, kept.get(n)) for n in splits_of_task(conf, task)]) for task in conf.tasks}
        self.plan = training_of(conf).batch_plan(conf, tasks)
        select = {name: conf.data.splits[name].labels for name in of_role(conf.data.splits, "select")}
        self.strong_selection = [self._set(name) for name, labels in select.items() if labels == "strong"]
        self.weak_selection = joined([*held, *(self._set(name) for name, labels in select.items() if labels == "weak")])

    def _set(self, name: str, rows: Sequence[int] | None = None) -> TaskData:
        """Return the set of a split: all of its clips, or only these rows."""
        return TaskData(self.splits[name], Grid.of(self.conf.features, self.conf.data.clip_seconds), self.classes, rows)

    def epoch_steps(self, processes: int) -> int:
        """Return the steps per epoch.

        Raises RecipeError if the sets are smaller than a batch, or a batch is smaller than the number of processes.
        """
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


def splits_of_task(conf: Conf, task: str) -> list[str]:
    """Return the splits that train a task, in the order of the YAML."""
    return [name for name in of_role(conf.data.splits, "train") if conf.data.splits[name].task == task]


def learned_splits(conf: Conf) -> list[str]:
    """Return the splits that training opens: those of every task, active or not, then the select splits."""
    return [*(name for task in TASKS for name in splits_of_task(conf, task)), *of_role(conf.data.splits, "select")]


def require_splits(conf: Conf) -> None:
    """Raise RecipeError if an active task has no split to train on, or there is no strong select split."""
    for task in conf.tasks:
        if not splits_of_task(conf, task):
            hint = f"leave it out of tasks, or give a split role: train, task: {task}"
            raise fail(f"task '{task}' has no split to learn from", hint)
    if not any(conf.data.splits[name].labels == "strong" for name in of_role(conf.data.splits, "select")):
        hint = "give one role: select in data.splits: the epoch with its best F1 is kept"
        raise fail("there is no strongly labelled split to select by", hint)
