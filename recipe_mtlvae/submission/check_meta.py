"""The meta file of a submission package: label, authors, and the numbers that the challenge asks for."""

from __future__ import annotations

import math
import reprlib
from dataclasses import dataclass, field
from typing import Any

import yaml

from recipe_mtlvae.conf_files import load_yaml, yaml_problem
from recipe_mtlvae.errors import Fault, RecipeError
from recipe_mtlvae.submission.package_files import Package
from recipe_mtlvae.submission.profile import REHEARSAL, Profile

MAX_META = 2**20  # bytes
Key = tuple[Any, ...]  # the names from the root to a value, such as ("submission", "label")


@dataclass
class Meta:
    """What the meta file of one system says, and what is wrong with it."""

    faults: list[Fault] = field(default_factory=list)
    left: list[Fault] = field(default_factory=list)  # only in a rehearsal may these be left open
    rehearsal: str | None = None
    classes: tuple[str, ...] = ()  # those it lists results for


def check_meta(package: Package, name: str, label: str, profile: Profile) -> Meta:
    """Check <label>.meta.yaml, the file `name` of the package."""
    meta = Meta()
    try:
        document = _Document(name, package.read(name, MAX_META + 1))
    except RecipeError as error:
        meta.faults += error.faults
        return meta
    submission = document.get(("submission",))
    if not isinstance(submission, dict):
        meta.faults.append(
            document.fault(("submission",), "expected a mapping with label, name, abbreviation and authors")
        )
        return meta
    notes = submission.get("notes")
    meta.rehearsal = notes if isinstance(notes, str) and notes.startswith(REHEARSAL) else None
    class_wise_key = tuple(profile.rules.class_wise.split("."))
    class_wise = document.get(class_wise_key)
    meta.classes = tuple(str(key) for key in class_wise) if isinstance(class_wise, dict) else ()
    if meta.rehearsal is None:
        meta.faults += [
            document.fault((*class_wise_key, known), f"the challenge has no class '{known[:80]}'")
            for known in meta.classes
            if known not in profile.rules.classes
        ]
    meta.faults += _check_names(document, label, profile)
    meta.faults += _check_authors(document, profile)
    for key, kind in profile.rules.numbers.items():
        _check_number(document, tuple(key.split(".")), kind, meta)
    return meta


class _Document:
    """A YAML file with the line of each key."""

    def __init__(self, name: str, content: bytes) -> None:
        self.name = name
        if len(content) > MAX_META:
            raise RecipeError(Fault(f"over {MAX_META} bytes: expected a meta file", path=name))
        try:
            text = content.decode("utf-8")
            self.content = load_yaml(text)
            self.root = yaml.compose(text, Loader=yaml.SafeLoader)
        except UnicodeDecodeError as error:
            raise RecipeError(Fault(f"not valid YAML: {error}", path=name)) from None
        except yaml.YAMLError as error:
            problem, line = yaml_problem(error)
            raise RecipeError(Fault(f"not valid YAML: {problem}", "", name, line)) from None

    def get(self, key: Key) -> Any:
        """The value there; None where there is none."""
        value = self.content
        for part in key:
            value = value.get(part) if isinstance(value, dict) else None
        return value

    def line(self, key: Key) -> int | None:
        """The line of the key, or of the deepest part of it that is there."""
        node, line = self.root, None
        for part in key:
            entries = node.value if isinstance(node, yaml.MappingNode) else []
            found = next(((k, v) for k, v in entries if k.value == str(part)), None)
            if found is None:
                return line
            line, node = found[0].start_mark.line + 1, found[1]
        return line

    def fault(self, key: Key, what: str, hint: str = "") -> Fault:
        return Fault(f"{'.'.join(map(str, key))}: {what}", hint, self.name, self.line(key))

    def expand(self, key: Key) -> list[Key]:
        """The keys that a key with one `*` stands for."""
        if "*" not in key:
            return [key]
        star = key.index("*")
        entries = self.get(key[:star])
        if not isinstance(entries, dict) or not entries:
            return [key[:star]]
        return [(*key[:star], name, *key[star + 1 :]) for name in entries]


def _check_names(document: _Document, label: str, profile: Profile) -> list[Fault]:
    faults = []
    for name in ("label", "name", "abbreviation"):
        key = ("submission", name)
        value = document.get(key)
        if not isinstance(value, str) or not value.strip():
            faults.append(document.fault(key, f"expected a text, got {_show(value)}"))
            continue
        faults += [
            document.fault(key, f"must not hold the word '{word}', got '{value[:80]}'")
            for word in profile.rules.forbidden
            if word.lower() in value.lower()
        ]
        if name == "label" and value != label:
            faults.append(document.fault(key, f"expected '{label}' like its folder, got '{value[:80]}'"))
        if name == "abbreviation" and len(value) > profile.rules.abbreviation:
            limit = profile.rules.abbreviation
            faults.append(document.fault(key, f"at most {limit} characters, got {len(value)}: '{value[:80]}'"))
    return faults


def _check_authors(document: _Document, profile: Profile) -> list[Fault]:
    key = ("submission", "authors")
    authors = document.get(key)
    if not isinstance(authors, list) or not authors or not all(isinstance(author, dict) for author in authors):
        return [document.fault(key, f"expected a list of authors, got {_show(authors)}")]
    faults = []
    for number, author in enumerate(authors, start=1):
        for part in ("lastname", "firstname"):
            if not isinstance(author.get(part), str) or not author[part].strip():
                faults.append(document.fault(key, f"author {number} has no {part}"))
    corresponding = [author for author in authors if author.get("corresponding")]
    expected = profile.rules.corresponding_authors
    if len(corresponding) != expected:
        what = f"expected exactly {expected} with `corresponding: true`, got {len(corresponding)}"
        faults.append(document.fault(key, what))
    for author in corresponding:
        if "@" not in str(author.get("email")):
            faults.append(document.fault(key, "the corresponding author has no email address"))
    return faults


def _check_number(document: _Document, pattern: Key, kind: str, meta: Meta) -> None:
    for key in document.expand(pattern):
        value = document.get(key)
        is_number = type(value) is int or (type(value) is float and math.isfinite(value) and kind != "integer")
        if (is_number and value >= 0) or (value is None and kind.endswith("or null")):
            continue
        expected = f"expected {'an' if kind[0] in 'aeiou' else 'a'} {kind.removesuffix(' or null')} of at least 0"
        (meta.left if value is None else meta.faults).append(document.fault(key, f"{expected}, got {_show(value)}"))


def _show(value: Any) -> str:
    return "nothing" if value is None else reprlib.repr(value)
