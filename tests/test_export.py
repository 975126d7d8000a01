"""A network exported as one file for other runtimes, compared with Python."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path

import numpy as np
import pytest
import torch

from recipe_mtlvae.commands.export import main
from recipe_mtlvae.conf import Conf
from recipe_mtlvae.errors import RecipeError
from recipe_mtlvae.inference import export
from recipe_mtlvae.inference.detector import Detector
from recipe_mtlvae.inputs.log_mel import scale
from recipe_mtlvae.inputs.mel_transform import LogMel, RealLogMel
from recipe_mtlvae.nets.checkpoint import Checkpoint, build_network
from tests.tiny import tiny_conf

CLASSES = ("Beep", "Hum", "Tick")
TUNED = {"thresholds": [0.25, 0.5, 0.6], "median_filters": [3, 7, 1]}
SYSTEMS = {
    "mtlvae": (),
    "mean_teacher": ("system=mean_teacher",),
    "strong alone": ("tasks=[strong_synth]",),
    "clip gate": ("vae.clip_gate=true",),
    "deterministic": ("vae.variational=false",),
}

needs_onnx = pytest.mark.skipif(
    not all(map(importlib.util.find_spec, ("onnx", "onnxruntime"))), reason="needs onnx and onnxruntime"
)
formats = pytest.mark.parametrize("kind", ["torchscript", pytest.param("onnx", marks=needs_onnx)])


def detector_of(conf: Conf) -> Detector:
    """Return a detector with an untrained network, whose weights are large enough for scores that vary."""
    torch.manual_seed(0)
    net = build_network(conf, len(CLASSES)).eval()
    with torch.no_grad():
        for weights in net.parameters():
            weights.mul_(2.0)
    return Detector(Checkpoint(net, conf, CLASSES, 0, 0, decoding=TUNED), device="cpu")


def run_file(kind: str, file: Path, samples: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Run the exported file without the recipe, as another program would."""
    if kind == "torchscript":
        return tuple(output.detach().numpy() for output in torch.jit.load(str(file))(torch.from_numpy(samples)))
    import onnxruntime

    session = onnxruntime.InferenceSession(str(file), providers=["CPUExecutionProvider"])
    return tuple(session.run(["scores", "weak"], {"samples": samples}))


@formats
@pytest.mark.parametrize("system", SYSTEMS)
def test_the_file_agrees_with_python_at_any_length(kind, system, tmp_path):
    detector = detector_of(tiny_conf(*SYSTEMS[system]))
    export.export(detector, kind, tmp_path / "model")
    log_mel = LogMel(detector.conf.features)
    for length in (1025, 1600, 5000, 32000, 100_001):
        samples = np.random.default_rng(length).normal(0.0, 0.1, length).astype(np.float32)
        expected = detector.net.predict(scale(log_mel(torch.from_numpy(samples)[None]), (-1.0, 1.0)))
        scores, weak = run_file(kind, tmp_path / "model", samples)
        assert scores.shape == ((1 + length // 256) // 4, 3) and weak.shape == (3,)
        np.testing.assert_allclose(scores, expected.strong[0].numpy(), atol=1e-4)
        np.testing.assert_allclose(weak, expected.weak[0].numpy(), atol=1e-4)
    assert np.ptp(scores) > 0.05  # scores that are all alike would agree by chance


@formats
def test_silence_gives_finite_scores(kind, tmp_path):
    export.export(detector_of(tiny_conf()), kind, tmp_path / "model")
    scores, weak = run_file(kind, tmp_path / "model", np.zeros(16000, np.float32))
    assert np.isfinite(scores).all() and np.isfinite(weak).all()


EXPECTED = {
    "classes": list(CLASSES),
    "sample_rate": 16000,
    "clip_seconds": 2.0,
    "least_samples": 1025,
    "step_seconds": 0.064,
    **TUNED,
}


def test_a_torchscript_file_describes_its_scores(tmp_path):
    export.export(detector_of(tiny_conf()), "torchscript", tmp_path / "model.pt")
    files = {"recipe.json": ""}
    torch.jit.load(str(tmp_path / "model.pt"), _extra_files=files)
    assert json.loads(files["recipe.json"]) == EXPECTED


@needs_onnx
def test_an_onnx_file_describes_its_scores(tmp_path):
    import onnxruntime

    export.export(detector_of(tiny_conf()), "onnx", tmp_path / "model.onnx")
    session = onnxruntime.InferenceSession(str(tmp_path / "model.onnx"), providers=["CPUExecutionProvider"])
    found = session.get_modelmeta().custom_metadata_map
    assert {key: json.loads(value) for key, value in found.items()} == EXPECTED


def test_the_message_gives_size_speed_and_agreement(tmp_path):
    text = export.export(detector_of(tiny_conf()), "torchscript", tmp_path / "model.pt")
    size = (tmp_path / "model.pt").stat().st_size / 1e6
    assert f"{size:.1f} MB" in text and "times real time" in text and "of Python on 4 lengths" in text


def test_a_file_that_disagrees_is_not_written_and_an_earlier_one_is_kept(tmp_path, monkeypatch):
    (tmp_path / "model.pt").write_text("earlier")
    right = export._load_torchscript
    monkeypatch.setattr(export, "_load_torchscript", lambda file: lambda x: [y + 2e-4 for y in right(file)(x)])
    with pytest.raises(RecipeError, match=r"other scores than Python, by 0\.0002: no file is written"):
        export.export(detector_of(tiny_conf()), "torchscript", tmp_path / "model.pt")
    assert [file.read_text() for file in tmp_path.iterdir()] == ["earlier"]


def test_without_onnx_one_line_says_what_to_install(monkeypatch, tmp_path):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    options = ["--checkpoint", "none.ckpt", "--format", "onnx", "--out", str(tmp_path / "x.onnx")]
    with pytest.raises(RecipeError, match="needs the packages onnx and onnxruntime; pip install onnx onnxruntime"):
        main(options)


def test_a_folder_as_the_file_is_refused(tmp_path):
    with pytest.raises(RecipeError, match="expected a file, this is a folder"):
        main(["--checkpoint", "none.ckpt", "--format", "torchscript", "--out", str(tmp_path)])


def test_the_log_mel_in_real_numbers_equals_that_by_the_fft():
    conf = tiny_conf().features
    waveform = torch.from_numpy(np.random.default_rng(0).normal(0.0, 0.1, (2, 20_000)).astype(np.float32))
    difference = RealLogMel(conf)(waveform) - LogMel(conf)(waveform)
    assert difference.shape[2] == 1 + 20_000 // 256
    assert difference.abs().max() < 1e-3  # dB
