"""YAML files and settings laid over each other, with errors that name file, line and key."""

from __future__ import annotations

import functools
import sys
from pathlib import Path
from typing import Any

import yaml

from recipe_mtlvae.errors import fail

# Keys by the names that they had in earlier versions; read still, with a hint
RENAMED = {"features.mels": "n_mels", "features.hop": "hop_length"}
# Mappings whose keys are the user's own, such as the splits of a corpus; a list takes these ones of them
_OPEN_MAPPINGS = ("data.splits", "fetch.archives", "fetch.splits", "fetch.soundscapes")


def load_yaml(text: str) -> Any:
    """What a YAML text holds. Raises YAMLError, also for values that only PyYAML's constructors choke on."""
    try:
        return yaml.safe_load(text)
    except (ArithmeticError, AttributeError, LookupError, RecursionError, TypeError, ValueError) as error:
        raise yaml.YAMLError(f"a value that cannot be read ({str(error)[:80]})") from None


def yaml_problem(error: yaml.YAMLError) -> tuple[str, int | None]:
    """What is wrong, and in which line, counted from 1."""
    mark = getattr(error, "problem_mark", None)
    return getattr(error, "problem", None) or str(error)[:120], mark and mark.line + 1


def read_yaml(file: Path) -> dict[str, Any]:
    """A file that holds a mapping. Raises RecipeError for any other."""
    try:
        content = load_yaml(file.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise fail("no such configuration file", "the shipped ones are in the folder conf", file) from None
    except UnicodeDecodeError:
        raise fail("not valid YAML: not text", path=file) from None
    except yaml.YAMLError as error:
        problem, line = yaml_problem(error)
        raise fail(f"not valid YAML: {problem}", path=file, line=line) from None
    if not isinstance(content, dict):
        raise fail(f"expected a mapping of configuration keys, got {type(content).__name__}", path=file)
    return content


def setting_delta(setting: str) -> dict[str, Any]:
    """`key.path=value`, the value in YAML, as a nested dict."""
    key, equals, value = setting.partition("=")
    if not equals or not key:
        raise fail(f"--set {setting}: expected key.path=value")
    try:
        delta = load_yaml(value)
    except yaml.YAMLError:
        raise fail(f"--set {setting}: the value is not valid YAML", "quote it") from None
    for name in reversed(key.split(".")):
        delta = {name: delta}
    return delta


def merge(content: dict[str, Any], delta: dict[str, Any], source: Path | str, prefix: str = "") -> None:
    """Lay `delta` over `content` in place; a key that base.yaml does not have is an error.

    A split that is null is left out.
    """
    for key, value in delta.items():
        name = f"{prefix}{key}"
        if new := RENAMED.get(name):
            _hint_renamed(name, new)
            key, name = new, f"{prefix}{new}"
        if value is None and prefix.rstrip(".") in _OPEN_MAPPINGS:
            content.pop(key, None)
            continue
        if key not in content and prefix.rstrip(".") not in _OPEN_MAPPINGS:
            path, line = (source, _line_of(source, name)) if isinstance(source, Path) else (source, None)
            known = ", ".join(str(known) for known in content)
            raise fail(f"unknown key '{name}'", f"the keys there are: {known}", path, line)
        if isinstance(content.get(key), dict) and isinstance(value, dict):
            merge(content[key], value, source, f"{name}.")
            continue
        if name in _OPEN_MAPPINGS and isinstance(value, list):
            content[key] = _chosen(content[key], value, name)
            continue
        if key in content:
            _check_kind(content[key], value, name, source)
        content[key] = value


@functools.cache
def _hint_renamed(name: str, new: str) -> None:
    """Once a process, whatever number of files still has it."""
    print(f"hint: the key {name} is called {new} now", file=sys.stderr)


def _chosen(mapping: dict[str, Any], keys: list[Any], name: str) -> dict[str, Any]:
    """These entries of an open mapping, in its own order."""
    if unknown := [key for key in keys if key not in mapping]:
        raise fail(f"'{name}': there is no {', '.join(map(repr, unknown))}", f"expected some of {', '.join(mapping)}")
    if not keys:
        raise fail(f"'{name}': expected at least one of {', '.join(mapping)}")
    return {key: entry for key, entry in mapping.items() if key in keys}


def _check_kind(old: Any, new: Any, name: str, source: Path | str) -> None:
    """A mapping is replaced by a mapping only; scalar types are checked where the dataclass is built."""
    if isinstance(old, dict) != isinstance(new, dict) and old is not None:
        path, line = (source, _line_of(source, name)) if isinstance(source, Path) else (source, None)
        expected = "a mapping" if isinstance(old, dict) else "a value"
        raise fail(f"'{name}': expected {expected}, got {new!r}", path=path, line=line)


def _line_of(file: Path, name: str) -> int | None:
    """The line, counted from 1, on which the dotted key `name` stands in a YAML file."""
    node = yaml.compose(file.read_text(encoding="utf-8"), Loader=yaml.SafeLoader)
    line = None
    for part in name.split("."):
        for key, value in getattr(node, "value", []):
            if str(key.value) == part:
                line, node = key.start_mark.line + 1, value
                break
    return line
