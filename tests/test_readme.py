"""README.md: each command is accepted as written, and what it names exists. Other tests check what the commands do."""

from __future__ import annotations

import argparse
import ast
import contextlib
import functools
import importlib
import io
import itertools
import json
import re
import subprocess
import sys
import tomllib
from importlib.util import find_spec
from pathlib import Path

import pytest
from PIL import Image

import local.stage
from local.mini.clip import ORIGINS
from recipe_mtlvae.__main__ import _run as package_command
from recipe_mtlvae.conf import data_file, load_conf
from recipe_mtlvae.errors import RecipeError
from tests.benchmarks.items import ITEMS
from tests.readme import FENCED, PLACEHOLDER, PROJECT, PROSE, TEXT, Command, commands, extras, paths
from tests.readme_picture import PICTURE, points

COMMANDS = commands()
OF_RUN_SH = {"--stage": "0", "--stop_stage": "5", "--baseline": "none"}  # values for placeholders that run.sh checks


class Parsed(BaseException):
    """Raised to end a program once its options are read; holds the parser and the parsed options."""


@functools.cache
def parsed(command: Command) -> tuple[argparse.ArgumentParser | None, argparse.Namespace]:
    take = argparse.ArgumentParser.parse_args

    def parse_args(self: argparse.ArgumentParser, args: list[str] | None = None) -> None:
        for part in (*self._actions, *self._mutually_exclusive_groups):
            part.required = part.required and command.whole
            if kind := getattr(part, "type", None):
                part.type = lambda text, kind=kind: text if PLACEHOLDER.search(text) else kind(text)
        raise Parsed(self, take(self, args))

    said, refused = io.StringIO(), None
    with pytest.MonkeyPatch.context() as patch, contextlib.redirect_stderr(said), contextlib.redirect_stdout(said):
        patch.setattr(argparse.ArgumentParser, "parse_args", parse_args)
        try:
            call(command, patch)
        except Parsed as end:
            return end.args
        except SystemExit as end:
            refused = end.code
    assert not refused, f"{command.where}: {said.getvalue()}"
    return None, argparse.Namespace()


def call(command: Command, patch: pytest.MonkeyPatch) -> None:
    words, module = list(command.words), command.program.removeprefix("-m ").replace("/study.sh", ".study")
    if module in ("recipe_mtlvae", "recipe-mtlvae"):
        return package_command(*words)
    if module == "./run.sh":
        words, module = through_run_sh(command), "local.stage"
    spec = find_spec(module)
    if spec and spec.submodule_search_locations:
        spec = find_spec(f"{module}.__main__")
    assert spec, f"{command.where}: no module {module}"
    source = Path(spec.origin).read_text(encoding="utf-8")
    if "open_stage(" in source:  # all stages share one parser and are slow to import
        local.stage._parser("").parse_args(words)
    elif "ArgumentParser(" in source:
        patch.setattr(sys, "argv", [module, *words])
        importlib.import_module(spec.name).main()
    assert not words, f"{command.where}: it has no options"


def through_run_sh(command: Command) -> list[str]:
    """Return the options that run.sh gives to every stage."""
    words = [word for text in command.words for word in (text.split("=", 1) if text.startswith("--") else [text])]
    for place, (option, value) in enumerate(itertools.pairwise(words), start=1):
        if option == "--baseline_checkpoint":
            words[place] = str(PROJECT / "README.md")  # any file
        elif PLACEHOLDER.search(value):
            words[place] = OF_RUN_SH.get(option, value)
    script = 'source local/parse_options.sh; parse_options "$@"; printf "%s\\0" "${STAGE_OPTIONS[@]}"'
    done = subprocess.run(["bash", "-c", script, "run.sh", *words], cwd=PROJECT, capture_output=True, text=True)
    assert done.returncode == 0, f"{command.where}: {done.stderr}"
    return [] if "--help" in words else [word for word in done.stdout.split("\0") if word]


@pytest.mark.parametrize("command", COMMANDS, ids=str)
def test_a_command_is_accepted(command: Command) -> None:
    _, options = parsed(command)
    if command.program == "-m tests.benchmarks":
        assert {item for item in options.items if not PLACEHOLDER.search(item)} <= ITEMS.keys(), command.where


@pytest.mark.parametrize("command", [one for one in COMMANDS if one.program != "./run.sh"], ids=str)
def test_the_help_of_a_command_names_its_options(command: Command) -> None:
    parser, _ = parsed(command)
    told = re.findall(r"--[\w-]+", parser.format_help() if parser else "--help")
    assert {word.partition("=")[0] for word in command.words if word.startswith("--")} <= {*told}, command.where


@pytest.mark.parametrize("command", [one for one in COMMANDS if "--set" in str(one)], ids=str)
def test_settings_are_keys_whose_values_load(command: Command) -> None:
    options = vars(parsed(command)[1])
    data = PROJECT / data_file(options.get("data", "mini"))
    files = [data if data.is_file() else data_file("mini")]  # own.yaml is a file of the reader
    files += [PROJECT / file for file in [options.get("conf")] if file and not PLACEHOLDER.search(file)]
    ready = [setting for setting in options["settings"] if not PLACEHOLDER.search(setting)]
    assert not fault(files, ready), command.where
    for key in {setting.partition("=")[0] for setting in options["settings"] if PLACEHOLDER.search(setting)}:
        assert PLACEHOLDER.search(f"{key}=") or "unknown key" not in fault(files, [f"{key}=null"]), command.where


def fault(files: list[Path], settings: list[str]) -> str:
    try:
        conf = load_conf(*files, settings=settings)
    except RecipeError as error:
        return str(error)
    return ", ".join(f"unknown key mini.{name}" for name in (conf.mini or {}).keys() - ORIGINS.keys())


@pytest.mark.parametrize("extra", sorted(extras()))
def test_an_extra_is_one_of_the_package(extra: str) -> None:
    assert extra in tomllib.loads((PROJECT / "pyproject.toml").read_text())["project"]["optional-dependencies"]


@pytest.mark.parametrize("path", sorted(paths()))
def test_a_path_exists(path: str) -> None:
    line = TEXT[: TEXT.find(path.removeprefix("conf/submission/").removesuffix(".yaml"))].count("\n") + 1
    assert (PROJECT / path).exists(), f"README.md:{line}: {path}"


def test_pictures_and_linked_files_exist() -> None:
    links = re.findall(r"(?:\]\(|\bsrc=\"|\bsrcset=\")([^)\s#\"]+)", PROSE)
    assert [link for link in links if "://" not in link and not (PROJECT / link).exists()] == []


def test_the_names_that_its_python_imports_exist() -> None:
    trees = [ast.parse(block[2]) for block in FENCED.finditer(TEXT) if block[1] == "python"]
    nodes = [node for tree in trees for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)]
    names = [(node.module, name.name) for node in nodes for name in node.names if node.module.startswith("recipe_")]
    assert [name for name in names if not hasattr(importlib.import_module(name[0]), name[1])] == []


def test_the_picture_shows_the_numbers_of_the_table():
    """`python -m tests.readme_picture` draws the picture again."""
    drawn = json.loads(Image.open(PICTURE).info["Description"])
    assert drawn == {
        corpus: {name: list(both) for name, both in systems.items()} for corpus, systems in points().items()
    }
    assert drawn["ESC-10, recordings"]["baseline (mean-teacher CRNN)"] == [1.0, 0.156]
