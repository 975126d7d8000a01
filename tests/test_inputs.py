"""A new input with its own rate and width needs one file, one line in the registry and its name in the network."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from local.stage import Stage
from local.train import train
from recipe_mtlvae.audio.decoding import read_audio
from recipe_mtlvae.corpus.splits import Corpus
from recipe_mtlvae.inference import export
from recipe_mtlvae.inference.detector import Detector
from recipe_mtlvae.inference.live import LiveDetector
from recipe_mtlvae.inference.windows import cut_windows
from recipe_mtlvae.inputs.prepared import open_split
from recipe_mtlvae.inputs.registry import INPUTS, inputs_of
from recipe_mtlvae.inputs.transforms import Transforms
from recipe_mtlvae.nets import mtlvae
from recipe_mtlvae.nets.prediction import Prediction
from recipe_mtlvae.nets.vae import MTLVAE, VAEOutput
from tests.tiny import AUDIO, RATE, make_tiny_corpus, tiny_conf

CONF = tiny_conf("train.max_epochs=1", "train.epoch_steps=1", "vae.hidden=8", "vae.latent=4")
FRAMES = 4  # per output step


class WithEnergy(MTLVAE):
    """A network that adds the energy of each step to its log-mel frames."""

    def forward(self, log_mel: Tensor, energy: Tensor, rows: dict[str, slice] | None = None) -> VAEOutput:
        return super().forward(louder(log_mel, energy), rows)

    def encode(self, log_mel: Tensor, energy: Tensor | None = None) -> tuple[Tensor, Tensor]:
        return super().encode(log_mel if energy is None else louder(log_mel, energy))

    def predict(self, log_mel: Tensor, energy: Tensor) -> Prediction:
        return super().predict(louder(log_mel, energy))


def louder(log_mel: Tensor, energy: Tensor) -> Tensor:
    frames = energy.repeat_interleave(FRAMES, dim=2)
    return log_mel[:, :, : frames.shape[2]] + frames


@pytest.fixture(autouse=True)
def energy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(INPUTS, "energy", ("tests.energy_input", "EnergyInput"))
    monkeypatch.setattr(mtlvae, "inputs", lambda conf: ("log_mel", "energy"))
    monkeypatch.setattr(mtlvae, "build", lambda conf, classes: WithEnergy(classes, hidden=8, latent=4))


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return make_tiny_corpus(tmp_path / "corpus", CONF)


def test_each_input_has_its_own_store(root):
    split = open_split(Corpus(CONF, root), "validation")
    assert [store.shape for store in split.stores.values()] == [(128, 126), (1, 7)]
    assert len({store.folder.parent for store in split.stores.values()}) == 2
    samples = read_audio(root / AUDIO / "validation_1.wav", RATE, 2.0).samples
    expected = [np.square(samples[first : first + 5120]).mean() for first in range(0, 30720, 5120)]
    np.testing.assert_allclose(split.stores["energy"].read([1])[0, 0, :6], expected, rtol=1e-3)


def test_a_system_with_the_new_input_trains_detects_and_is_exported(root, tmp_path):
    train(Stage(1, CONF, root, tmp_path / "run"))
    detector = Detector.load(tmp_path / "run" / "best.ckpt", device="cpu")
    clip = root / AUDIO / "validation_1.wav"
    waveform = torch.from_numpy(read_audio(clip, RATE, 2.0).samples)[None]
    inputs = Transforms(CONF)(waveform)
    assert inputs["energy"].shape == (1, 1, 31)
    expected = detector.net.predict(**inputs).strong[0].numpy()
    np.testing.assert_array_equal(detector.detect(clip).scores, expected)
    with_others = detector.net.predict(inputs["log_mel"], 0.0 * inputs["energy"]).strong[0].numpy()
    assert not np.allclose(expected, with_others)  # the energy changes the scores
    assert np.isfinite(detector.detect(np.tile(waveform[0].numpy(), 4), RATE).scores).all()
    assert "within" in export.export(detector, "torchscript", tmp_path / "model.pt")
    live = LiveDetector(detector, RATE, 0.5)
    list(live.feed(waveform[0].numpy()))
    list(live.finish())


def test_a_window_of_a_long_recording_begins_between_the_steps_of_a_slower_input(tmp_path):
    """The energy grows by 0.01 every 320 ms, linearly in between; a window has its value at its own steps of 64 ms."""
    levels = np.sqrt(0.01 * np.arange(20)).astype(np.float32).repeat(5120)
    windows = {window.first_step: window.values["energy"][0] for window in cut_windows([levels], Transforms(CONF), 31)}
    firsts = sorted(windows)
    assert firsts[:3] == [0, 15, 30] and windows[15][:3].tolist() == pytest.approx([0.026, 0.028, 0.03])
    for first in firsts:
        expected = [0.01 * ((first + step + 0.5) / 5 - 0.5) for step in range(31)]
        assert windows[first].tolist()[2:-2] == pytest.approx(expected[2:-2], abs=1e-6)


def test_shift_rotates_all_inputs_alike(root):
    from recipe_mtlvae.inputs.augment import augment
    from recipe_mtlvae.inputs.batches import MultiTaskData, TaskData
    from recipe_mtlvae.labels import Grid

    grid = Grid.of(CONF.features, CONF.data.clip_seconds)
    data = TaskData(open_split(Corpus(CONF, root), "weak"), grid, CONF.data.classes)
    batch = MultiTaskData({"weak": data})[{"weak": [0, 1]}]
    before = {name: values.float() for name, values in batch.inputs.items()}
    torch.manual_seed(1)
    augment(batch, tiny_conf("augment.shift=1.0"), {"weak": "weak"})
    turned = [
        next(n for n in range(31) if torch.equal(batch.inputs[name], _turned(values, n * each, 31 * each)))
        for (name, values), each in zip(before.items(), (4, 1), strict=True)
    ]
    assert turned[0] == turned[1] > 0
    assert inputs_of(CONF).keys() == {"log_mel", "energy"}


def _turned(values: Tensor, by: int, whole: int) -> Tensor:
    return torch.cat([values[:, :, :whole].roll(by, 2), values[:, :, whole:]], dim=2)
