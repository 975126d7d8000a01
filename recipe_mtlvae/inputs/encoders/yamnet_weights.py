"""Read YAMNet's weights from the official Keras file `yamnet.h5`, or from an ONNX file of the network."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from recipe_mtlvae.errors import fail
from recipe_mtlvae.inputs.encoders.yamnet import CLASSES, LAYERS, YAMNet

BATCH_NORM_EPS = 1e-4
_HINT = "give the official yamnet.h5, or the network as ONNX, in encoder.weights"


def load_yamnet(path: Path) -> YAMNet:
    """Return the network with the weights in `path` (.h5, .hdf5 or .onnx).

    Raises RecipeError if the file is missing, damaged, or of another network.
    """
    readers = {".h5": _read_keras, ".hdf5": _read_keras, ".onnx": _read_onnx}
    reader = readers.get(path.suffix.lower())
    if reader is None:
        raise fail(f"YAMNet's weights: expected a file ending in .h5 or .onnx, got {path.suffix!r}", _HINT, path)
    if not path.is_file():
        raise fail("no such file of YAMNet's weights", _HINT, path)
    weights, net = reader(path), YAMNet()
    expected = net.state_dict()
    for name, value in expected.items():
        if name not in weights or weights[name].shape != value.shape:
            found = tuple(weights[name].shape) if name in weights else "none"
            raise fail(f"not YAMNet's weights: {name} is {found}, expected {tuple(value.shape)}", _HINT, path)
        if not weights[name].isfinite().all():
            raise fail(f"not YAMNet's weights: {name} is not finite", _HINT, path)
    net.load_state_dict({name: weights[name] for name in expected})
    return net


def _names() -> list[str]:
    """Return the names of the network's convolutions in order."""
    return ["layers.0", *(f"layers.{i}.{part}" for i in range(1, len(LAYERS) + 1) for part in (0, 2))]


def _read_onnx(path: Path) -> dict[str, Tensor]:
    """Read the convolutions in the order of the graph, with batch norm already folded in. Skip quantisation nodes."""
    try:
        import onnx
        from onnx import numpy_helper
    except ImportError:
        raise fail("YAMNet's weights as ONNX need the package onnx", "pip install onnx", path) from None
    try:
        graph = onnx.load(str(path)).graph
        values = {tensor.name: numpy_helper.to_array(tensor) for tensor in graph.initializer}
    except Exception:  # onnx raises errors of many kinds if the file is damaged or the file of its data is missing
        raise fail("not an ONNX file, or a damaged one, or without the file of its data", _HINT, path) from None
    source = {node.output[0]: node.input[0] for node in graph.node if node.op_type.endswith("quantizeLinear")}
    source |= {node.output[0]: node.input[0] for node in graph.node if node.op_type.endswith("QuantizeLinear")}

    def value(name: str) -> Tensor | None:
        while name in source:
            name = source[name]
        return torch.from_numpy(values[name].astype(np.float32)) if name in values else None

    found: dict[str, Tensor | None] = {}
    convolutions = [node for node in graph.node if node.op_type == "Conv" and len(node.input) == 3]
    for name, node in zip(_names(), convolutions, strict=False):
        found |= {f"{name}.weight": value(node.input[1]), f"{name}.bias": value(node.input[2])}
    for node in graph.node:
        if node.op_type == "Gemm" and len(node.input) == 3:
            found |= {"classifier.weight": value(node.input[1]), "classifier.bias": value(node.input[2])}
    return {name: tensor for name, tensor in found.items() if tensor is not None}


def _read_keras(path: Path) -> dict[str, Tensor]:
    """Read Keras's layers: `layer1/conv`, `layerN/depthwise_conv`, `layerN/pointwise_conv`, each with `/bn`."""
    try:
        import h5py
    except ImportError:
        raise fail("YAMNet's weights as HDF5 need the package h5py", "pip install h5py", path) from None
    arrays: dict[str, np.ndarray] = {}

    def visit(name: str, item: object) -> None:
        if isinstance(item, h5py.Dataset) and item.size <= 1024 * 1024:
            arrays[name] = item[()]

    try:
        with h5py.File(path, "r") as file:
            file.visititems(visit)
    except OSError:
        raise fail("not an HDF5 file, or a damaged one", _HINT, path) from None
    pattern = re.compile(r"(layer\d+/(?:\w+_)?conv)(?:/bn)?/(\w+):0$")
    layers: dict[str, dict[str, np.ndarray]] = {}
    for name, array in arrays.items():
        if match := pattern.search(name):
            layers.setdefault(match[1], {})[match[2]] = array
    found: dict[str, Tensor] = {}
    keras = ["layer1/conv", *(f"layer{i}/{part}_conv" for i in range(2, 15) for part in ("depthwise", "pointwise"))]
    for name, layer in zip(_names(), keras, strict=True):
        folded = _folded(layers.get(layer, {}))
        if folded:
            found |= {f"{name}.weight": folded[0], f"{name}.bias": folded[1]}
    for array in arrays.values():
        if array.shape == (1024, CLASSES):
            found["classifier.weight"] = torch.from_numpy(array.astype(np.float32)).t().contiguous()
        elif array.shape == (CLASSES,):
            found["classifier.bias"] = torch.from_numpy(array.astype(np.float32))
    return found


def _folded(arrays: Mapping[str, np.ndarray]) -> tuple[Tensor, Tensor] | None:
    """Fold batch norm (centred, not scaled) into a convolution's weights and bias. None if an array is missing."""
    kernel = arrays.get("kernel", arrays.get("depthwise_kernel"))
    norm = [arrays.get(name) for name in ("beta", "moving_mean", "moving_variance")]
    if kernel is None or kernel.ndim != 4 or any(value is None for value in norm):
        return None
    order = (2, 3, 0, 1) if "depthwise_kernel" in arrays else (3, 2, 0, 1)  # Keras: time, frequency, in, out
    weight = torch.from_numpy(kernel.astype(np.float32)).permute(order)
    beta, mean, variance = (torch.from_numpy(value.astype(np.float32)) for value in norm)
    if len(weight) != len(beta):
        return None
    scale = torch.rsqrt(variance + BATCH_NORM_EPS)
    return (weight * scale[:, None, None, None]).contiguous(), beta - mean * scale
