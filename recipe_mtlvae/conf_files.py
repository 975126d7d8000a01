"""YAML files and settings laid over each other, with errors that name file, line and key."""

from __future__ import annotations

import functools
import reprlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml

from recipe_mtlvae.errors import fail, warn

# A file, or another name of what configures, and the mapping in it
Source = tuple[Path | str, dict[str, Any]]
# Keys by the names that they had in earlier versions; read still, with a hint
RENAMED = {
    "features.hop": "features.hop_length",
    "features.mels": "features.n_mels",
    "mean_teacher.mixup": "augment.mixup",
    "mean_teacher.mixup_beta": "augment.mixup_beta",
}
# Mappings with keys of the user's own, such as the splits of a corpus; a list of keys keeps these alone
_OPEN_MAPPINGS = ("data.splits", "fetch.archives", "fetch.splits", "fetch.soundscapes")
# A configuration is far smaller: mappings, lists and values, the characters of a file and of one value
MOST_VALUES, MOST_CHARACTERS, MOST_LETTERS = 50_000, 2**20, 2**16
SHOWN_CHARACTERS = 80
_SHORT = reprlib.Repr()
_SHORT.maxlevel = 3
_SHORT.maxstring = _SHORT.maxother = _SHORT.maxlong = SHOWN_CHARACTERS


def load_yaml(text: str) -> Any:
    """What a YAML text holds. Raises YAMLError, also for values that only PyYAML's constructors choke on.

    Its length, and its size with each alias replaced by what it stands for, are bounded before anything is built.
    """
    if len(text) > MOST_CHARACTERS:
        raise yaml.YAMLError(f"expected at most {MOST_CHARACTERS:,} characters")
    loader = yaml.SafeLoader(text)
    try:
        node = loader.get_single_node()
        if is_too_large(node):
            raise yaml.YAMLError(f"expected at most {MOST_VALUES:,} values, with aliases written out")
        return None if node is None else loader.construct_document(node)
    except (ArithmeticError, AttributeError, LookupError, RecursionError, TypeError, ValueError) as error:
        raise yaml.YAMLError(f"a value that cannot be read ({str(error)[:80]})") from None
    finally:
        loader.dispose()


def is_too_large(content: Any) -> bool:
    """Whether nested mappings and lists, or a YAML node, hold too many or too long values, shared ones counted anew."""
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
    """What is wrong, and in which line, counted from 1."""
    mark = getattr(error, "problem_mark", None)
    return getattr(error, "problem", None) or str(error)[:120], mark and mark.line + 1


def read_yaml(file: Path) -> dict[str, Any]:
    """A file that holds a mapping. Raises RecipeError for any other."""
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
    """`key.path=value`, the value in YAML, as a nested dict."""
    key, equals, value = setting.partition("=")
    given = _shortened(setting)
    if not equals or not key:
        raise fail(f"--set {given}: expected key.path=value")
    try:
        delta = load_yaml(value)
    except yaml.YAMLError:
        raise fail(f"--set {given}: the value is not valid YAML", "quote it") from None
    for name in reversed(key.split(".")):
        delta = {name: delta}
    return delta


def merged(content: dict[str, Any], delta: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    """`delta` laid over `content`. A split that is null is left out; a list of splits keeps these alone."""
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
    """`delta` with its renamed keys by the names that they have now; each is hinted at once a process."""
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
    """A value in an error message: about 80 characters of it, whatever its size."""
    return _shortened(_SHORT.repr(value))


def _shortened(text: str) -> str:
    return text if len(text) <= SHOWN_CHARACTERS else f"{text[:SHOWN_CHARACTERS]}..."


def place_of(sources: Sequence[Source], keys: Sequence[str]) -> tuple[Path | str | None, int | None]:
    """Which source set the key last, or a mapping above it, and in a file the line, counted from 1."""
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
        if key not in delta:
            return False
        delta = delta[key]
    return True


@functools.cache
def _hint_renamed(name: str, new: str) -> None:
    """Once a process, whatever number of files still has it."""
    warn(f"the key {name} is called {new} now", "hint")


def _chosen(mapping: dict[str, Any], keys: list[Any], name: str) -> dict[str, Any]:
    """These entries of an open mapping, in its own order."""
    known = ", ".join(map(str, mapping))
    if unknown := [key for key in keys if not isinstance(key, str) or key not in mapping]:
        raise fail(f"'{name}': there is no {', '.join(map(shown, unknown[:5]))}", f"expected some of {known}")
    if not keys:
        raise fail(f"'{name}': expected at least one of {known}")
    return {key: entry for key, entry in mapping.items() if key in keys}


def line_of(node: yaml.Node | None, keys: Sequence[str]) -> int | None:
    """The line, counted from 1, on which the key of this path stands in a YAML document, or the last one above it."""
    line = None
    for part in keys:
        entries = node.value if isinstance(node, yaml.CollectionNode) else []
        if isinstance(node, yaml.SequenceNode):  # whose keys are places in the list
            entries = [(yaml.ScalarNode("", str(i), item.start_mark), item) for i, item in enumerate(entries)]
        found = next((entry for entry in entries if str(entry[0].value) == part), None)
        if found is None:
            return line
        line, node = found[0].start_mark.line + 1, found[1]
    return line
