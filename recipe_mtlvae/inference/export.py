"""Export of a trained network with its feature extraction, as one file for other runtimes."""

from __future__ import annotations

import contextlib
import importlib.util
import json
import logging
import time
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from recipe_mtlvae.errors import fail
from recipe_mtlvae.files import atomic_write

if TYPE_CHECKING:  # torch is slow to import
    from recipe_mtlvae.inference.detector import Detector

TOLERANCE = 1e-4  # largest difference of a probability
LENGTHS = (0.1, 0.37, 1.0, 2.3)  # of the training length: clips on which the file is compared with Python
RUNS = 5  # timed runs

# Runs an exported file: samples (n,) float32 -> scores (steps, classes), weak (classes,)
Runtime = Callable[[np.ndarray], tuple[np.ndarray, np.ndarray]]


def export(detector: Detector, kind: str, out: Path) -> str:
    """Write `detector` to `out` as `onnx` or `torchscript`, and return a summary of the file for the user.

    Raises RecipeError, and writes nothing, if the file's scores differ from Python's by more than TOLERANCE or the
    network's encoder cannot be exported.
    """
    if not all(source.portable for source in detector.transforms.inputs.values()):
        raise fail("an exported file can hold no encoder but yamnet", path=out)
    write, load = {"onnx": (_write_onnx, _load_onnx), "torchscript": (_write_torchscript, _load_torchscript)}[kind]
    with atomic_write(out) as temporary:
        with _without_warnings():
            write(detector, temporary)
        runtime = load(temporary)
        deviation = _deviation(detector, runtime)
        if not deviation <= TOLERANCE:
            raise fail(f"{kind} gives other scores than Python, by {deviation:.2g}: no file is written", path=out)
        seconds = detector.conf.data.clip_seconds
        speed = seconds / _seconds(runtime, _clip(detector, 1.0))
        size = temporary.stat().st_size / 1e6
    return (
        f"{out}: {size:.1f} MB; a clip of {seconds:g} s at {speed:.0f} times real time; within {deviation:.1g} of "
        f"Python on {len(LENGTHS)} lengths from {LENGTHS[0] * seconds:g} to {LENGTHS[-1] * seconds:g} s"
    )


def metadata(detector: Detector) -> dict[str, Any]:
    """Return the file's metadata: JSON texts in ONNX's metadata_props, the extra file recipe.json in TorchScript."""
    conf = detector.conf
    return {
        "classes": list(detector.classes),
        "sample_rate": conf.features.sample_rate,  # Hz
        "clip_seconds": conf.data.clip_seconds,  # the training length
        "least_samples": _least_samples(detector),
        "step_seconds": detector.grid.step_seconds,
        "thresholds": list(detector.decoding.thresholds),
        "median_filters": list(detector.decoding.median_filters),  # steps
        **({"bounding_boxes": [list(own) for own in detector.decoding.boxes]} if detector.decoding.boxes else {}),
    }


def require_onnx() -> None:
    missing = [name for name in ("onnx", "onnxruntime") if importlib.util.find_spec(name) is None]
    if missing:
        raise fail(f"--format onnx needs the packages {' and '.join(missing)}", f"pip install {' '.join(missing)}")


def _least_samples(detector: Detector) -> int:
    """The fewest samples from which all inputs can be computed and one output step comes out."""
    features = detector.conf.features
    return max(detector.transforms.least_samples, (features.frames_per_step - 1) * features.hop_length)


def _write_torchscript(detector: Detector, file: Path) -> None:
    import torch

    from recipe_mtlvae.nets.portable import ClipModel

    model = ClipModel(detector.net, detector.transforms).eval()
    with torch.no_grad():
        traced = torch.jit.trace(model, torch.from_numpy(_clip(detector, 1.0)), check_trace=False)
    torch.jit.save(traced, str(file), _extra_files={"recipe.json": json.dumps(metadata(detector))})


def _load_torchscript(file: Path) -> Runtime:
    import torch

    model = torch.jit.load(str(file))

    def run(samples: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        with torch.inference_mode():
            scores, weak = model(torch.from_numpy(samples))
        return scores.numpy(), weak.numpy()

    return run


def _write_onnx(detector: Detector, file: Path) -> None:
    import onnx
    import torch

    from recipe_mtlvae.inputs.transforms import Transforms
    from recipe_mtlvae.nets.portable import ClipModel

    model = ClipModel(
        detector.net, Transforms(detector.conf, real=True, encoder_state=detector.transforms.encoder_state)
    ).eval()
    torch.onnx.export(
        model,
        (torch.from_numpy(_clip(detector, 1.0)),),
        str(file),
        input_names=["samples"],
        output_names=["scores", "weak"],
        dynamic_axes={"samples": {0: "samples"}, "scores": {0: "steps"}},
        dynamo=False,  # the dynamo exporter fixes the sequence length of a GRU
    )
    content = onnx.load(str(file))
    onnx.helper.set_model_props(content, {key: json.dumps(value) for key, value in metadata(detector).items()})
    onnx.save(content, str(file))


def _load_onnx(file: Path) -> Runtime:
    import onnxruntime

    session = onnxruntime.InferenceSession(str(file), providers=["CPUExecutionProvider"])
    return lambda samples: tuple(session.run(["scores", "weak"], {"samples": samples}))


@contextlib.contextmanager
def _without_warnings() -> Iterator[None]:
    """Hide two warnings of tracing: that shapes become constants, which is not so here, and of a newer exporter."""
    log = logging.getLogger("torch.onnx")
    level = log.level
    log.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        log.setLevel(level)


def _deviation(detector: Detector, runtime: Runtime) -> float:
    """The largest difference between the runtime's outputs and Python's over LENGTHS; infinite if shapes differ."""
    import torch

    from recipe_mtlvae.nets.portable import ClipModel

    model = ClipModel(detector.net, detector.transforms).eval()
    largest = 0.0
    for share in LENGTHS:
        samples = _clip(detector, share)
        with torch.inference_mode():
            expected = [output.numpy() for output in model(torch.from_numpy(samples))]
        for ours, theirs in zip(expected, runtime(samples), strict=True):
            if ours.shape != theirs.shape:
                return float("inf")
            largest = max(largest, float(np.abs(ours - theirs).max()))
    return largest


def _clip(detector: Detector, share: float) -> np.ndarray:
    """Noise (n,) float32, `share` of the training length long, whose loudness rises from near silence."""
    conf = detector.conf
    length = max(round(share * conf.data.clip_seconds * conf.features.sample_rate), _least_samples(detector))
    noise = np.random.default_rng(0).uniform(-1.0, 1.0, length)
    return (noise * np.geomspace(1e-4, 0.5, length)).astype(np.float32)


def _seconds(runtime: Runtime, samples: np.ndarray) -> float:
    """The time of one run in seconds: the median of RUNS."""
    times = []
    for _ in range(RUNS):
        started = time.perf_counter()
        runtime(samples)
        times.append(time.perf_counter() - started)
    return float(np.median(times))
