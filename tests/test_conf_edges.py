"""Every key of every shipped YAML file with edge values: each is refused in one line, or a training step runs."""

from __future__ import annotations

import copy
import functools
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml

from local.training.base import training_of
from local.training.schedule import Plan
from recipe_mtlvae.conf import CONF_DIR, Conf, conf_to_dict, load_conf
from recipe_mtlvae.conf_types import build
from recipe_mtlvae.errors import RecipeError
from recipe_mtlvae.inputs.augment import augment
from recipe_mtlvae.inputs.batches import Batch
from recipe_mtlvae.inputs.mel_transform import LogMel
from recipe_mtlvae.inputs.registry import inputs_of
from recipe_mtlvae.labels import samples_of
from tests.stand_in_trainer import attach_trainer

SHIPPED = [CONF_DIR / "base.yaml", *sorted(CONF_DIR.glob("*.yaml")), *sorted(CONF_DIR.glob("data/*.yaml"))]
SHIPPED = [file for file in dict.fromkeys(SHIPPED) if file.name != "published.yaml"]
NUMBERS = (math.nan, math.inf, -math.inf, -1, 0, 1, 1.0, 2, 1e-300, 1e300, 0.5, 2**16, 2**20, 2**32, 2**70)
EDGES = (
    *NUMBERS,
    None,
    True,
    "",
    " ",
    "x",
    "../x",
    "a/b",
    "a\nb",
    "\0",
    "x" * 5000,
    [],
    [""],
    ["a", "a"],
    [3],
    {},
    {"x": 1},
)
# Keys that a training step reads; for accepted values of all other keys, no step is run
STEP = ("features.", "vae.", "loss.", "mean_teacher.", "augment.", "tasks", "system", "seed", "train.learning_rate")
STEP = (*STEP, "train.weight_decay", "train.gradient_clip", "train.schedule", "train.warm")


def keys_of(content: dict[str, Any], prefix: str = "") -> Iterator[str]:
    """Yield the dotted keys of all mappings and values."""
    for key, value in content.items():
        yield f"{prefix}{key}"
        if isinstance(value, dict):
            yield from keys_of(value, f"{prefix}{key}.")


def with_value(content: dict[str, Any], name: str, value: Any) -> dict[str, Any]:
    content = copy.deepcopy(content)
    *sections, key = name.split(".")
    functools.reduce(lambda mapping, section: mapping.setdefault(section, {}), sections, content)[key] = value
    return content


def one_step(conf: Conf) -> float:
    """Return the loss of a first training step on two clips per task.

    A clip lasts a tenth of a second, or longer if the features need it, but never longer than data.clip_seconds.
    """
    torch.manual_seed(0)
    features = conf.features
    least = max(features.n_fft // 2 + 1, features.hop_length * features.frames_per_step * 4)
    samples = min(
        max(samples_of(0.1, features.sample_rate), least), samples_of(conf.data.clip_seconds, features.sample_rate)
    )
    module = training_of(conf)(conf, ("Beep", "Hum"))
    module.log_figures = lambda *args: None
    module.plan = Plan(epochs=4, epoch_steps=2)
    attach_trainer(module, 0)
    sets = conf.tasks if conf.system == "mtlvae" else tuple(module.set_labels)
    clips = 2 * len(sets)
    sources = inputs_of(conf)
    values = {name: torch.rand(clips, source.width, source.steps(samples)) for name, source in sources.items()}
    values["log_mel"] = LogMel(features)(
        torch.rand(clips, samples) - 0.5
    )  # the transforms of all other inputs need weights
    steps = values["log_mel"].shape[-1] // features.frames_per_step
    values = {name: source.on_grid(values[name], steps) for name, source in sources.items()}
    spans = {name: slice(2 * i, 2 * i + 2) for i, name in enumerate(sets)}
    batch = Batch(
        {name: value.half() for name, value in values.items()}, torch.ones(clips, steps, 2), torch.ones(clips, 2), spans
    )
    augment(batch, conf, module.set_labels)
    optimizer = module.configure_optimizers()["optimizer"]
    loss = module.training_step(batch, 0)
    loss.backward()
    if conf.train.gradient_clip:
        torch.nn.utils.clip_grad_norm_(module.net.parameters(), conf.train.gradient_clip)
    optimizer.step()
    return loss.item()


@pytest.mark.parametrize("file", SHIPPED, ids=lambda file: file.stem)
def test_every_value_is_refused_in_one_line_or_trains_a_step(file: Path) -> None:
    base = load_conf() if file.name == "base.yaml" else load_conf(file)
    content = {**conf_to_dict(base), "run": {"shard": None}}
    given = yaml.safe_load(file.read_text())
    trained, refused = set(), 0
    for key in keys_of(given):
        if key.startswith("data.splits.") and key.split(".")[2] not in base.data.splits:
            continue  # a split that is left out because no clips are made for it
        for value in EDGES:
            try:
                conf = build(Conf, with_value(content, key, value), [("here", {})])
            except RecipeError as error:
                refused += 1
                assert all(len(line) < 500 for line in str(error).splitlines()), (key, value)
                assert len(str(error).splitlines()) <= 1 or isinstance(value, (dict, list)), (key, value, str(error))
                continue
            changed = conf_to_dict(conf)
            if key.startswith(STEP) and (state := repr(changed)) not in trained:
                trained.add(state)
                assert math.isfinite(one_step(conf)), (key, value)
    assert refused > 10
