"""Checkpoints: weights, configuration and class list in one file, read without running any code from it.

The file is the trainer's own checkpoint with one more entry, `recipe`, of plain types. So last.ckpt, from
which training resumes, and best.ckpt, which is used for detection, are opened in the same way.
"""

from __future__ import annotations

import io
import math
import os
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn

from recipe_mtlvae.conf import Conf, conf_from_dict, conf_to_dict
from recipe_mtlvae.errors import RecipeError, fail
from recipe_mtlvae.files import atomic_write
from recipe_mtlvae.interrupts import lacks_memory
from recipe_mtlvae.systems import system_module

FORMAT = 1
LONGEST_FILTER = 9999  # steps, as in conf_sections.py


@dataclass(frozen=True)
class Checkpoint:
    """A network ready to predict, with its configuration, its classes and what was tuned for it."""

    net: nn.Module  # in eval mode; has predict(**inputs) -> Prediction, the inputs by name
    conf: Conf
    classes: tuple[str, ...]
    epoch: int | None  # counted from 0; None: unknown, as for weights trained elsewhere
    step: int | None
    decoding: dict[str, list[float]] | None = None  # fields of scoring.postprocess.Decoding; None: never tuned
    encoder: dict[str, Any] | None = None  # state of the pretrained encoder, if the network uses one
    precision_recall: dict[str, list] | None = None  # scoring.precision_recall.PrecisionRecall; None: not counted
    bounding_boxes: dict[str, list] | None = None  # scoring.box_tuning.TunedSettings; None: detection by median filters
    median_reference: dict[str, list] | None = None  # the same for median filters, with which boxes are compared


def build_network(conf: Conf, classes: int) -> nn.Module:
    """Return the network of the configuration's system with random weights, for `classes` event classes."""
    return system_module(conf.system).build(conf, classes)


def recipe_entry(conf: Conf, classes: tuple[str, ...]) -> dict[str, Any]:
    """Return the entry `recipe` that the trainer adds to its checkpoints."""
    return {"format": FORMAT, "conf": conf_to_dict(conf), "classes": list(classes)}


def load_checkpoint(path: Path, network: str = "net", map_location: str = "cpu") -> Checkpoint:
    """Load a checkpoint of this recipe; `network` is one of the system's networks in systems.py.

    Raises RecipeError for a file of another kind, and for weights that are missing or do not fit.
    """
    content = read_content(path, map_location)
    recipe = _recipe(content, path)
    try:
        classes = tuple(str(label) for label in recipe["classes"])
        conf = conf_from_dict(recipe["conf"])
        weights = _weights(content["state_dict"], f"{network}.")
        epoch, step = (int(content[name]) for name in ("epoch", "global_step"))
        decoding = _decoding(recipe, network, len(classes))
        precision_recall = _precision_recall(recipe, network, len(classes))
        encoder = _encoder(recipe)
        by_aim = [_by_aim(recipe, network, len(classes), key) for key in ("bounding_boxes", "median_reference")]
        net = build_network(conf, len(classes))
    except RecipeError as error:
        raise fail(f"the checkpoint's configuration is of another version: {error}", path=path) from None
    except (AttributeError, KeyError, TypeError, ValueError, OverflowError, RuntimeError) as error:
        if lacks_memory(error):
            raise
        raise fail(f"not a checkpoint of this recipe: {type(error).__name__} {error}", path=path) from None
    try:
        net.load_state_dict(weights)
    except (RuntimeError, TypeError, ValueError) as error:
        problem = " ".join(str(error).split())
        raise fail(f"the weights of '{network}' do not fit the configuration: {problem}", path=path) from None
    if not all(value.isfinite().all() for value in net.state_dict().values()):
        raise fail(f"the weights of '{network}' are not all finite", "copy it again, or train again", path)
    return Checkpoint(net.eval(), conf, classes, epoch, step, decoding, encoder, precision_recall, *by_aim)


def write_decoding(path: Path, decoding: dict[str, dict[str, Any]]) -> bool:
    """Put what was tuned into the checkpoint at `path`, which is rewritten whole or not at all.

    decoding: {network: {field: one value per class, precision_recall: its counts}}. Returns False if the checkpoint
    holds exactly that already. Raises RecipeError for a file that is not a checkpoint.
    """
    content = read_content(path)
    recipe = _recipe(content, path)
    plain = {
        network: {name: values if isinstance(values, dict) else list(values) for name, values in fields.items()}
        for network, fields in decoding.items()
    }
    if recipe.get("decoding") == plain:
        return False
    recipe["decoding"] = plain
    write_content(content, path)
    return True


def write_content(content: Mapping[str, Any], path: Path, previous: Path | None = None) -> None:
    """Write a checkpoint; all of it is on the disk before it gets its name. An older file at `path` becomes `previous`.

    Raises OSError with the name `path`, for example if the disk is full; torch's own writer raises other errors.
    """
    buffer = io.BytesIO()
    torch.save(content, buffer)
    with atomic_write(path) as temporary:
        with temporary.open("wb") as file:
            file.write(buffer.getbuffer())
            file.flush()
            os.fsync(file.fileno())
        if previous is not None and path.exists():
            path.replace(previous)


def _recipe(content: Mapping[str, Any], path: Path) -> dict[str, Any]:
    recipe = content.get("recipe")
    if not isinstance(recipe, dict) or recipe.get("format") != FORMAT:
        raise fail("not a checkpoint of this recipe", f"expected format {FORMAT}, written by ./run.sh", path)
    return recipe


def _weights(state: Any, prefix: str) -> dict[str, torch.Tensor]:
    """The tensors of one network, by their names in that network."""
    if not isinstance(state, Mapping) or not all(isinstance(name, str) for name in state):
        raise ValueError("state_dict: expected tensors by name")
    return {name[len(prefix) :]: value for name, value in state.items() if name.startswith(prefix)}


def _encoder(recipe: dict[str, Any]) -> dict[str, Any] | None:
    """The state of the pretrained encoder, or None. The encoder itself checks the values."""
    found = recipe.get("encoder")
    if found is not None and not (isinstance(found, dict) and all(isinstance(name, str) for name in found)):
        raise ValueError("encoder: expected values by name")
    return found


def _decoding(recipe: dict[str, Any], network: str, classes: int) -> dict[str, list[float]] | None:
    """What was tuned for one network, or None: `decoding` is {network: {field: one value per class}}."""
    found = recipe.get("decoding", {}).get(network)
    if found is None:
        return None
    decoding = {"thresholds": [float(value) for value in found["thresholds"]]}
    decoding["median_filters"] = [int(value) for value in found["median_filters"]]
    if {len(values) for values in decoding.values()} != {classes}:
        raise ValueError(f"decoding: expected one threshold and one median filter for each of {classes} classes")
    if not all(0 <= value <= 1 for value in decoding["thresholds"]):
        raise ValueError("decoding: expected thresholds from 0 to 1")
    _require_filters("decoding", decoding["median_filters"])
    return decoding


def _require_filters(key: str, lengths: Sequence[int]) -> None:
    if not all(1 <= steps <= LONGEST_FILTER and steps % 2 for steps in lengths):
        raise ValueError(f"{key}: expected median filters of an odd number of steps up to {LONGEST_FILTER}")


def _precision_recall(recipe: dict[str, Any], network: str, classes: int) -> dict[str, list] | None:
    """The counts of one network on the clips that selected it, or None if there are none."""
    found = recipe.get("decoding", {}).get(network, {}).get("precision_recall")
    if found is None:
        return None
    counts = {name: [[int(value) for value in row] for row in found[name]] for name in ("true", "false")}
    references, thresholds = [int(value) for value in found["references"]], [float(one) for one in found["thresholds"]]
    if any(len(values) != classes for values in (*counts.values(), references)):
        raise ValueError(f"precision_recall: expected counts of {classes} classes")
    if any(len(row) != len(thresholds) or min(row, default=0) < 0 for rows in counts.values() for row in rows):
        raise ValueError("precision_recall: expected a count for each threshold")
    if not all(0 <= threshold <= 1 for threshold in thresholds):
        raise ValueError("precision_recall: expected thresholds from 0 to 1")
    return {"thresholds": thresholds, **counts, "references": references}


def _by_aim(recipe: dict[str, Any], network: str, classes: int, key: str) -> dict[str, list] | None:
    """What postprocess.method=bounding_boxes tuned for one network, or None: bounding_boxes, or median_reference."""
    found = recipe.get("decoding", {}).get(network, {}).get(key)
    if found is None:
        return None
    tuned: dict[str, list] = {}
    for aim in ("psds", "events"):
        if key == "median_reference":
            tuned[aim] = [int(length) for length in found[aim]]
            _require_filters(key, tuned[aim])
            continue
        tuned[aim] = [[int(length), float(merge), bool(relative)] for length, merge, relative in found[aim]]
        if not all(1 <= length <= LONGEST_FILTER and 0 < merge < math.inf for length, merge, _ in tuned[aim]):
            raise ValueError(f"{key}: expected lengths of 1 to {LONGEST_FILTER} steps and merging above 0")
    tuned["thresholds"] = [float(value) for value in found["thresholds"]]
    if not all(0 <= threshold <= 1 for threshold in tuned["thresholds"]):
        raise ValueError(f"{key}: expected thresholds from 0 to 1")
    if {len(values) for values in tuned.values()} != {classes}:
        raise ValueError(f"{key}: expected parameters of {classes} classes")
    return tuned


def read_content(path: Path, map_location: str = "cpu") -> dict[str, Any]:
    """Return everything in a trainer's checkpoint. Raises RecipeError if the file is missing or damaged."""
    if not path.is_file():
        raise fail("no such checkpoint", "train one with ./run.sh --stage 1", path)
    try:
        with zipfile.ZipFile(path) as archive:  # torch writes checksums but does not compare them
            if any(entry.compress_type for entry in archive.infolist()) or archive.testzip():
                raise ValueError
        content = torch.load(path, map_location=map_location, weights_only=True)
    except Exception:  # for a damaged file, torch's reader raises errors of any kind
        raise fail("not a checkpoint, or a damaged one", "nothing in it was run", path) from None
    if not isinstance(content, dict):
        raise fail("not a checkpoint of this recipe", path=path)
    return content
