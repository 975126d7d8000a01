"""Stage 1: train the configured system on the prepared splits. An interrupted training is resumed."""

from __future__ import annotations

import resource
import sys
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import torch

from local.stage import Stage, open_stage, trained_on
from local.training.base import training_of
from local.training.data import Data
from local.training.devices import processes_of, require_devices, require_whole_batches
from local.training.history import has_levelled_off
from local.training.run_state import BEST, RunState, is_whole, read_state, restore
from local.training.schedule import plan_of
from local.training.trainer import make_trainer
from local.training.tune import BOX_GRID, GRID, tune_checkpoint
from recipe_mtlvae.errors import exit_code_of, fail
from recipe_mtlvae.files import content_hash, write_json
from recipe_mtlvae.inputs.registry import inputs_of
from recipe_mtlvae.machine import is_rank_zero
from recipe_mtlvae.scoring.energy import measured


def main() -> None:
    train(open_stage(1, __doc__))


def train(stage: Stage) -> None:
    """Train, from the last checkpoint if there is one; write best.ckpt (tuned) and history.csv to the run's folder.

    Settings and data that cannot be used are refused before anything is written.
    """
    conf, run_dir = stage.conf, stage.run_dir
    data = Data(stage.corpus)
    inputs, state = training_inputs(data), read_state(run_dir)
    if stage.done(inputs) and is_whole(run_dir, state):
        print(f"stage 1: {run_dir} is trained already")
        return
    _refuse_another_run(stage, state, inputs["clips"])
    processes = processes_of(conf)
    require_whole_batches(conf, processes)
    require_devices(conf.train, processes)
    if processes.threads is not None:
        torch.set_num_threads(processes.threads)
    torch.set_float32_matmul_precision("high")  # TF32 on a GPU that has it; without effect on a CPU
    pl.seed_everything(conf.seed, verbose=False)
    module = training_of(conf)(conf, data.classes)
    trainer = make_trainer(data, run_dir, processes, state)
    module.plan = state.plan = plan_of(conf.train, data.epoch_steps(processes.all), state.plan)
    state.clips = inputs["clips"]
    patience = conf.train.patience
    ended = patience is not None and has_levelled_off(state.rows, patience, module.warm_up_steps)
    with stage.begun():
        if is_rank_zero():
            restore(run_dir, state)
        if state.epochs < conf.train.max_epochs and not ended:
            with measured(run_dir / "energy.json", "training", conf.energy):
                trainer.fit(module, datamodule=data, ckpt_path=state.checkpoint, weights_only=True)
            if trainer.is_global_zero:
                _note_memory(run_dir / "training.json", trainer.world_size)
        if is_rank_zero():
            tune_checkpoint(run_dir / BEST, data.strong_selection, data.weak_selection, conf.postprocess)
            stage.mark_done(inputs)


def training_inputs(data: Data) -> dict[str, Any]:
    """Return what best.ckpt depends on: the configuration, clips with labels, and what is tuned at the end."""
    splits = data.splits.values()
    clips = [(clip.name, clip.events, sorted(clip.labels or ())) for split in splits for clip in split.clips]
    seconds = [split.durations for split in splits]
    fixed = [data.conf.postprocess.threshold, data.conf.postprocess.median_filter]
    stores = {name: source.key for name, source in inputs_of(data.conf).items()}
    if data.conf.postprocess.method != "median":
        fixed += [data.conf.postprocess.method, BOX_GRID]
    known = {"inputs": stores, "clips": content_hash(str(clips), seconds), "tuning": [GRID, fixed]}
    return trained_on(data.conf) | known


def _refuse_another_run(stage: Stage, state: RunState, clips: str) -> None:
    """Raise RecipeError if clips or labels of a begun run have changed, or it is longer than train.max_epochs."""
    asked = stage.conf.train.max_epochs
    if state.epochs > asked:
        what = f"train.max_epochs: expected at least the {state.epochs} epochs that this run has trained, got {asked}"
        raise fail(what, f"set {state.epochs} or more, or give --tag another name", stage.run_dir)
    if state.clips not in (None, clips):
        what = "clips or labels have changed since this run's training began"
        raise fail(what, "give --tag another name", stage.root)


def _note_memory(file: Path, processes: int) -> None:
    """Write the peak memory, without a GPU's own: of this process, times the number of processes, which are alike."""
    unit = 1 if sys.platform == "darwin" else 1024  # of ru_maxrss
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit * processes
    write_json(file, {"processes": processes, "peak_memory_bytes": peak})


if __name__ == "__main__":
    sys.exit(exit_code_of(main))
