"""The files that describe a network beside its scores: model.json and, for a VAE, latents.npz."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from local.prediction.latent_space import latent_space
from local.training.history import read_history
from recipe_mtlvae.files import write_json
from recipe_mtlvae.inputs.prepared import Split
from recipe_mtlvae.inputs.registry import inputs_of
from recipe_mtlvae.inputs.transforms import scaled
from recipe_mtlvae.labels import Grid, steps_of
from recipe_mtlvae.nets.checkpoint import Checkpoint
from recipe_mtlvae.nets.complexity import macs, parameters
from recipe_mtlvae.nets.vae import MTLVAE
from recipe_mtlvae.report.latents import write_latents
from recipe_mtlvae.scoring.energy import read_energy


def write_description(
    checkpoint: Checkpoint, splits: Sequence[Split], folder: Path, training: Mapping[str, Any]
) -> None:
    """Write model.json and, for a VAE, latents.npz to the network's folder.

    training: further figures of the run's training, such as its peak memory.
    """
    energy, conf = read_energy(folder / "energy.json"), checkpoint.conf
    prediction = {split.name: _speed(split, energy[split.name]["seconds"]) for split in splits if split.name in energy}
    labelled = next((split for split in splits if split.truth), None)
    if isinstance(checkpoint.net, MTLVAE) and labelled:
        grid = Grid.of(conf.features, conf.data.clip_seconds)
        latents = latent_space(checkpoint.net, labelled, grid, checkpoint.classes)
        if latents is not None:
            write_latents(folder, latents)
    model = _model(checkpoint, read_history(folder / "history.csv"), prediction)
    model["training"] |= training
    write_json(folder / "model.json", model)


def _speed(split: Split, seconds: float) -> dict[str, float]:
    """Return the speed of one process from audio file to scores: the mean if several processes shared the split."""
    audio_seconds = float(np.sum(list(split.seconds.values())))
    print(f"stage 2: {split.name}: {len(split.recordings)} clips, {audio_seconds / seconds:.0f} times real time")
    return {"seconds": seconds, "audio_seconds": audio_seconds, "times_real_time": audio_seconds / seconds}


def _model(checkpoint: Checkpoint, history: list[dict[str, float]], prediction: dict[str, Any]) -> dict[str, Any]:
    """Return the content of model.json: the cost of the network, its tuned decoding and its training."""
    features = checkpoint.conf.features
    inputs, samples = inputs_of(checkpoint.conf, checkpoint.encoder), 10 * features.sample_rate
    values = {name: torch.zeros(1, source.width, source.steps(samples)) for name, source in inputs.items()}
    return {
        "system": checkpoint.conf.system,
        "parameters": parameters(checkpoint.net),
        "macs_10s": macs(checkpoint.net.cpu(), **scaled(inputs, values, steps_of(features, samples))),
        "classes": list(checkpoint.classes),
        "sample_rate": features.sample_rate,
        "decoding": _by_class(checkpoint.classes, checkpoint.decoding),
        "precision_recall": checkpoint.precision_recall,
        "bounding_boxes": _by_class(checkpoint.classes, checkpoint.bounding_boxes),
        "median_reference": _by_class(checkpoint.classes, checkpoint.median_reference),
        "training": {
            "epochs": len(history),
            "steps": int(history[-1]["step"]) if history else None,
            "clips_seen": int(sum(row["clips"] for row in history)),
            "seconds": sum(row["seconds"] for row in history),
            "best_epoch": None if checkpoint.epoch is None else checkpoint.epoch + 1,
        },
        "prediction": prediction,
    }


def _by_class(classes: Sequence[str], tuned: dict[str, list] | None) -> dict[str, dict[str, Any]] | None:
    """Return each tuned setting by class, such as thresholds and median filters (steps); None if nothing was tuned."""
    return tuned and {name: dict(zip(classes, values, strict=True)) for name, values in tuned.items()}
