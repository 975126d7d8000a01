"""Reading and merging YAML files and settings, with errors that name file, line and key."""

from __future__ import annotations

import functools
import json
import re
import reprlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml

from recipe_mtlvae.errors import fail, warn

# A file, or the name of another source such as --set, and the mapping in it
Source = tuple[Path | str, dict[str, Any]]
# Present names of keys by their names in earlier versions, which are still read, with a hint
RENAMED = {
    "features.hop": "features.hop_length",
    "features.mels": "features.n_mels",
    "mean_teacher.mixup": "augment.mixup",
    "mean_teacher.mixup_beta": "augment.mixup_beta",
}
# Mappings whose keys the user chooses, such as the splits of a corpus; a list of keys keeps only these
_OPEN_MAPPINGS = ("data.splits", "fetch.archives", "fetch.splits", "fetch.soundscapes")
# Limits far above any configuration: values with mappings and lists, the characters of a file and of one value
MOST_VALUES, MOST_CHARACTERS, MOST_LETTERS = 50_000, 2**20, 2**16
MOST_LEVELS = 32  # of a key in a setting
SHOWN_CHARACTERS = 80
_PAIR = re.compile(r"\\u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}")  # one character above U+FFFF in JSON
_SHORT = reprlib.Repr()
_SHORT.maxlevel = 3
_SHORT.maxstring = _SHORT.maxother = _SHORT.maxlong = SHOWN_CHARACTERS


def load_yaml(text: str) -> Any:
    """Return the content of a YAML text. Raises YAMLError, also for values on which only PyYAML's constructors fail.

    The length of the text, and its size with all aliases written out, are limited before anything is built.
    """
    if len(text) > MOST_CHARACTERS:
        raise yaml.YAMLError(f"expected at most {MOST_CHARACTERS:,} characters")
    loader = yaml.SafeLoader(_PAIR.sub(lambda pair: json.loads(f'"{pair[0]}"'), text))
    try:
        node = loader.get_single_node()
        if is_too_large(node):
            raise yaml.YAMLError(f"expected at most {MOST_VALUES:,} values, with aliases written out")
        content = None if node is None else loader.construct_document(node)
        repr(content)  # raises ValueError for an integer with too many digits to be shown in any message
        return content
    except (ArithmeticError, AttributeError, LookupError, RecursionError, TypeError, ValueError) as error:
        raise yaml.YAMLError(f"a value that cannot be read ({str(error)[:80]})") from None
    finally:
        loader.dispose()


def is_too_large(content: Any) -> bool:
    """Whether nested mappings and lists, or a YAML node, hold too many or too long values. Shared ones count again."""
    left, count = [content], 0
    while left:
        item, count = left.pop(), count + 1
        inside = item.value if isinstance(item, yaml.Node) else item
        if count > MOST_VALUES or (isinstance(inside, (str, bytes)) and len(inside) > MOST_LETTERS):
            return True
        if isinstance(inside, dict):
            left += [*inside.keys(), *inside.values()]
        elif isinstance(inside, (list, tuple)):
            left += inside
    return False


def yaml_problem(error: yaml.YAMLError) -> tuple[str, int | None]:
    """Return what is wrong and in which line, counted from 1."""
    mark = getattr(error, "problem_mark", None)
    return getattr(error, "problem", None) or str(error)[:120], mark and mark.line + 1


def read_yaml(file: Path) -> dict[str, Any]:
    """Return the mapping in a YAML file. Raises RecipeError for any other file."""
    if file.exists() and not file.is_file():
        raise fail("expected a configuration file", path=file)
    try:
        with file.open(encoding="utf-8") as stream:
            content = load_yaml(stream.read(MOST_CHARACTERS + 1))
    except FileNotFoundError:
        raise fail("no such configuration file", "the shipped ones are in the folder conf", file) from None
    except UnicodeDecodeError:
        raise fail("not valid YAML: not text", "save it as UTF-8", file) from None
    except yaml.YAMLError as error:
        problem, line = yaml_problem(error)
        raise fail(f"not valid YAML: {problem}", path=file, line=line) from None
    if not isinstance(content, dict):
        raise fail(f"expected a mapping of configuration keys, got {type(content).__name__}", path=file)
    return content


def setting_delta(setting: str) -> dict[str, Any]:
    """Return a setting `key.path=value`, with the value in YAML, as a nested dict."""
    key, equals, value = setting.partition("=")
    given = _shortened(setting)
    if not equals or not key or key.count(".") >= MOST_LEVELS:
        raise fail(f"--set {given}: expected key.path=value")
    try:
        delta = load_yaml(value)
    except yaml.YAMLError:
        raise fail(f"--set {given}: the value is not valid YAML", "quote it") from None
    for name in reversed(key.split(".")):
        delta = {name: delta}
    return delta


def merged(content: dict[str, Any], delta: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    """Return `content` updated by `delta`. A split that is null is removed; a list of splits keeps only these."""
    result = dict(content)
    for key, value in delta.items():
        name, before = f"{prefix}{key}", content.get(key)
        if value is None and prefix.rstrip(".") in _OPEN_MAPPINGS:
            result.pop(key, None)
        elif isinstance(value, dict):
            result[key] = merged(before if isinstance(before, dict) else {}, value, f"{name}.")
        elif isinstance(value, list) and isinstance(before, dict) and name in _OPEN_MAPPINGS:
            result[key] = _chosen(before, value, name)
        else:
            result[key] = value
    return result


def with_new_names(delta: dict[str, Any]) -> dict[str, Any]:
    """Return `delta` with the present names of renamed keys, and print a hint for each one once per process."""
    delta = dict(delta)
    for old, new in RENAMED.items():
        (section, key), (new_section, new_key) = old.split("."), new.split(".")
        there, target = delta.get(section), delta.get(new_section, {})
        if not (isinstance(there, dict) and key in there and isinstance(target, dict)):
            continue
        delta[section] = {name: value for name, value in there.items() if name != key}
        # A whole configuration of another system had the mean teacher's keys too, without effect
        if section == new_section or delta.get("system", section) == section:
            _hint_renamed(old, new)
            delta[new_section] = {**delta.get(new_section, {}), new_key: there[key]}
    return delta


def shown(value: Any) -> str:
    """Return a value as text for an error message: about 80 characters of it, whatever its size."""
    return _shortened(_SHORT.repr(value))


def _shortened(text: str) -> str:
    return text if len(text) <= SHOWN_CHARACTERS else f"{text[:SHOWN_CHARACTERS]}..."


def place_of(sources: Sequence[Source], keys: Sequence[str]) -> tuple[Path | str | None, int | None]:
    """Return the last source that set the key or a mapping above it, and for a file the line, counted from 1."""
    for source, delta in reversed(sources):
        if _sets(delta, keys):
            if not isinstance(source, Path):
                return source, None
            return source, line_of(yaml.compose(source.read_text(encoding="utf-8"), Loader=yaml.SafeLoader), keys)
    return None, None


def _sets(delta: Any, keys: Sequence[str]) -> bool:
    for key in keys:
        if not isinstance(delta, dict):
            return True
        if key not in (delta := text_keys(delta)):
            return False
        delta = delta[key]
    return True


def text_keys(mapping: dict[Any, Any]) -> dict[str, Any]:
    """Return a mapping from YAML with its keys as text, as errors name them; YAML may have read numbers or null."""
    return {str(key): value for key, value in mapping.items()}


@functools.cache
def _hint_renamed(name: str, new: str) -> None:
    """Print the hint once per process, however many files have the old name."""
    warn(f"the key {name} is called {new} now", "hint")


def _chosen(mapping: dict[str, Any], keys: list[Any], name: str) -> dict[str, Any]:
    """The entries `keys` of an open mapping, in the order of the mapping."""
    known = ", ".join(map(str, mapping))
    if unknown := [key for key in keys if not isinstance(key, str) or key not in mapping]:
        raise fail(f"'{name}': there is no {', '.join(map(shown, unknown[:5]))}", f"expected some of {known}")
    if not keys:
        raise fail(f"'{name}': expected at least one of {known}")
    return {key: entry for key, entry in mapping.items() if key in keys}


def line_of(node: yaml.Node | None, keys: Sequence[str]) -> int | None:
    """Return the line, counted from 1, of the key with this path in a YAML document, or of the last key above it."""
    line = None
    for part in keys:
        entries = node.value if isinstance(node, yaml.CollectionNode) else []
        if isinstance(node, yaml.SequenceNode):  # its keys are indices
            entries = [(yaml.ScalarNode("", str(i), item.start_mark), item) for i, item in enumerate(entries)]
        found = next((entry for entry in entries if str(entry[0].value) == part), None)
        if found is None:
            return line
        line, node = found[0].start_mark.line + 1, found[1]
    return line
