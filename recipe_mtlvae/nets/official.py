"""Reading the weights of the baseline's official Lightning checkpoint, and nothing else of it.

Besides the weights, the file contains pickled objects of its trainer: hyper-parameters, callback states, classes
of old Lightning versions. torch's weights-only reader builds none of them here: each foreign name becomes
an inert placeholder, so that no code of the file or of the packages that it names ever runs.
"""

from __future__ import annotations

import re
from collections import OrderedDict
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from recipe_mtlvae.errors import fail
from recipe_mtlvae.nets.crnn import CRNN

_UNRUN = "nothing in it was run"
MOST_CLASSES = 10_000  # AudioSet has 527
SHOWN_NAMES = 3  # names of weights listed in an error; the others are counted


class _Inert:
    """A placeholder for an object that is not a weight. Takes any arguments and state, and keeps none."""

    def __new__(cls, *_: Any) -> _Inert:
        return super().__new__(cls)

    def __init__(self, *_: Any) -> None:
        pass

    def __setstate__(self, _: Any) -> None:
        pass


class _InertMapping:
    """A placeholder for subclasses of dict, which the reader creates first and then fills with items."""

    def __new__(cls, *_: Any) -> OrderedDict:
        return OrderedDict()


MAPPINGS = (
    "collections.defaultdict",
    "pytorch_lightning.utilities.parsing.AttributeDict",
    "lightning_fabric.utilities.data.AttributeDict",
    "lightning.fabric.utilities.data.AttributeDict",
)


def load_official(path: Path | str, which: str = "student") -> CRNN:
    """Return the official checkpoint's student or teacher in eval mode, with as many classes as its weights have.

    Raises RecipeError for a file of another kind, and for weights that are not exactly the network's.
    """
    if which not in ("student", "teacher"):
        raise fail(f"which network of the official checkpoint: expected student or teacher, got {which!r}")
    path = Path(path)
    weights = _weights(_read(path), f"sed_{which}", path)
    dense = weights.get("dense.bias")
    if dense is not None and not 1 <= dense.numel() <= MOST_CLASSES:
        raise fail(f"a network of {dense.numel()} classes: expected 1 to {MOST_CLASSES}", _UNRUN, path)
    net = CRNN() if dense is None else CRNN(classes=dense.numel())
    faults = _misfits(weights, net.state_dict())
    if faults:
        what = f"the weights of sed_{which} are not those of the baseline's network: {faults}"
        raise fail(what, "expected a checkpoint of the 2022 baseline", path)
    net.load_state_dict(weights)
    return net.eval()


def in_words(path: Path | str, scale_range: tuple[float, float]) -> str:
    """Say to which range features are scaled for it and, if the file hints at another range, how to set that."""
    taken = [f"{bound:g}" for bound in scale_range]
    words = f"features scaled to [{', '.join(taken)}] (baseline_checkpoint.scale_range)"
    hints = _hints_at_newer(_read(Path(path)))
    if not hints or taken == ["-1", "1"]:
        return words
    newer = "--set baseline_checkpoint.scale_range=[-1,1]"
    return f"{words}; but {', '.join(hints)} hints at the toolkit since May 2024: if it is from there, {newer}"


def _hints_at_newer(content: Mapping[str, Any]) -> list[str]:
    """What the trainer recorded that only the newer toolkit has, which scales to [-1, 1]. No file states its range."""
    version = re.match(r"\d{1,4}\.\d{1,4}", str(content.get("pytorch-lightning_version")))
    lightning = [int(number) for number in version[0].split(".")] if version else [1, 9]
    if lightning < [1, 9]:
        return []
    settings = content.get("hyper_parameters")
    settings = settings if isinstance(settings, Mapping) else {}
    hints = [f"pytorch-lightning {version[0]}"] if lightning >= [2, 0] else []
    for section, keys in settings.items():
        for key, value in keys.items() if isinstance(keys, Mapping) else ():
            if str(key).startswith("specaugm_") or key == "dropstep_recurrent":
                hints.append(f"{section}.{key}")
            elif (section, key) == ("net", "nclass") and type(value) is int and value == 27:
                hints.append("net.nclass 27")
    return hints[:SHOWN_NAMES]


def _read(path: Path) -> Mapping[str, Any]:
    if not path.is_file():
        raise fail("no such checkpoint", "give the official baseline's .ckpt file", path)
    try:
        foreign = torch.serialization.get_unsafe_globals_in_checkpoint(path)
        placeholders = [(_InertMapping if name in MAPPINGS else _Inert, name) for name in foreign]
        with torch.serialization.safe_globals(placeholders):
            content = torch.load(path, map_location="cpu", weights_only=True)
    except OSError:
        raise
    except Exception:  # a damaged or hostile file can upset the reader in any way
        raise fail("not a checkpoint, or a damaged one", _UNRUN, path) from None
    if not isinstance(content, Mapping):
        raise fail(f"expected a Lightning checkpoint, got {type(content).__name__}", _UNRUN, path)
    return content


def _weights(content: Mapping[str, Any], network: str, path: Path) -> dict[str, Tensor]:
    """The entries of `network` in `state_dict`, or else in its own dict at the file's top level."""
    state = content.get("state_dict")
    entries = state.items() if isinstance(state, Mapping) else ()
    prefix = f"{network}."
    found = {name[len(prefix) :]: value for name, value in entries if str(name).startswith(prefix)}
    if not found and isinstance(content.get(network), Mapping):
        found = dict(content[network])
    if not found:
        hint = "expected the baseline's own Lightning checkpoint"
        raise fail(f"holds no weights under state_dict/{prefix}* or {network}", hint, path)
    return {name: value for name, value in found.items() if isinstance(value, Tensor) and _is_plain(value)}


def _is_plain(value: Tensor) -> bool:
    """Whether a tensor is dense and real: not sparse, quantized or complex."""
    return value.layout is torch.strided and not value.is_quantized and not value.is_complex()


def _misfits(weights: Mapping[str, Tensor], expected: Mapping[str, Tensor]) -> str:
    """Which weights are missing, unknown, of another shape or not finite; empty if all fit."""
    shared = [name for name in expected if name in weights]
    fitting = [name for name in shared if weights[name].shape == expected[name].shape]
    kinds = {
        "missing": [name for name in expected if name not in weights],
        "unknown": [str(name) for name in weights if name not in expected],
        "of another shape": [
            f"{name} {tuple(weights[name].shape)}, expected {tuple(expected[name].shape)}"
            for name in shared
            if name not in fitting
        ],
        "not finite": [name for name in fitting if not weights[name].isfinite().all()],
    }
    return "; ".join(f"{kind}: {_listed(names)}" for kind, names in kinds.items() if names)


def _listed(names: list[str]) -> str:
    left = len(names) - SHOWN_NAMES
    return ", ".join(names[:SHOWN_NAMES]) + (f" and {left} more" if left > 0 else "")
