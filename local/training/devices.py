"""How training is spread over processes and devices."""

from __future__ import annotations

from dataclasses import dataclass

import pytorch_lightning as pl
import torch
from torch import nn

from recipe_mtlvae.conf import Conf
from recipe_mtlvae.conf_sections import TrainConf
from recipe_mtlvae.errors import fail
from recipe_mtlvae.machine import cores
from recipe_mtlvae.nets.checkpoint import build_network


@dataclass(frozen=True)
class Processes:
    """The processes that train together."""

    devices: int  # processes per node
    strategy: str
    threads: int | None  # CPU threads per process; None: torch's choice
    nodes: int = 1

    @property
    def all(self) -> int:
        return self.devices * self.nodes


def processes_of(conf: Conf) -> Processes:
    """Return the processes as configured; by default, two of one thread each on a CPU with several cores.

    One process with two threads is as fast on an idle machine, but beside other work spinning threads block each other.
    A network with batch norm gets one process, because each process would normalize by its own half of the batch.
    """
    train = conf.train
    is_free = train.devices is None and train.strategy == "auto"
    if is_free and on_cpu(train) and cores() > 1 and not _has_batch_norm(conf):
        return Processes(2, "ddp", train.threads or 1, train.num_nodes)
    return Processes(train.devices or 1, train.strategy, train.threads, train.num_nodes)


def on_cpu(train: TrainConf) -> bool:
    return train.accelerator == "cpu" or (train.accelerator == "auto" and not torch.accelerator.is_available())


def require_whole_batches(conf: Conf, processes: Processes) -> None:
    """Raise RecipeError for several CPU processes and batch norm, which would see the clips of one process only."""
    if processes.all > 1 and on_cpu(conf.train) and _has_batch_norm(conf):
        what = f"train.devices: expected 1 process on a CPU for a network with batch norm, got {processes.all}"
        raise fail(f"{what}: it would see the clips of one process only", "set train.devices=1")


def _has_batch_norm(conf: Conf) -> bool:
    with torch.device("meta"):  # no memory, no random numbers
        network = build_network(conf, classes=1)
    return any(isinstance(layer, nn.BatchNorm2d) for layer in network.modules())


def require_devices(train: TrainConf, processes: Processes) -> None:
    """Raise RecipeError for more CPU processes than cores, although two are always allowed.

    Lightning itself refuses GPUs that are not there, but starts any number of processes on a CPU.
    """
    if on_cpu(train) and processes.devices > max(2, cores()):
        what = f"train.devices: expected processes for at most {cores()} CPU cores, got {processes.devices}"
        raise fail(what, "set train.devices=null, which chooses a number")


class EndProcesses(pl.Callback):
    """Kill the other processes of this node when training ends with an exception.

    Otherwise they and this process may wait for each other.
    """

    def on_exception(self, trainer: pl.Trainer, module: pl.LightningModule, exception: BaseException) -> None:
        processes = getattr(trainer.strategy.launcher, "procs", [])
        ended, processes[:] = processes[:], []  # else Lightning's observer, with the same list, kills this process
        for process in ended:
            process.kill()
            process.wait()
