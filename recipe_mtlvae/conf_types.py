"""Mappings from YAML, checked and built into frozen pydantic dataclasses: a class per section, a field per key.

`dataclasses.replace` and `asdict` work on them; the result of `replace` is checked again.
"""

from __future__ import annotations

import functools
import unicodedata
from collections.abc import Callable, Sequence
from pathlib import Path, PurePath
from types import NoneType
from typing import Annotated, Any, TypeVar, get_args

from pydantic import AfterValidator, BeforeValidator, ConfigDict, Field, Strict, TypeAdapter, ValidationError
from pydantic.dataclasses import dataclass
from pydantic_core import ErrorDetails

from recipe_mtlvae.conf_files import Source, place_of, read_yaml, shown, text_keys
from recipe_mtlvae.errors import Fault, RecipeError

T = TypeVar("T")
# The decorator that makes a class a section: unknown keys and numbers that are not finite are errors
section = functools.partial(
    dataclass, frozen=True, kw_only=True, config=ConfigDict(extra="forbid", allow_inf_nan=False, defer_build=True)
)
# pydantic's types of errors in our words; {..} are pydantic's values
_WORDS = {
    "int_type": "expected int",
    "float_type": "expected float",
    "float_parsing": "expected float",
    "bool_type": "expected bool",
    "string_type": "expected str",
    "tuple_type": "expected a list",
    "dict_type": "expected a mapping",
    "dataclass_type": "expected a mapping",
    "finite_number": "expected a finite number",
    "literal_error": "expected one of {expected}",
    "greater_than": "expected more than {gt:g}",
    "less_than": "expected less than {lt:g}",
    "greater_than_equal": "expected at least {ge:g}",
    "less_than_equal": "expected at most {le:g}",
}
_RANGE = ("greater_than_equal", "less_than_equal", "finite_number")


def _no_flag(value: Any) -> Any:
    """Refuse true and false. A float may also be text, since 5e-4, without a point, is text in YAML."""
    if isinstance(value, bool):
        raise ValueError("expected float")
    return value


Int = Annotated[int, Strict()]
Bool = Annotated[bool, Strict()]
Float = Annotated[float, BeforeValidator(_no_flag)]
Probability = Annotated[Float, Field(ge=0, le=1)]
MANY = 10**9  # an upper limit where none is meant, so that nothing overflows
SEEDS = 2**32 - 1  # the largest seed of numpy and Lightning


def is_one_line(text: str) -> bool:
    return not any(unicodedata.category(character) in ("Cc", "Cs", "Zl", "Zp") for character in text)


def must(test: Callable[[Any], Any], words: str) -> AfterValidator:
    """Return a check of a field's value; if `test` fails, the error says that `words` were expected."""

    def check(value: Any) -> Any:
        if not test(value):
            raise ValueError(f"expected {words}")
        return value

    return AfterValidator(check)


def _plain_name(name: str) -> str:
    if problem := name_problem(name):
        raise ValueError(problem)
    return name


def name_problem(name: str) -> str | None:
    """Return why a name cannot be that of a folder or file, or None."""
    if not name or name.startswith(".") or {"/", "\\"} & set(name) or name != name.strip():
        return "expected a plain name, without '/', leading dots or spaces around it"
    if len(name.encode("utf-8", "surrogatepass")) > 100:
        return "expected a plain name of at most 100 bytes"
    return None if is_one_line(name) else "expected a plain name, without control characters"


_LINE = must(lambda text: len(text) <= 2000 and is_one_line(text), "text of at most 2000 characters on one line")
Text = Annotated[str, _LINE, must(str.strip, "text")]
PathInRoot = Annotated[
    str, _LINE, must(lambda path: ".." not in PurePath(path).parts, "a path under data.root, without '..'")
]
Name = Annotated[str, AfterValidator(_plain_name)]


def load_as(cls: type[T], file: Path) -> T:
    """Load a YAML file of another kind, such as a submission profile, as the section `cls`; every key is required.

    Raises RecipeError naming the file and key at fault.
    """
    content = read_yaml(file)
    return build(cls, content, [(file, content)])


def build(cls: type[T], content: dict[str, Any], sources: Sequence[Source]) -> T:
    """Return `content` as the section `cls`.

    sources: the mappings from which `content` was merged, the last one wins. Raises RecipeError naming every key at
    fault with its source.
    """
    try:
        return adapter(cls).validate_python(content)
    except ValidationError as error:
        errors = error.errors(include_url=False)
        faults = [_fault(cls, found, content, sources) for found in errors if found["type"] != "missing"]
        if missing := [".".join(map(str, found["loc"])) for found in errors if found["type"] == "missing"]:
            faults.append(Fault(f"configuration keys: missing {', '.join(missing)}", path=sources[-1][0]))
        raise RecipeError(*faults) from None


@functools.cache
def adapter(cls: type[T]) -> TypeAdapter[T]:
    """Return the TypeAdapter of the section `cls`, built when first needed, since that takes a third of a second."""
    return TypeAdapter(cls)


def _fault(cls: type, found: ErrorDetails, content: dict[str, Any], sources: Sequence[Source]) -> Fault:
    """One of pydantic's errors in one line.

    A check of several values raises ValueError("key: what is wrong"); the key is relative to the section of the check.
    """
    kind, keys, context = found["type"], [str(key) for key in found["loc"] if key != "[key]"], found.get("ctx", {})
    what = str(context.get("error") or _WORDS.get(kind, found["msg"]).format(**context))
    if kind in _RANGE:
        what = _range_of(cls, keys) or what
    if kind == "value_error" and not what.startswith("expected"):
        key, _, what = what.partition(": ")
        keys += key.split(".")
    if kind == "literal_error":
        what = what.replace("'", "").replace(" or ", ", ")
    name = ".".join(keys)
    path, line = place_of(sources, keys)
    if kind == "unexpected_keyword_argument":
        there = functools.reduce(lambda mapping, key: text_keys(mapping).get(key, {}), keys[:-1], content)
        known = ", ".join(key for key in text_keys(there) if key != keys[-1])
        return Fault(f"unknown key '{name}'", f"the keys there are: {known}", path, line)
    got = "" if ", got " in what else f", got {shown(found['input'])}"
    return Fault(f"configuration key '{name}': {what}{got}", path=path, line=line)


def _range_of(cls: Any, keys: Sequence[str]) -> str | None:
    """Both limits of a field, if it has two and is not inside a mapping or list."""
    ends: dict[str, float] = {}
    for key in keys:
        field = getattr(cls, "__pydantic_fields__", {}).get(key)
        if field is None:
            return None
        cls = next((kind for kind in get_args(field.annotation) if kind is not NoneType), field.annotation)
        ends = {end: getattr(one, end) for one in field.metadata for end in ("ge", "le") if hasattr(one, end)}
    return f"expected {_figure(ends['ge'])} to {_figure(ends['le'])}" if len(ends) == 2 else None


def _figure(value: float) -> str:
    """A number with few digits if these are exact, otherwise with all."""
    return f"{value:g}" if float(f"{value:g}") == value else str(value)
