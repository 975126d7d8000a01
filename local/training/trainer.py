"""Lightning's trainer for stage 1: its callbacks, its logger, and the messages of Lightning that are not shown."""

from __future__ import annotations

import logging
import sys
import warnings
from pathlib import Path

import pytorch_lightning as pl
from pytorch_lightning.callbacks import TQDMProgressBar
from pytorch_lightning.loggers import TensorBoardLogger
from pytorch_lightning.utilities.exceptions import MisconfigurationException

from local.training.data import Data
from local.training.devices import EndProcesses, Processes, on_cpu
from local.training.divergence import DivergenceWarnings, FiniteLoss
from local.training.run_state import RunFiles, RunState, WholeFiles
from local.training.schedule import moving_average
from local.training.selection import Selection
from recipe_mtlvae.errors import fail


def make_trainer(data: Data, run_dir: Path, processes: Processes, state: RunState) -> pl.Trainer:
    """Return the trainer. Raises RecipeError if Lightning refuses a setting of the configuration's `train`."""
    conf, train, on_terminal = data.conf, data.conf.train, sys.stderr.isatty()
    _quiet()
    callbacks = [
        Selection(data.strong_selection, data.weak_selection, conf.postprocess),
        EndProcesses(),
        DivergenceWarnings(state.rows),
        FiniteLoss(data.plan),
        *([moving_average(train.weight_average)] if train.weight_average else []),
        RunFiles(run_dir, state, sum(data.plan.clips.values()), train.patience, show=not on_terminal),
        TQDMProgressBar(refresh_rate=5 if on_terminal else 0),
    ]
    logger = _logger(run_dir)
    try:
        trainer = pl.Trainer(
            accelerator=train.accelerator,
            devices=processes.devices,
            num_nodes=train.num_nodes,
            strategy=processes.strategy,
            precision=train.precision,
            max_epochs=train.max_epochs,
            gradient_clip_val=train.gradient_clip or None,
            callbacks=callbacks,
            plugins=[WholeFiles()],
            logger=logger,
            sync_batchnorm=processes.all > 1 and not on_cpu(train),
            use_distributed_sampler=False,  # our own sampler divides each task's clips among the processes
            num_sanity_val_steps=0,
            enable_model_summary=False,
            log_every_n_steps=1,  # figures are means over an epoch; also silences a warning about short epochs
            default_root_dir=run_dir,
        )
    except (ValueError, MisconfigurationException) as error:
        raise fail(f"train.accelerator, devices, strategy or precision: {' '.join(str(error).split())}") from None
    # On SIGTERM, Lightning waits for processes that wait for this one; only our handler (interrupts.py) may react
    trainer._signal_connector._sigterm_notifier_fn = lambda *_: None
    return trainer


def _logger(run_dir: Path) -> TensorBoardLogger | bool:
    """Return a TensorBoard logger if it is installed. history.csv is written in any case."""
    try:
        return TensorBoardLogger(run_dir, name="", version="tensorboard", default_hp_metric=False)
    except ModuleNotFoundError:
        return False


def _quiet() -> None:
    """Silence the messages that a user of the recipe can do nothing about."""
    for name in ("pytorch_lightning", "lightning_fabric", "lightning.fabric"):
        logging.getLogger(name).setLevel(logging.WARNING)
    for message in (".*does not have many workers.*", ".*Checkpoint directory.*", ".*LeafSpec.*", ".*GPU available.*"):
        warnings.filterwarnings("ignore", message)
