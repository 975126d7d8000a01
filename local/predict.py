"""Stage 2: predict a score folder for each test and select split from its audio files, and measure the energy."""

from __future__ import annotations

import os
import shutil
import sys
from dataclasses import replace
from pathlib import Path

import torch

from local.prediction.description import write_description
from local.prediction.shares import is_current, predict_split
from local.prediction.stored_detector import StoredDetector
from local.stage import Stage, open_stage
from local.training.history import read_history
from recipe_mtlvae.conf import Conf, conf_to_dict
from recipe_mtlvae.corpus.splits import of_role
from recipe_mtlvae.errors import exit_code_of, fail
from recipe_mtlvae.files import atomic_write, content_hash, file_stamp, read_json, write_json
from recipe_mtlvae.inference.detector import Detector
from recipe_mtlvae.inputs.prepared import Split, open_split
from recipe_mtlvae.nets.checkpoint import Checkpoint, load_checkpoint
from recipe_mtlvae.nets.official import in_words, load_official
from recipe_mtlvae.scoring.energy import read_energy


def main() -> None:
    stage = opened = open_stage(2, __doc__)
    if stage.official_checkpoint is not None:
        stage = replace(stage, conf=_official_conf(stage.conf, stage.official_checkpoint))
    splits = predicted_splits(stage)
    checkpoint = stage.official_checkpoint or stage.run_dir / "best.ckpt"
    inputs = {
        "checkpoint": file_stamp(checkpoint) if checkpoint.exists() else None,
        "clips": {split.name: split.store.key for split in splits},
        "features": conf_to_dict(stage.conf)["features"],
    }
    folders = stage.system_dirs()
    written = (folder / "scores" / split.name for folder in folders.values() for split in splits)
    described = all(read_json(folder / "model.json") for folder in folders.values())
    # model.json also describes the training, which may have continued without finding a better epoch
    all_inputs = inputs | {"epochs": len(read_history(stage.run_dir / "history.csv"))}
    if stage.done(all_inputs) and described and all(folder.is_dir() for folder in written):
        print(f"stage 2: {stage.run_dir / 'scores'} is up to date")
        return
    networks = {network: _load(stage, network) for network in folders}
    complete = True
    with opened.begun():  # so that conf.yaml holds the configuration as the user gave it
        for network, folder in folders.items():
            if folder != stage.run_dir:
                _share_training(stage.run_dir, folder)
            complete &= predict(stage, networks[network], folder, splits, content_hash(inputs))
        if complete:
            stage.mark_done(all_inputs)
    if not complete:
        what = "the last share to finish joins all, or stage 2 without run.shard does"
        print(f"stage 2: share {stage.shard} is done; {what}")


def _official_conf(conf: Conf, checkpoint: Path) -> Conf:
    """Return `conf` with the feature scaling that the toolkit's checkpoint is assumed to use, and print it."""
    scale_range = conf.baseline_checkpoint.scale_range
    print(f"stage 2: {checkpoint}: {in_words(checkpoint, scale_range)}")
    return replace(conf, features=replace(conf.features, scale_range=scale_range))


def _load(stage: Stage, network: str) -> Checkpoint:
    """Load the run's own network, or the official checkpoint's student or teacher, which has DESED's classes."""
    if stage.official_checkpoint is None:
        return load_checkpoint(stage.run_dir / "best.ckpt", network)
    net = load_official(stage.official_checkpoint, "teacher" if network == "teacher" else "student")
    classes = stage.corpus.classes
    if net.dense.out_features != len(classes):
        what = f"a network of {net.dense.out_features} classes; the corpus has {', '.join(classes)}"
        raise fail(what, "score it on DESED's classes", stage.official_checkpoint)
    return Checkpoint(net, stage.conf, classes, epoch=None, step=None)


def _share_training(run_dir: Path, folder: Path) -> None:
    """Copy configuration, history and training energy to a teacher's folder: its student's run trained both."""
    folder.mkdir(exist_ok=True)
    for name in ("conf.yaml", "history.csv"):
        if (run_dir / name).exists():
            with atomic_write(folder / name) as temporary:
                shutil.copyfile(run_dir / name, temporary)
    own, students = (read_energy(place / "energy.json") for place in (folder, run_dir))
    if "training" in students and own.get("training") != students["training"]:
        write_json(folder / "energy.json", own | {"training": students["training"]})


def predicted_splits(stage: Stage) -> list[Split]:
    """Return the prepared test splits (including the evaluation set, if any), then the select splits."""
    return [open_split(stage.corpus, name) for name in of_role(stage.corpus.splits, "test", "select")]


def predict(stage: Stage, checkpoint: Checkpoint, folder: Path, splits: list[Split], key: str) -> bool:
    """Write this process's share of scores/<split>/<clip>.tsv to the network's folder. Return whether all are there.

    The last share also writes the description of the network: model.json and latents.npz. key: hash of the inputs.
    """
    classes = stage.corpus.classes
    if checkpoint.classes != classes:
        what = f"the checkpoint's classes are {', '.join(checkpoint.classes)}; the corpus has {', '.join(classes)}"
        raise fail(what, "give --tag another name and train there", stage.run_dir / "best.ckpt")
    from_audio = all(source.from_audio for source in splits[0].inputs.values())
    device = device_of_process()
    detector = Detector(checkpoint, device) if from_audio else StoredDetector(checkpoint, device, splits)
    scores = {split.name: folder / "scores" / split.name for split in splits}
    for split in splits:
        if not is_current(scores[split.name], key):
            predict_split(detector, split, scores[split.name], key, stage.shard, stage.conf.energy)
    if not all(is_current(path, key) for path in scores.values()):
        return False
    training = read_json(stage.run_dir / "training.json") or {}
    write_description(checkpoint, splits, folder, training)
    return True


def device_of_process() -> str | None:
    """Return this process's own GPU if the node has several; None leaves the choice to the detector."""
    local_rank = int(os.environ.get("LOCAL_RANK") or os.environ.get("SLURM_LOCALID") or 0)
    gpus = torch.cuda.device_count()
    return f"cuda:{local_rank % gpus}" if gpus > 1 else None


if __name__ == "__main__":
    sys.exit(exit_code_of(main))
