"""A user's own encoders as ONNX files, and embeddings from the HDF5 files of the baseline's toolkit."""

from __future__ import annotations

import sys
import warnings
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from local import predict, prepare
from local.stage import Stage, open_stage
from local.train import train
from recipe_mtlvae.errors import RecipeError
from recipe_mtlvae.inference import export
from recipe_mtlvae.inference.detector import Detector
from recipe_mtlvae.inference.windows import value_pieces
from recipe_mtlvae.inputs.registry import inputs_of
from recipe_mtlvae.nets.checkpoint import load_checkpoint
from tests.tiny import AUDIO, RATE, SETTINGS, make_tiny_corpus, tiny_conf

SMALL = ("vae.sees=[embeddings]", "vae.hidden=8", "vae.latent=4", "train.max_epochs=1", "train.epoch_steps=1")
FRAME = 640  # samples: 25 frames a second


class Frames(nn.Module):
    """An encoder that gives the mean and the mean square of each whole frame of FRAME samples."""

    def forward(self, waveform: torch.Tensor) -> torch.Tensor:
        frames = waveform[..., : waveform.shape[-1] // FRAME * FRAME].unflatten(-1, (-1, FRAME))
        return torch.stack([frames.mean(-1), frames.square().mean(-1)], dim=-1)


def exported(path: Path, net: nn.Module, *given: torch.Tensor) -> Path:
    pytest.importorskip("onnxruntime")
    axes = {"waveform": {given[0].ndim - 1: "samples"}}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(net, given, str(path), input_names=["waveform"], dynamic_axes=axes, dynamo=False)
    return path


@pytest.fixture(scope="module")
def own(tmp_path_factory) -> Path:
    return exported(tmp_path_factory.mktemp("encoder") / "own.onnx", Frames(), torch.zeros(1, 32_000))


def onnx_settings(file: Path, *more: str) -> tuple[str, ...]:
    given = ("encoder.name=onnx", f"encoder.weights={file}", "encoder.width=2", "encoder.frame_rate=25")
    return (*SMALL, *given, "encoder.first_centre=0.02", *more)


def source_of(*settings: str):
    return inputs_of(tiny_conf(*settings))["embeddings"]


@pytest.mark.parametrize("dimensions", [1, 2])
def test_a_users_encoder_gives_its_frames_at_their_centres(tmp_path, dimensions):
    file = exported(tmp_path / "own.onnx", Frames(), torch.zeros(*(1,) * (dimensions - 1), 32_000))
    source = source_of(*onnx_settings(file))
    level = (torch.arange(50).repeat_interleave(FRAME) * 0.01)[None].float()  # frame n is 0.01 n
    values = source.transform()(level[:, :-100])  # the last frame is incomplete: the one before is repeated
    assert values.shape == (1, 2, 50) == (1, *source.shape)
    assert values[0, 0].tolist() == pytest.approx([*(0.01 * n for n in range(49)), 0.48], abs=1e-6)
    grid = source.on_grid(values, 31)
    middles = (np.arange(31) + 0.5) * 0.064  # s; frame n is centred on 0.02 + 0.04 n
    assert grid[0, 0].tolist()[1:-1] == pytest.approx([0.01 * (t - 0.02) / 0.04 for t in middles[1:-1]], abs=1e-6)


def test_a_system_on_a_users_encoder_trains_and_detects_with_that_file_only(own, tmp_path):
    file = tmp_path / "own.onnx"
    file.write_bytes(own.read_bytes())
    conf = tiny_conf(*onnx_settings(file))
    root = make_tiny_corpus(tmp_path / "corpus", conf)
    train(Stage(1, conf, root, tmp_path / "run"))
    detector = Detector.load(tmp_path / "run" / "best.ckpt", device="cpu")
    long = np.random.default_rng(0).normal(0, 0.1, 5 * RATE).astype(np.float32)
    assert detector.detect(long, RATE).scores.shape == (77, 2)
    with pytest.raises(RecipeError, match="an exported file can hold no encoder but yamnet"):
        export.export(detector, "torchscript", tmp_path / "model.pt")
    exported(file, nn.Sequential(nn.Identity(), Frames(), nn.ReLU()), torch.zeros(1, 32_000))
    inputs = inputs_of(conf, load_checkpoint(tmp_path / "run" / "best.ckpt").encoder)
    from recipe_mtlvae.inputs.encoders.encoder import file_hash

    file_hash.cache_clear()
    for kept in (inputs, inputs_of(conf, ["not", "a", "hash"])):
        with pytest.raises(RecipeError, match=r"own\.onnx: not the encoder that the checkpoint was trained on"):
            kept["embeddings"].transform()


class AtMostAClip(nn.Module):
    """Frames with learned positions, which exist only up to the length of a clip (2 s)."""

    def __init__(self) -> None:
        super().__init__()
        self.positions = nn.Parameter(torch.zeros(50, 2))

    def forward(self, waveform: torch.Tensor) -> torch.Tensor:
        frames = Frames()(waveform)
        numbers = (0 * frames[0, :, 0] + 1).cumsum(0).long() - 1  # ones_like would have a constant length
        return frames + self.positions[numbers]


@pytest.mark.parametrize("context", [1.0, 0.2])
def test_no_more_of_a_long_recording_than_a_clip_is_given_to_the_encoder_at_once(tmp_path, monkeypatch, context):
    monkeypatch.setattr("recipe_mtlvae.inputs.encoders.onnx_file.CONTEXT", context)
    source = source_of(*onnx_settings(exported(tmp_path / "own.onnx", AtMostAClip(), torch.zeros(1, 32_000))))
    samples = np.random.default_rng(0).normal(0, 0.1, 10 * RATE).astype(np.float32)
    values = torch.cat(list(value_pieces([samples], source, source.transform())), dim=1)
    frames = samples.reshape(-1, FRAME)
    expected = np.stack([frames.mean(axis=1), np.square(frames).mean(axis=1)])
    np.testing.assert_allclose(values.numpy(), expected, atol=1e-6)


class Pairs(nn.Module):
    def forward(self, waveform: torch.Tensor, other: torch.Tensor) -> torch.Tensor:
        return Frames()(waveform + other)


class Fast(nn.Module):
    def forward(self, waveform: torch.Tensor) -> torch.Tensor:
        return Frames()(waveform).repeat_interleave(2, dim=1)


class Clipwise(nn.Module):
    def forward(self, waveform: torch.Tensor) -> torch.Tensor:
        return Frames()(waveform).mean(dim=(0, 1))


@pytest.mark.parametrize(
    ("net", "settings", "words"),
    [
        (Frames(), ["encoder.width=3"], "encoder.width: expected 3, got frames of width 2"),
        (Fast(), [], r"encoder.frame_rate: expected about 50 frames of a clip, got 100; is it 50 a second\?"),
        (Clipwise(), [], r"and \(frames, width\) out; it gives float32 \(2,\)"),
        (Pairs(), [], r"one waveform in.*; it takes waveform tensor\(float\).*, .*tensor\(float\)"),
        (Frames(), ["encoder.frame_rate=30"], r"frame_rate=30: expected whole samples .* got 533\.333"),
        (Frames(), ["encoder.sample_rate=32000"], "features.sample_rate: expected 32000 with embeddings"),
    ],
)
def test_a_users_encoder_that_does_not_fit_its_settings_is_refused_in_one_line(tmp_path, net, settings, words):
    given = (torch.zeros(1, 32_000),) * (2 if isinstance(net, Pairs) else 1)
    file = exported(tmp_path / "own.onnx", net, *given)
    with pytest.raises(RecipeError, match=words) as error:
        source_of(*onnx_settings(file, *settings)).check()
    assert len(str(error.value).splitlines()) == 1


@pytest.mark.parametrize("beside", ["own.data", "own.onnx.data", "own.onnx_data", "weights/layer 1.bin"])
def test_weights_in_a_file_beside_an_onnx_file_are_part_of_the_key(tmp_path, beside):
    onnx = pytest.importorskip("onnx")
    keys = set()
    for number in range(3):
        file = tmp_path / str(number) / "own.onnx"
        (file.parent / beside).parent.mkdir(parents=True)
        tensors = [onnx.numpy_helper.from_array(np.full(999, number, np.float32), "weight")]
        graph = onnx.helper.make_graph([], "own", [], [], tensors)
        onnx.save(onnx.helper.make_model(graph), file, save_as_external_data=True, location=beside)
        keys.add(source_of(*onnx_settings(file)).key)
    assert len({path.read_bytes() for path in tmp_path.glob("*/own.onnx")}) == 1
    assert len(keys) == 3


def test_an_invalid_or_missing_onnx_file_is_refused(tmp_path):
    pytest.importorskip("onnxruntime")
    (tmp_path / "own.onnx").write_bytes(b"\x08\x07 not a graph")
    with pytest.raises(RecipeError, match="not an ONNX file, or a damaged one"):
        source_of(*onnx_settings(tmp_path / "own.onnx")).check()
    with pytest.raises(RecipeError, match=r"weights cannot be read \(No such file"):
        source_of(*onnx_settings(tmp_path / "none.onnx")).check()


def test_a_users_encoder_without_its_frame_rate_is_refused():
    with pytest.raises(RecipeError, match=r"encoder.frame_rate': expected a value with encoder.name=onnx"):
        tiny_conf("encoder.name=onnx", "encoder.weights=x.onnx", "encoder.width=2")


TOOLKIT = {
    "synthetic_train": ["synth_train"],
    "strong_real": ["strong_train"],
    "weak": ["weak_train", "weak_val"],
    "unlabeled": ["unlabeled_train"],
    "synthetic_validation": ["synth_val"],
    "validation": ["devtest"],
    "public": ["public"],
    "evaluation": ["evaluation"],
}


def write_hdf5(path: Path, stems: list[str], frames: int, ragged: bool = False, width: int = 6) -> None:
    """Write embeddings whose frames hold the last digit of the name of their clip, plus 0.1 c in channel c."""
    h5py = pytest.importorskip("h5py")
    values = np.stack([np.full((width, frames), int(stem[-1])) for stem in stems]).astype(np.float32)
    values += 0.1 * np.arange(width, dtype=np.float32)[:, None]
    with h5py.File(path, "w") as file:
        if ragged:
            data = file.create_dataset("frame_embeddings", (len(stems), width), h5py.vlen_dtype(np.float32))
            for row, stem in enumerate(stems):
                file.attrs[stem] = row
                for channel in range(width):
                    data[row, channel] = values[row, channel]
        else:
            file["frame_embeddings"] = values
            file["filenames"] = np.array(stems, dtype="S64")


def toolkit_settings(folder: Path, *more: str) -> tuple[str, ...]:
    return (*SMALL, "encoder.name=toolkit", f"encoder.weights={folder}", "encoder.width=6", *more)


def toolkit_folder(folder: Path, root: Path, conf, ragged: bool, frames: int = 12) -> Path:
    folder.mkdir()
    audio = {name: split.audio for name, split in conf.data.splits.items()} | {"evaluation": "audio/eval/evaluation"}
    for split, names in TOOLKIT.items():
        stems = sorted(path.stem for path in (root / audio[split]).glob("*.wav"))
        for number, name in enumerate(names):
            write_hdf5(folder / f"{name}.hdf5", stems[number :: len(names)], frames, ragged)
    return folder


@pytest.mark.parametrize("ragged", [False, True], ids=["since 2023", "2022"])
def test_the_toolkits_files_train_and_score_prepared_splits(tmp_path, monkeypatch, ragged):
    plain = tiny_conf(*SMALL[1:])
    root = make_tiny_corpus(tmp_path / "corpus", plain, stores=False)
    folder = toolkit_folder(tmp_path / "embeddings", root, plain, ragged)
    sets = [f"--set={setting}" for setting in (*SETTINGS, *toolkit_settings(folder))]
    argv = ["x", "--data=own", f"--data_root={root}", f"--exp_dir={tmp_path}", "--tag=run", *sets]
    (tmp_path / "own.yaml").write_text("{}\n")
    argv[1] = f"--data={tmp_path / 'own.yaml'}"
    monkeypatch.setattr(sys, "argv", argv)
    prepare.main()
    stage = open_stage(1, "", argv[1:])
    train(stage)
    predict.main()
    tables = sorted((tmp_path / "run" / "scores" / "validation").glob("*.tsv"))
    assert [table.stem for table in tables] == [f"validation_{n}" for n in range(4)]
    split = predict.open_split(stage.corpus, "weak")
    row = [clip.name for clip in split.clips].index("weak_7.wav")
    assert split.stores["embeddings"].read([row])[0, 2].tolist() == pytest.approx([7.2] * 12, abs=0.01)
    with pytest.raises(RecipeError, match="trained on embeddings out of the toolkit's files: new recordings need"):
        Detector.load(tmp_path / "run" / "best.ckpt").detect(root / AUDIO / "validation_1.wav")


def test_beats_patches_of_one_time_are_averaged(tmp_path):
    conf = tiny_conf(*toolkit_settings(tmp_path, "data.splits={validation: null}"))
    source = inputs_of(conf)["embeddings"].encoder
    source.tokens = 496
    tokens = np.arange(496, dtype=np.float32).repeat(6).reshape(496, 6).T  # token 8 t + f is 8 t + f
    assert source.frames == 62
    assert source._frames(tokens)[0].tolist() == [8 * t + 3.5 for t in range(62)]
    assert (source.layers[0].step, source.layers[0].centre) == (0.16, 0.0875)


def toolkit_files(tmp_path: Path, **changes) -> None:
    for names in TOOLKIT.values():
        for name in names:
            given = {"stems": [f"{name}_{n}" for n in range(3)], "frames": 12}
            write_hdf5(tmp_path / f"{name}.hdf5", **(given | changes.get(name, {})))


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"devtest": {"width": 5}}, r"devtest.hdf5: encoder.width: expected 6, got 5"),
        ({"devtest": {"frames": 11}}, r"devtest.hdf5: expected 12 frames a clip, as in the other files, got 11"),
    ],
)
def test_files_of_another_width_or_length_are_refused(tmp_path, changes, words):
    toolkit_files(tmp_path, **changes)
    with pytest.raises(RecipeError, match=words):
        source_of(*toolkit_settings(tmp_path)).check()


@pytest.mark.parametrize("ragged", [False, True], ids=["since 2023", "2022"])
def test_embeddings_without_frames_are_refused(tmp_path, ragged):
    toolkit_files(tmp_path, **{name: {"frames": 0, "ragged": ragged} for names in TOOLKIT.values() for name in names})
    with pytest.raises(RecipeError, match="not the toolkit's embeddings, or a damaged file"):
        source_of(*toolkit_settings(tmp_path)).check()


def test_missing_clips_are_named_beside_the_clips_that_the_file_has(tmp_path):
    toolkit_files(tmp_path)
    faults = source_of(*toolkit_settings(tmp_path)).lacking("weak", ["weak_val_1.wav", "a.wav", "b.wav"])
    assert len(faults) == 1
    expected = "weak_val.hdf5: lacks 2 of the 3 clips of split 'weak': a.wav, b.wav; it has 5 others: weak_train_0, "
    assert expected in str(faults[0])


def test_a_missing_or_damaged_file_is_refused(tmp_path):
    toolkit_files(tmp_path)
    (tmp_path / "devtest.hdf5").unlink()
    with pytest.raises(RecipeError, match=r"devtest.hdf5: no file of the toolkit's embeddings of split 'validation'"):
        source_of(*toolkit_settings(tmp_path)).check()
    (tmp_path / "devtest.hdf5").write_bytes(b"cut")
    with pytest.raises(RecipeError, match=r"devtest.hdf5: not the toolkit's embeddings, or a damaged file"):
        source_of(*toolkit_settings(tmp_path)).check()
