"""Checkpoints from others: whatever a bad one holds, opening it soon fails with one line and builds nothing huge."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from recipe_mtlvae.errors import RecipeError
from recipe_mtlvae.nets.checkpoint import load_checkpoint, write_decoding
from recipe_mtlvae.nets.crnn import CRNN
from recipe_mtlvae.nets.official import load_official
from tests.tiny import save_tiny_checkpoint

FINE = {"thresholds": [0.5, 0.5], "median_filters": [7, 7]}
SHARED = "not a checkpoint of this recipe"


def opened(path: Path, content: Any) -> str:
    """Save `content`, assert that loading it fails with one short fault, and return the fault."""
    torch.save(content, path)
    with pytest.raises(RecipeError) as error:
        load_checkpoint(path)
    (fault,) = error.value.faults
    assert fault.path == path and len(str(fault)) < 2000
    return str(fault)


@pytest.fixture(scope="module")
def content(tmp_path_factory) -> dict[str, Any]:
    return torch.load(save_tiny_checkpoint(tmp_path_factory.mktemp("tiny") / "best.ckpt"), weights_only=True)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("state_dict", [torch.zeros(3)]),
        ("state_dict", {0: torch.zeros(3)}),
        ("state_dict", torch.zeros(3)),
        ("state_dict", None),
        ("epoch", None),
        ("epoch", float("inf")),
        ("epoch", torch.zeros(2)),
        ("global_step", "x"),
        ("recipe", [1]),
        ("recipe", {"format": 1, "conf": [], "classes": []}),
        ("recipe", {"format": 1, "conf": {}, "classes": 3}),
    ],
)
def test_an_entry_of_another_type_is_refused_in_one_line(content, tmp_path, key, value):
    assert "checkpoint" in opened(tmp_path / "x.ckpt", {**content, key: value})


@pytest.mark.parametrize("value", [[1.0], 3, "text", None, torch.zeros(2, 2), torch.tensor(float("nan"))])
def test_a_weight_of_another_type_shape_or_value_is_refused_in_one_line(content, tmp_path, value):
    name = next(iter(content["state_dict"]))
    weights = {**content["state_dict"], name: value}
    assert "do not fit" in opened(tmp_path / "x.ckpt", {**content, "state_dict": weights})


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_a_weight_that_is_not_finite_is_refused_since_no_event_would_be_found(content, tmp_path, value):
    name, weight = next(iter(content["state_dict"].items()))
    weights = {**content["state_dict"], name: weight.index_fill(0, torch.tensor([0]), value)}
    assert "the weights of 'net' are not all finite" in opened(tmp_path / "x.ckpt", {**content, "state_dict": weights})


@pytest.mark.parametrize("value", [[1], "text", torch.zeros(2), {0: torch.zeros(2)}])
def test_an_entry_of_the_encoder_of_another_type_is_refused_in_one_line(content, tmp_path, value):
    recipe = {**content["recipe"], "encoder": value}
    assert f"{SHARED}: ValueError encoder: expected" in opened(tmp_path / "x.ckpt", {**content, "recipe": recipe})


@pytest.mark.parametrize(
    ("field", "values"),
    [
        ("median_filters", [float("inf"), 7]),
        ("median_filters", [float("nan"), 7]),
        ("median_filters", [1e9, 7]),
        ("median_filters", [10**9 + 1, 7]),
        ("median_filters", [-1, 7]),
        ("median_filters", [4, 7]),
        ("median_filters", [[7], 7]),
        ("median_filters", None),
        ("thresholds", [float("nan"), 0.5]),
        ("thresholds", [float("inf"), 0.5]),
        ("thresholds", [-0.1, 0.5]),
        ("thresholds", {}),
        ("median_reference", {"psds": [7, 4], "events": [7, 7], "thresholds": [0.5, 0.5]}),
    ],
)
def test_a_decoding_out_of_range_is_refused_in_one_line(content, tmp_path, field, values):
    recipe = {**content["recipe"], "decoding": {"net": {**FINE, field: values}}}
    assert SHARED in opened(tmp_path / "x.ckpt", {**content, "recipe": recipe})


@pytest.mark.parametrize(
    ("section", "key", "value"),
    [
        ("features", "n_fft", 2**20),
        ("features", "hop_length", 2**20),
        ("features", "n_mels", 4096),
        ("vae", "hidden", 65536),
        ("vae", "latent", 10**9),
        ("data", "clip_seconds", 3600.0),
    ],
)
def test_a_huge_size_is_refused_before_anything_is_built(content, tmp_path, section, key, value):
    conf = {**content["recipe"]["conf"]}
    conf[section] = {**conf[section], key: value}
    line = opened(tmp_path / "x.ckpt", {**content, "recipe": {**content["recipe"], "conf": conf}})
    assert "do not fit" in line or key in line


@pytest.mark.parametrize("value", [{"recipe": {"format": 9}}, {"state_dict": {}}, [1], {"recipe": []}])
def test_writing_into_a_file_that_is_no_checkpoint_is_refused_and_leaves_it_unchanged(tmp_path, value):
    path = tmp_path / "x.ckpt"
    torch.save(value, path)
    before = path.read_bytes()
    with pytest.raises(RecipeError, match=SHARED):
        write_decoding(path, {"net": FINE})
    assert path.read_bytes() == before


def official(changes: dict[Any, Any]) -> dict[Any, Any]:
    return {f"sed_student.{name}": value for name, value in CRNN(classes=2).state_dict().items()} | changes


@pytest.mark.parametrize(
    "state",
    [
        [1],
        {0: torch.zeros(1)},
        official({"sed_student.dense.bias": torch.zeros(1).expand(10**12)}),
        official({"sed_student.dense.bias": torch.zeros(0)}),
        official({"sed_student.dense.bias": torch.zeros(2).to_sparse()}),
        official({"sed_student.dense.weight": torch.zeros(1).expand(10**6, 10**6)}),
        official({"sed_student.dense.weight": torch.zeros(2, 256).to_sparse()}),
        official({"sed_student.dense.bias": torch.zeros(2, dtype=torch.complex64)}),
        official({"sed_student.dense.bias": torch.full((2,), float("nan"))}),
        official({"sed_student.dense.bias": "text"}),
        official({"sed_student.new": torch.zeros(1)}),
    ],
)
def test_a_hostile_official_checkpoint_is_refused_in_one_line(tmp_path, state):
    torch.save({"state_dict": state}, tmp_path / "x.ckpt")
    with pytest.raises(RecipeError) as error:
        load_official(tmp_path / "x.ckpt")
    assert len(error.value.faults) == 1 and len(str(error.value)) < 2000
