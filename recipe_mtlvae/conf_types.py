"""Nested mappings, as YAML gives them, checked and built into dataclasses by their type hints."""

from __future__ import annotations

import contextlib
import dataclasses
import types
import typing
from pathlib import Path
from typing import Any, TypeVar

from recipe_mtlvae.conf_files import read_yaml
from recipe_mtlvae.errors import RecipeError, fail

T = TypeVar("T")


def load_as(cls: type[T], file: Path) -> T:
    """A YAML file of another kind, such as a submission profile, as the dataclass `cls`; every key must be there.

    Raises RecipeError naming the file and key at fault.
    """
    try:
        return build(cls, read_yaml(file))
    except RecipeError as error:
        faults = (fault if fault.path else dataclasses.replace(fault, path=file) for fault in error.faults)
        raise RecipeError(*faults) from None


def build(cls: type[T], content: Any, prefix: str = "") -> T:
    """`content`, a mapping, as the dataclass `cls`: every field a key, nested dataclasses nested mappings.

    prefix: of the names in errors. Raises RecipeError naming the keys that are missing, unknown or of a wrong type.
    """
    if not isinstance(content, dict):
        raise fail(f"'{prefix.rstrip('.')}': expected a mapping, got {content!r}")
    hints = typing.get_type_hints(cls)
    missing = [prefix + name for name in hints if name not in content]
    unknown = [prefix + str(name) for name in content if name not in hints]
    if missing or unknown:
        parts = [f"missing {', '.join(missing)}"] * bool(missing) + [f"unknown {', '.join(unknown)}"] * bool(unknown)
        raise fail("configuration keys: " + ", ".join(parts))
    return cls(**{name: _convert(hint, content[name], prefix + name) for name, hint in hints.items()})


def _convert(hint: Any, value: Any, name: str) -> Any:
    """`value` as the type `hint`, or a RecipeError that names the key."""
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if origin is types.UnionType:
        return None if value is None else _convert(arguments[0], value, name)
    if dataclasses.is_dataclass(hint):
        return build(hint, value, f"{name}.")
    if origin is dict and isinstance(value, dict):
        return {str(key): _convert(arguments[1], item, f"{name}.{key}") for key, item in value.items()}
    if origin is tuple and isinstance(value, (list, tuple)):
        return tuple(_convert(arguments[0], item, f"{name}[{i}]") for i, item in enumerate(value))
    if hint is float and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    if hint is float and isinstance(value, str):
        with contextlib.suppress(ValueError):
            return float(value)  # YAML takes 5e-4, without a point, for text
    if origin is None and type(value) is hint:
        return value
    expected = getattr(hint, "__name__", str(hint)) if origin is None else {dict: "a mapping", tuple: "a list"}[origin]
    raise fail(f"configuration key '{name}': expected {expected}, got {value!r} ({type(value).__name__})")
