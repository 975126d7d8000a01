"""Configurations that would take all memory or never end are refused before they are built."""

from __future__ import annotations

import os

import pytest

from recipe_mtlvae.conf import conf_from_dict, load_conf
from recipe_mtlvae.errors import RecipeError


def bomb(levels: int = 9) -> str:
    """Return YAML of about 300 bytes that stands for 9 ** levels values."""
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 9)}]" for i in range(1, levels)]
    return "\n".join(lines)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (bomb(), "delta.yaml: not valid YAML: expected at most 50,000 values"),
        ("data: &d {classes: *d}", "not valid YAML"),
        ("# " + "x" * 2**20, "expected at most 1,048,576 characters"),
    ],
    ids=["aliases of aliases", "holds itself", "huge"],
)
def test_a_file_that_would_fill_the_memory_is_refused_before_it_is_built(tmp_path, text, words):
    (tmp_path / "delta.yaml").write_text(text)
    with pytest.raises(RecipeError, match=words):
        load_conf(tmp_path / "delta.yaml")


def test_a_setting_of_aliases_is_refused():
    with pytest.raises(RecipeError, match="not valid YAML"):
        load_conf(settings=["data.classes={" + bomb().replace("\n", ", ") + "}"])


def test_a_dict_whose_shared_lists_stand_for_too_many_values_is_refused():
    content: list = ["x"]
    for _ in range(40):
        content = [content, content]
    with pytest.raises(RecipeError, match="more than 50,000 values"):
        conf_from_dict({"data": {"classes": content}})


def test_a_pipe_is_no_configuration(tmp_path):
    os.mkfifo(tmp_path / "pipe.yaml")
    with pytest.raises(RecipeError, match=r"pipe.yaml: expected a configuration file"):
        load_conf(tmp_path / "pipe.yaml")


def test_a_setting_of_too_many_levels_is_refused():
    with pytest.raises(RecipeError, match=r"\.\.\.: expected key\.path=value"):
        load_conf(settings=["a." * 3000 + "b=1"])
    with pytest.raises(RecipeError, match=r"not valid YAML|unknown key 'a'"):
        load_conf(settings=["a=" + "{a: " * 400 + "1" + "}" * 400])
