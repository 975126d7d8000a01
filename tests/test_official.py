"""The baseline's official checkpoint: its weights are loaded, and code in it never runs."""

from __future__ import annotations

import builtins
import os
import pathlib
from collections import OrderedDict, defaultdict
from pathlib import Path

import numpy as np
import pytest
import torch

from recipe_mtlvae.errors import RecipeError
from recipe_mtlvae.nets.crnn import CRNN
from recipe_mtlvae.nets.official import in_words, load_official


def official_content(student: CRNN, teacher: CRNN) -> dict:
    """Return the entries of an official file."""
    state = OrderedDict({"mel_spec.spectrogram.window": torch.ones(4), "mel_spec.mel_scale.fb": torch.ones(4, 2)})
    for name, net in (("sed_student", student), ("sed_teacher", teacher)):
        state.update({f"{name}.{key}": value for key, value in net.state_dict().items()})
    return {
        "epoch": 1,
        "global_step": 7,
        "state_dict": state,
        "sed_student": student.state_dict(),
        "sed_teacher": teacher.state_dict(),
        "hyper_parameters": {"training": {"batch_size": [12, 12, 24]}, "net": {"nclass": 10}},
    }


def save(path: Path, classes: int = 10, **entries: object) -> tuple[Path, CRNN, CRNN]:
    student, teacher = CRNN(classes), CRNN(classes)
    torch.save({**official_content(student, teacher), **entries}, path)
    return path, student, teacher


class Call:
    """An object that pickles as a call, which unpickling would make."""

    def __init__(self, function: object, *arguments: object) -> None:
        self.call = (function, arguments)

    def __reduce__(self) -> tuple:
        return self.call


class Foreign:
    """A class like those of the trainer; unpickling an object of it would set `built`."""

    built = False

    def __setstate__(self, _: dict) -> None:
        Foreign.built = True


class ForeignDict(dict):
    pass


def one_line(error: pytest.ExceptionInfo) -> bool:
    return "\n" not in str(error.value)


@pytest.mark.parametrize("which", ["student", "teacher"])
def test_the_requested_network_is_loaded_with_its_own_weights_ready_to_predict(tmp_path, which):
    path, student, teacher = save(tmp_path / "official.ckpt")
    loaded = load_official(path, which)
    expected = {"student": student, "teacher": teacher}[which].state_dict()
    assert all(torch.equal(value, expected[name]) for name, value in loaded.state_dict().items())
    assert not loaded.training


def test_weights_at_the_top_level_alone_are_enough(tmp_path):
    path, student, _ = save(tmp_path / "official.ckpt", state_dict={})
    assert torch.equal(load_official(path).dense.weight, student.dense.weight)


def test_classes_are_counted_from_the_weights(tmp_path):
    path, *_ = save(tmp_path / "official.ckpt", classes=3)
    assert load_official(path).dense.out_features == 3


def test_other_objects_that_the_trainer_pickled_are_ignored_and_not_built(tmp_path):
    foreign = Foreign()
    foreign.setting = 1
    hyper_parameters = {
        "path": pathlib.PurePosixPath("exp"),
        "scalar": np.float64(0.5),
        "array": np.ones(2),
        "object": foreign,
        "counts": defaultdict(list, {"a": [1]}),
    }
    path, student, _ = save(
        tmp_path / "official.ckpt", hyper_parameters=hyper_parameters, callbacks={Foreign: {"best": torch.tensor(0.5)}}
    )
    assert torch.equal(load_official(path).dense.weight, student.dense.weight)
    assert not Foreign.built


@pytest.mark.parametrize(
    ("entries", "hint"),
    [
        ({"hyper_parameters": {"net": {"nclass": 27}}}, "net.nclass 27"),
        ({"hyper_parameters": {"net": {"specaugm_t_p": 0.2}}}, "net.specaugm_t_p"),
        ({"hyper_parameters": {"training": {"dropstep_recurrent": 0.0}}}, "training.dropstep_recurrent"),
        ({"pytorch-lightning_version": "2.4.0"}, "pytorch-lightning 2.4"),
        ({"pytorch-lightning_version": "1.9.5"}, None),
        ({"pytorch-lightning_version": "1.8.6", "hyper_parameters": {"net": {"nclass": 27}}}, None),
        ({"hyper_parameters": Call(builtins.eval, "1")}, None),
        ({}, None),
    ],
)
def test_the_feature_range_is_stated_with_a_hint_if_the_file_suggests_the_other_one(tmp_path, entries, hint):
    path, *_ = save(tmp_path / "official.ckpt", **entries)
    taken = "features scaled to [0, 1] (baseline_checkpoint.scale_range)"
    key = "--set baseline_checkpoint.scale_range=[-1,1]"
    asked = f"; but {hint} hints at the toolkit since May 2024: if it is from there, {key}" if hint else ""
    assert in_words(path, (0.0, 1.0)) == taken + asked
    assert in_words(path, (-1.0, 1.0)) == "features scaled to [-1, 1] (baseline_checkpoint.scale_range)"


def test_a_call_in_the_file_is_never_made(tmp_path):
    mark = tmp_path / "mark"
    path, student, _ = save(tmp_path / "evil.ckpt", hyper_parameters=Call(builtins.eval, f"open({str(mark)!r}, 'w')"))
    assert torch.equal(load_official(path).dense.weight, student.dense.weight)
    assert not mark.exists()


def test_a_file_that_names_the_operating_system_is_refused_and_not_run(tmp_path):
    mark = tmp_path / "mark"
    path, *_ = save(tmp_path / "evil.ckpt", hyper_parameters=Call(os.system, f"touch {mark}"))
    with pytest.raises(RecipeError, match=r"evil.ckpt: not a checkpoint.*nothing in it was run") as error:
        load_official(path)
    assert one_line(error)
    assert not mark.exists()


def test_weights_made_by_a_call_count_as_missing_and_the_call_is_not_made(tmp_path):
    mark = tmp_path / "mark"
    state = official_content(CRNN(), CRNN())["state_dict"]
    state["sed_student.dense.bias"] = Call(builtins.eval, f"open({str(mark)!r}, 'w')")
    path, *_ = save(tmp_path / "evil.ckpt", state_dict=state)
    with pytest.raises(RecipeError, match=r"missing: dense\.bias"):
        load_official(path)
    assert not mark.exists()


def test_a_missing_weight_is_named_in_one_line(tmp_path):
    path, *_ = save(tmp_path / "official.ckpt")
    content = torch.load(path, weights_only=True)
    del content["state_dict"]["sed_teacher.cnn.cnn.conv3.bias"]
    torch.save(content, path)
    with pytest.raises(RecipeError, match=r"official.ckpt: .*sed_teacher.*missing: cnn.cnn.conv3.bias;") as error:
        load_official(path, "teacher")
    assert one_line(error)


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("cat_tf.weight", torch.ones(2), "unknown: cat_tf.weight"),
        ("dense.weight", torch.ones(10, 7), r"of another shape: dense.weight \(10, 7\), expected \(10, 256\)"),
        ("dense.weight", torch.full((10, 256), float("nan")), "not finite: dense.weight"),
    ],
)
def test_weights_of_another_network_are_refused(tmp_path, name, value, message):
    content = official_content(CRNN(), CRNN())
    content["state_dict"][f"sed_student.{name}"] = value
    torch.save(content, tmp_path / "official.ckpt")
    with pytest.raises(RecipeError, match=message):
        load_official(tmp_path / "official.ckpt")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({"state_dict": {"net.weight": torch.ones(1)}}, "holds no weights under state_dict/sed_student"),
        ([1, 2], "expected a Lightning checkpoint, got list"),
        ({"state_dict": ForeignDict(a=1)}, "not a checkpoint"),
    ],
)
def test_a_file_of_another_kind_is_refused(tmp_path, content, message):
    torch.save(content, tmp_path / "other.ckpt")
    with pytest.raises(RecipeError, match=message) as error:
        load_official(tmp_path / "other.ckpt")
    assert one_line(error)


@pytest.mark.parametrize("content", [b"", b"not a zip\n", b"PK\x03\x04 damaged"])
def test_a_file_that_torch_did_not_write_is_refused(tmp_path, content):
    (tmp_path / "text.ckpt").write_bytes(content)
    with pytest.raises(RecipeError, match=r"text\.ckpt: not a checkpoint, or a damaged one") as error:
        load_official(tmp_path / "text.ckpt")
    assert one_line(error)


def test_a_truncated_file_is_refused(tmp_path):
    path, *_ = save(tmp_path / "official.ckpt")
    path.write_bytes(path.read_bytes()[:-1000])
    with pytest.raises(RecipeError, match="not a checkpoint, or a damaged one"):
        load_official(path)


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(RecipeError, match=r"absent\.ckpt: no such checkpoint"):
        load_official(tmp_path / "absent.ckpt")


def test_another_network_name_is_refused(tmp_path):
    with pytest.raises(RecipeError, match="expected student or teacher, got 'ema'"):
        load_official(tmp_path / "official.ckpt", "ema")
