"""Embeddings as an input: their rows, their times, training on them, and a checkpoint that carries the encoder."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from local import prepare
from local.stage import Stage
from local.train import train
from recipe_mtlvae.errors import RecipeError
from recipe_mtlvae.inference import export
from recipe_mtlvae.inference.detector import Detector
from recipe_mtlvae.inference.windows import cut_windows, value_pieces
from recipe_mtlvae.inputs.embeddings import EmbeddingsInput
from recipe_mtlvae.inputs.encoders.yamnet import YAMNet
from recipe_mtlvae.inputs.registry import inputs_of
from recipe_mtlvae.inputs.transforms import Transforms
from tests.test_yamnet import keras_file
from tests.tiny import AUDIO, RATE, make_tiny_corpus, tiny_conf

SETTINGS = ("vae.sees=[embeddings]", "vae.hidden=8", "vae.latent=4", "train.max_epochs=1", "train.epoch_steps=1")


@pytest.fixture
def conf(weights):
    return tiny_conf(*SETTINGS, f"encoder.weights={weights}")


def source_of(conf) -> EmbeddingsInput:
    return inputs_of(conf)["embeddings"]


def test_a_row_holds_four_two_and_one_steps_of_the_layers(conf):
    source = source_of(conf)
    waveform = torch.randn(1, 3 * 5120) * 0.1
    rows = source.transform()(waveform)
    fine, middle, coarse = source.encoder.net()(waveform)
    assert rows.shape == (1, source.width, 3) == (1, 3072, source.steps(3 * 5120))
    assert torch.equal(rows[0, 256:512, 2], fine[0, 9])  # the second of row 2's four
    assert torch.equal(rows[0, 1024 + 512 : 2048, 1], middle[0, 3])
    assert torch.equal(rows[0, 2048:, 0], coarse[0, 0])


def test_on_the_grid_each_layer_is_interpolated_between_its_true_centres(conf):
    """Each layer holds the times of its steps, so on the grid every channel has the time of the grid step."""
    source, rows = source_of(conf), 8
    layers = []
    for first, step, repeats, channels in ((0.0825, 0.08, 4, 256), (0.1625, 0.16, 2, 512), (0.3225, 0.32, 1, 1024)):
        times = first + step * torch.arange(rows * repeats)
        layers.append(times.reshape(rows, repeats, 1).expand(-1, -1, channels).reshape(rows, -1))
    values = torch.cat(layers, dim=1).T[None]
    grid = source.on_grid(values, 30)
    middles = (torch.arange(30) + 0.5) * 0.064
    assert grid.shape == (1, 1792, 30)
    for channel, first in ((0, 0.0825), (256, 0.1625), (768, 0.3225)):  # before a layer's first centre it is constant
        assert torch.allclose(grid[0, channel], middles.clamp(min=first), atol=1e-5)


def test_a_long_recording_in_pieces_has_the_rows_of_the_whole(conf):
    source = source_of(conf)
    samples = np.random.default_rng(0).normal(0, 0.1, 60 * 5120).astype(np.float32)
    whole = source.transform()(torch.from_numpy(samples)[None])[0]
    source.piece = 16 * 5120
    pieces = torch.cat(list(value_pieces([samples], source, source.transform())), dim=1)
    assert torch.allclose(pieces, whole, atol=1e-3 * whole.abs().max())


def test_the_transform_without_complex_numbers_gives_the_same_embeddings(conf):
    source, waveform = source_of(conf), torch.randn(1, 12_345) * 0.1
    assert torch.allclose(source.transform(real=True)(waveform), source.transform()(waveform), rtol=1e-3, atol=1e-4)


def test_windows_of_a_long_recording_are_stretches_of_the_whole(conf):
    """Windows may begin within a row of 320 ms; every layer is still interpolated between its own centres."""
    source, transforms = source_of(conf), Transforms(conf)
    samples = np.random.default_rng(0).normal(0, 0.1, 5 * RATE).astype(np.float32)
    whole = source.on_grid(source.transform()(torch.from_numpy(samples)[None]), 78)[0]
    windows = list(cut_windows([samples], transforms, 31))
    assert [window.first_step for window in windows] == [0, 15, 30, 45, 46]
    for window in windows[1:]:
        inner = window.values["embeddings"][:, 5:-5]  # near the ends, a layer repeats its outermost step
        expected = whole[:, window.first_step + 5 : window.first_step + 26]
        assert torch.allclose(inner, expected, atol=1e-3 * whole.abs().max())


def test_mixing_embeddings_takes_their_maximum_or_with_factors_their_weighted_sum(conf):
    one, other = torch.tensor([[1.0, 0.0]]), torch.tensor([[0.5, 2.0]])
    assert source_of(conf).mix(one, other).tolist() == [[1.0, 2.0]]
    assert source_of(conf).mix(one, other, 0.75, 0.25).tolist() == [[0.875, 0.5]]


def test_a_checkpoint_with_other_weights_of_the_encoder_is_refused(conf):
    for saved in ({"layers.0.weight": torch.zeros(3)}, [1], {"classifier.bias": "x"}):
        source = inputs_of(conf, saved)["embeddings"]
        with pytest.raises(RecipeError, match="the checkpoint's weights are not YAMNet's"):
            source.transform()


def test_weights_in_a_checkpoint_that_are_not_finite_are_refused(conf):
    weights = source_of(conf).encoder.state
    weights = {**weights, "classifier.bias": weights["classifier.bias"] * float("nan")}
    with pytest.raises(RecipeError, match="the checkpoint's weights of YAMNet are not all finite"):
        inputs_of(conf, weights)["embeddings"].transform()


def test_damaged_weights_stop_stage_0_before_it_looks_for_the_corpus(tmp_path, monkeypatch):
    (tmp_path / "yamnet.h5").write_bytes(b"cut")
    settings = [f"--set={setting}" for setting in ("vae.sees=[embeddings]", f"encoder.weights={tmp_path}/yamnet.h5")]
    monkeypatch.setattr("sys.argv", ["prepare", f"--data_root={tmp_path}/none", f"--exp_dir={tmp_path}", *settings])
    with pytest.raises(RecipeError, match=r"yamnet\.h5: not an HDF5 file, or a damaged one"):
        prepare.main()
    assert not (tmp_path / "none").exists()


def test_the_key_of_a_store_depends_on_the_weights(conf, tmp_path):
    other = tmp_path / "other.h5"
    torch.manual_seed(1)
    keras_file(other, YAMNet())
    assert source_of(conf).key != source_of(tiny_conf(*SETTINGS, f"encoder.weights={other}")).key


def test_a_checkpoint_detects_without_the_file_of_weights(weights, tmp_path):
    moved = tmp_path / "yamnet.h5"
    moved.write_bytes(weights.read_bytes())
    pytest.importorskip("onnxruntime")
    conf = tiny_conf(*SETTINGS, f"encoder.weights={moved}")
    root = make_tiny_corpus(tmp_path / "corpus", conf)
    train(Stage(1, conf, root, tmp_path / "run"))
    expected = Detector.load(tmp_path / "run" / "best.ckpt").detect(root / AUDIO / "validation_1.wav").scores
    moved.unlink()
    detector = Detector.load(tmp_path / "run" / "best.ckpt", device="cpu")
    assert np.array_equal(detector.detect(root / AUDIO / "validation_1.wav").scores, expected)
    for kind in ("torchscript", "onnx"):  # which agree with Python on shorter and longer clips
        assert "within" in export.export(detector, kind, tmp_path / "model")


def test_without_weights_one_line_says_where_they_come_from():
    with pytest.raises(RecipeError, match=r"embeddings need the encoder's weights; stage 0 fetches them; or give"):
        _ = source_of(tiny_conf(*SETTINGS)).key


def test_another_sample_rate_is_refused(weights):
    with pytest.raises(RecipeError, match="expected 16000 with embeddings, got 8000"):
        inputs_of(
            tiny_conf(*SETTINGS, "features.sample_rate=8000", "features.f_max=4000", f"encoder.weights={weights}")
        )
