"""YAMNet in torch: shapes, timing and filters as published, and weights from files of Keras and ONNX."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
import torch

from recipe_mtlvae.errors import RecipeError
from recipe_mtlvae.inputs.encoders.yamnet import LAYERS, TAPS, YAMNet, mel_triangles, tap_centre, tap_step
from recipe_mtlvae.inputs.encoders.yamnet_weights import load_yamnet

CONVOLUTIONS = ["layers.0", *(f"layers.{i}.{part}" for i in range(1, 14) for part in (0, 2))]


@pytest.fixture(scope="module")
def net() -> YAMNet:
    torch.manual_seed(0)
    return YAMNet()


def test_it_has_the_published_3_7_million_weights(net):
    # without the biases, which are the betas of batch norm, and without the moving statistics
    convolutions = 9 * 32 + sum(
        9 * before + before * after for before, after in zip((32, *WIDTHS), WIDTHS, strict=False)
    )
    assert sum(weight.numel() for name, weight in net.named_parameters() if name.endswith("weight")) == (
        convolutions + 1024 * 521
    )
    assert 3.7e6 < sum(weight.numel() for weight in net.parameters()) < 3.8e6


WIDTHS = tuple(width for _, width in LAYERS)


def test_five_seconds_give_64_32_and_16_steps(net):
    shapes = [tuple(tap.shape) for tap in net(torch.zeros(1, 80_000))]  # 500 frames, filled up to 512
    assert shapes == [(1, 64, 256), (1, 32, 512), (1, 16, 1024)]


def test_steps_lie_80_160_and_320_ms_apart_and_begin_with_a_centre_2_5_ms_later():
    assert [tap_step(layer) for layer in TAPS] == pytest.approx([0.08, 0.16, 0.32])
    assert [tap_centre(layer) for layer in TAPS] == pytest.approx([0.0825, 0.1625, 0.3225])


@pytest.mark.parametrize("layer", TAPS)
def test_what_a_step_sees_is_symmetric_about_its_centre(layer):
    net = YAMNet()
    for weight in net.parameters():
        weight.fill_(1.0 / weight[0].numel() if weight.ndim > 1 else 0.0)
    net.log_mel = lambda waveform, spectrum: waveform  # (batch, frames, 64) as it is
    step = 20
    centre = round((tap_centre(layer) + step * tap_step(layer) - 0.0125) / 0.01)  # the frame in the middle
    frames = torch.zeros(1, 32 * 40, 64)
    frames[:, centre] = 1.0
    seen = net(frames)[TAPS.index(layer)][0, :, 0].double()
    assert seen.argmax() == step
    assert seen[step - 2 : step].flip(0).allclose(seen[step + 1 : step + 3], rtol=1e-3)


def test_filters_are_triangles_on_the_mel_scale_from_125_to_7500_hz():
    filters = mel_triangles()
    assert filters.shape == (257, 64) and not filters[0].any()
    assert not filters[:4].any() and filters[5].any()  # bins lie 31.25 Hz apart: 125 Hz is bin 4, a corner
    assert not filters[240:].any() and filters[239].any()  # 7,500 Hz
    mel = 1127.0 * np.log1p(1000.0 / 700.0)  # bin 32
    low, high = (1127.0 * np.log1p(hertz / 700.0) for hertz in (125.0, 7500.0))
    place = (mel - low) / (high - low) * 65 - 1  # in bands
    band = int(place)
    assert filters[32, band] == pytest.approx(1 - (place - band), abs=1e-5)
    assert filters[32, band + 1] == pytest.approx(place - band, abs=1e-5)


def test_a_tone_has_the_log_mel_of_its_windowed_spectrum(net):
    samples = torch.sin(2 * torch.pi * 1000.0 * torch.arange(16_000) / 16_000)[None]
    window = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(400) / 400)
    spectrum = np.abs(np.fft.rfft(samples[0, 160:560].numpy() * window, 512))
    expected = spectrum @ mel_triangles().numpy() + 0.001
    assert np.allclose(net.log_mel(samples)[0, 1].exp().numpy(), expected, rtol=1e-4, atol=2e-5)


def keras_file(path, net: YAMNet) -> dict[str, torch.Tensor]:
    """Write `net` as Keras stores it, with batch norms that are not trivial; return the weights that must be read."""
    h5py = pytest.importorskip("h5py")
    rng = np.random.default_rng(0)
    names = ["layer1/conv", *(f"layer{i}/{kind}_conv" for i in range(2, 15) for kind in ("depthwise", "pointwise"))]
    expected = {}
    with h5py.File(path, "w") as file:

        def put(layer: str, name: str, array: np.ndarray) -> None:
            file[f"{layer}/{layer}/{name}:0"] = array.astype(np.float32)

        for keras, own in zip(names, CONVOLUTIONS, strict=True):
            weight = net.get_parameter(f"{own}.weight").numpy()
            beta, mean = rng.normal(size=(2, len(weight)))
            variance = rng.uniform(0.5, 2.0, len(weight))
            depthwise = "depthwise" in keras
            put(
                keras,
                "depthwise_kernel" if depthwise else "kernel",
                weight.transpose((2, 3, 0, 1) if depthwise else (2, 3, 1, 0)),
            )
            for name, array in (("beta", beta), ("moving_mean", mean), ("moving_variance", variance)):
                put(f"{keras}/bn", name, array)
            divisor = np.sqrt(variance + 1e-4)
            expected[f"{own}.weight"] = torch.tensor(weight / divisor[:, None, None, None], dtype=torch.float32)
            expected[f"{own}.bias"] = torch.tensor(beta - mean / divisor, dtype=torch.float32)
        put("dense", "kernel", net.classifier.weight.numpy().T)
        put("dense", "bias", net.classifier.bias.numpy())
    return expected


def test_keras_weights_are_read_with_their_batch_norms_folded_in(tmp_path, net):
    expected = keras_file(tmp_path / "yamnet.h5", net)
    read = load_yamnet(tmp_path / "yamnet.h5").state_dict()
    assert all(torch.allclose(read[name], value, atol=1e-5) for name, value in expected.items())
    assert torch.equal(read["classifier.weight"], net.classifier.weight)


@pytest.fixture
def onnx_file(tmp_path, net):
    onnx = pytest.importorskip("onnx")
    path = tmp_path / "yamnet.onnx"

    class Windows(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.net = net

        def forward(self, log_mel: torch.Tensor) -> torch.Tensor:
            return self.net.logits(log_mel)

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(Windows(), (torch.zeros(1, 96, 64),), str(path), dynamo=False)
    return onnx, path


def test_onnx_weights_are_read_also_behind_nodes_that_quantise(onnx_file, net):
    onnx, path = onnx_file
    model = onnx.load(str(path))
    first = next(node for node in model.graph.node if node.op_type == "Conv")
    quantised = onnx.helper.make_node("QuantizeLinear", [first.input[1], "scale"], ["quantised"])
    back = onnx.helper.make_node("DequantizeLinear", ["quantised", "scale"], ["back"])
    first.input[1] = "back"
    model.graph.node.insert(0, back)
    model.graph.node.insert(0, quantised)
    onnx.save(model, str(path))
    read, windows = load_yamnet(path), torch.randn(2, 96, 64)
    assert torch.equal(read.logits(windows), net.logits(windows))


def test_weights_of_another_network_are_named(onnx_file):
    onnx, path = onnx_file
    model = onnx.load(str(path))
    kept = [node for node in model.graph.node if node.op_type != "Gemm"]
    del model.graph.node[:]
    model.graph.node.extend(kept)
    onnx.save(model, str(path))
    with pytest.raises(RecipeError, match=r"not YAMNet's weights: classifier.weight is none, expected \(521, 1024\)"):
        load_yamnet(path)


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("yamnet.h5", b"\x89HDF\r\n\x1a\n cut", "not an HDF5 file, or a damaged one"),
        ("yamnet.onnx", b"\x08\x07 not a graph", "not an ONNX file, or a damaged one"),
        ("yamnet.tflite", b"", "expected a file ending in .h5 or .onnx"),
    ],
)
def test_a_file_that_holds_no_weights_is_refused(tmp_path, name, content, words):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(RecipeError, match=words):
        load_yamnet(tmp_path / name)


def test_for_a_missing_file_the_message_says_what_to_give(tmp_path):
    with pytest.raises(RecipeError, match=r"no such file of YAMNet's weights; give the official yamnet\.h5"):
        load_yamnet(tmp_path / "yamnet.h5")
