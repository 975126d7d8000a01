"""Check the meta file of a submission package: label, authors, and the values that the challenge asks for."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import yaml

from recipe_mtlvae.conf_files import line_of, load_yaml, shown, yaml_problem
from recipe_mtlvae.errors import Fault, RecipeError, fail
from recipe_mtlvae.submission.check_results import CountedFaults, Results
from recipe_mtlvae.submission.package_files import Package
from recipe_mtlvae.submission.profile import REHEARSAL, Profile

MAX_META = 2**17  # bytes, about 20 times the size of a real meta file
MAX_CLASSES = 1000  # classes with a listed result that are checked
Key = tuple[Any, ...]  # the names from the root to a value, such as ("submission", "label")


@dataclass(frozen=True)
class Meta:
    """What the check of the package needs from the meta file of one system."""

    rehearsal: str | None = None  # why the package is a rehearsal; None: it is not
    classes: tuple[str, ...] = ()  # with a listed result


def check_meta(package: Package, name: str, label: str, profile: Profile, results: Results) -> Meta:
    """Check <label>.meta.yaml, the file `name` of the package."""
    try:
        document = Document(package, name)
    except RecipeError as error:
        results.faults += error.faults
        return Meta()
    results.faults += _check_characters(document, profile)
    submission = document.get(("submission",))
    if not isinstance(submission, dict):
        what = "expected a mapping with label, name, abbreviation and authors"
        results.faults.append(document.fault(("submission",), what))
        return Meta()
    notes = submission.get("notes")
    rehearsal = notes if isinstance(notes, str) and notes.startswith(REHEARSAL) else None
    class_wise_key = tuple((profile.rules.class_wise or "").split("."))
    class_wise = document.get(class_wise_key) if profile.rules.class_wise else None
    classes = tuple(str(key) for key in list(class_wise)[:MAX_CLASSES]) if isinstance(class_wise, dict) else ()
    results.faults += [
        document.fault((*class_wise_key, known), f"the challenge has no class '{known[:80]}'")
        for known in classes
        if rehearsal is None and known not in profile.rules.classes
    ]
    _check_names(document, label, profile, results)
    results.faults += _check_authors(document, profile)
    for key, kind in profile.rules.values.items():
        for found in document.expand(tuple(key.split("."))):
            _check_value(document, found, kind, results)
    return Meta(rehearsal, classes)


class Document:
    """A meta file with the line of each key. Raises RecipeError if it cannot be read."""

    def __init__(self, package: Package, name: str) -> None:
        self.name = name
        content = package.read(name, MAX_META + 1)
        if len(content) > MAX_META:
            raise fail(f"over {MAX_META} bytes: expected a meta file", path=name)
        try:
            self.text = content.decode("utf-8")
            self.content = load_yaml(self.text)
            self.root = yaml.compose(self.text, Loader=yaml.SafeLoader)
        except UnicodeDecodeError as error:
            raise fail(f"not valid YAML: {error}", path=name) from None
        except yaml.YAMLError as error:
            problem, line = yaml_problem(error)
            raise fail(f"not valid YAML: {problem}", path=name, line=line) from None

    def get(self, key: Key) -> Any:
        """Return the value of a key; None if there is none."""
        value = self.content
        for part in key:
            value = value.get(part) if isinstance(value, dict) else None
        return value

    def has(self, key: Key) -> bool:
        """Return whether the key exists, whatever its value."""
        entries = self.get(key[:-1]) if key[:-1] else self.content
        return isinstance(entries, dict) and key[-1] in entries

    def key_at(self, line: int) -> Key:
        """Return the innermost key whose value begins in or before `line`, counted from 1."""
        node, key = self.root, []
        while isinstance(node, yaml.CollectionNode):
            pairs = node.value if isinstance(node, yaml.MappingNode) else [(item, item) for item in node.value]
            before = [(number, pair) for number, pair in enumerate(pairs, 1) if pair[0].start_mark.line < line]
            if not before or len(key) > 50:  # aliases may form a cycle
                break
            number, (name, value) = before[-1]
            key.append(name.value if isinstance(node, yaml.MappingNode) else number)
            node = value
        return tuple(key)

    def fault(self, key: Key, what: str, hint: str = "") -> Fault:
        return Fault(
            f"{'.'.join(map(str, key))}: {what}", hint, self.name, line_of(self.root, [str(part) for part in key])
        )

    def expand(self, key: Key) -> list[Key]:
        """Return the keys that a key with one `*` stands for; the parent of `*` if there are none."""
        if "*" not in key:
            return [key]
        star = key.index("*")
        entries = self.get(key[:star])
        if not isinstance(entries, dict) or not entries:
            return [key[:star]]
        return [(*key[:star], name, *key[star + 1 :]) for name in list(entries)[:MAX_CLASSES]]


def _check_characters(document: Document, profile: Profile) -> list[Fault]:
    """Find characters that the challenge's reader does not accept, in any value, key or comment."""
    faults = CountedFaults(document.name, "lines")
    for number, text in enumerate(document.text.splitlines(), start=1):
        for character in profile.rules.forbidden_characters:
            if character in text:
                key = ".".join(map(str, document.key_at(number))) or "a comment"
                what = f"{key[:200]}: must not hold '{character}'"
                hint = "the challenge's reader cuts lines there, quoted or not"
                faults.add(character, Fault(what, hint, document.name, number))
    return faults.all()


def _check_names(document: Document, label: str, profile: Profile, results: Results) -> None:
    limit = profile.rules.abbreviation
    for name in ("label", "name", "abbreviation"):
        key = ("submission", name)
        value = document.get(key)
        if not isinstance(value, str) or not value.strip():
            results.faults.append(document.fault(key, f"expected a text, got {_show(value)}"))
            continue
        results.faults += [
            document.fault(key, f"must not hold the word '{word}', got '{value[:80]}'")
            for word in profile.rules.forbidden
            if word.lower() in value.lower()
        ]
        if name == "label" and value != label:
            results.faults.append(document.fault(key, f"expected '{label}' like its folder, got '{value[:80]}'"))
        if name == "abbreviation":
            for most, faults in ((limit.refuse, results.faults), (limit.warn, results.warnings)):
                if most is not None and len(value) > most:
                    what = f"at most {most} characters, got {len(value)}: '{value[:80]}'"
                    faults.append(document.fault(key, what))
                    break


def _check_authors(document: Document, profile: Profile) -> list[Fault]:
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
    if len(corresponding) < expected.least or (expected.most is not None and len(corresponding) > expected.most):
        number = f"{'exactly' if expected.least == expected.most else 'at least'} {expected.least}"
        what = f"expected {number} with `corresponding: true`, got {len(corresponding)}"
        faults.append(document.fault(key, what))
    for author in corresponding:
        if "@" not in str(author.get("email")):
            faults.append(document.fault(key, "the corresponding author has no email address"))
    return faults


def _check_value(document: Document, key: Key, kind: str, results: Results) -> None:
    """Check one value by its kind (profile.KINDS). A rehearsal may leave it open: null, or NaN for a float."""
    value, (kind, _, other) = document.get(key), kind.partition(" or ")
    if other == "missing" and value is None:
        return
    if kind == "anything" or other == "null":
        if not document.has(key):
            results.faults.append(document.fault(key, "is missing", "write null where there is none"))
        if kind == "anything" or value is None:
            return
    unknown = value is None or (isinstance(value, float) and math.isnan(value) and kind == "float")
    right = (
        not unknown
        and {
            "number": _is_number(value),
            "integer": type(value) is int and value >= 0,
            "float": type(value) is float and _is_number(value),
            "text": isinstance(value, str),
            "texts": isinstance(value, str)
            or (isinstance(value, list) and all(isinstance(item, str) for item in value)),
        }[kind]
    )
    if not right:
        named = {"float": "number with a decimal point", "texts": "text or list of texts"}.get(kind, kind)
        expected = f"expected {'an' if named[0] in 'aeiou' else 'a'} {named}" + " of at least 0" * ("text" not in kind)
        (results.to_fill_in if unknown else results.faults).append(
            document.fault(key, f"{expected}, got {_show(value)}")
        )


def _is_number(value: Any) -> bool:
    return type(value) in (int, float) and 0 <= value < math.inf


def _show(value: Any) -> str:
    return "nothing" if value is None else shown(value)
