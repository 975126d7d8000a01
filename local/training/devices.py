"""How training is spread over processes and devices."""

from __future__ import annotations

from dataclasses import dataclass

import pytorch_lightning as pl
import torch

from recipe_mtlvae.conf import Conf
from recipe_mtlvae.conf_sections import TrainConf
from recipe_mtlvae.errors import fail
from recipe_mtlvae.machine import cores


@dataclass(frozen=True)
class Processes:
    """How training is spread."""

    devices: int  # processes a node
    strategy: str
    threads: int | None  # a process; None: torch's choice
    nodes: int = 1

    @property
    def all(self) -> int:
        return self.devices * self.nodes


def processes_of(train: TrainConf) -> Processes:
    """As configured. Where that is left open, a CPU of several cores gets two processes of one thread each.

    On an idle machine two threads that spin are as fast, but beside any other work they stop each other.
    """
    if train.devices is None and train.strategy == "auto" and on_cpu(train) and cores() > 1:
        return Processes(2, "ddp", train.threads or 1, train.num_nodes)
    return Processes(train.devices or 1, train.strategy, train.threads, train.num_nodes)


def on_cpu(train: TrainConf) -> bool:
    return train.accelerator == "cpu" or (train.accelerator == "auto" and not torch.accelerator.is_available())


def require_whole_batches(conf: Conf, processes: Processes) -> None:
    """What the network learns is not to depend on the number of processes, which batch norm's statistics would do."""
    if conf.system != "mtlvae" or conf.vae.front_end == "stack" or processes.all == 1:
        return
    if on_cpu(conf.train):
        what = f"train.devices: expected 1 on a CPU with vae.front_end {conf.vae.front_end}, got {processes.devices}"
        raise fail(f"{what}: its batch norm sees the clips of one process only", "set train.devices=1")


def require_devices(train: TrainConf, processes: Processes) -> None:
    """Lightning refuses GPUs that are not there, but starts any number of processes on a CPU."""
    if on_cpu(train) and processes.devices > max(2, cores()):
        what = f"train.devices: expected processes for at most {cores()} CPU cores, got {processes.devices}"
        raise fail(what, "set train.devices=null for as many as are of use")


class EndProcesses(pl.Callback):
    """Where training ends before its time, the processes beside this one end at once.

    They may wait for this one, and it for them.
    """

    def on_exception(self, trainer: pl.Trainer, module: pl.LightningModule, exception: BaseException) -> None:
        processes = getattr(trainer.strategy.launcher, "procs", [])
        ended, processes[:] = processes[:], []  # else Lightning's observer, which has the same list, kills this one
        for process in ended:
            process.kill()
            process.wait()
