"""The values that a configuration's numbers may have."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from recipe_mtlvae.tasks import LOSS_TERMS

MANY = 10**9
# dotted key: smallest, largest; a key that is null is left alone
RANGES: dict[str, tuple[float, float]] = {
    "data.clip_seconds": (0, 3600),  # the feature store asks for more than half of n_fft
    "data.weak_held_out": (0, 0.9),
    "fetch.stall_seconds": (0.01, 3600),
    "fetch.attempts": (1, 1000),
    "fetch.longest_wait": (0, 86_400),
    "fetch.clips_at_once": (1, 64),
    "fetch.clips_per_second": (0.001, 1000),
    "features.sample_rate": (1000, 384_000),
    "features.n_fft": (16, 2**20),
    "features.hop_length": (1, 2**20),
    "features.n_mels": (1, 4096),
    "features.frames_per_step": (1, 1024),
    "vae.outputs_per_step": (1, 64),
    "vae.hidden": (1, 2**16),
    "vae.layers": (1, 64),
    "vae.latent": (1, 2**16),
    **{f"loss.{term}": (0, math.inf) for term in LOSS_TERMS},
    "mean_teacher.strong_clips": (1, MANY),
    "mean_teacher.weak_clips": (1, MANY),
    "mean_teacher.unlabeled_clips": (1, MANY),
    "mean_teacher.consistency": (0, math.inf),
    "mean_teacher.warmup_epochs": (0, MANY),
    "mean_teacher.ema": (0, 1),
    "mean_teacher.mixup": (0, 1),
    "mean_teacher.mixup_beta": (1e-6, MANY),
    "train.batch_size": (1, MANY),
    "train.max_epochs": (1, MANY),
    "train.epoch_steps": (1, MANY),
    "train.learning_rate": (1e-12, 10),
    "train.gradient_clip": (0, MANY),
    "train.patience": (1, MANY),
    "train.devices": (1, 4096),
    "train.num_nodes": (1, 4096),
    "train.threads": (1, 4096),
    "postprocess.median_filter": (1, 9999),
    "postprocess.threshold": (0, 1),
    "postprocess.operating_points": (1, 1000),
}


def out_of_range(content: Mapping[str, Any]) -> str | None:
    """What is wrong with a configuration's numbers, as a nested dict; None where nothing is."""
    for name, (low, high) in RANGES.items():
        section, key = name.split(".")
        value = content[section][key]
        if value is not None and not low <= value <= high:
            return f"configuration key '{name}': expected {low:g} to {high:g}, got {value!r}"
    if content["postprocess"]["median_filter"] % 2 == 0:
        return "configuration key 'postprocess.median_filter': expected an odd number of output steps"
    return None
