"""What a challenge's year asks of a submission package: conf/submission/<profile>.yaml as sections."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from recipe_mtlvae.conf import CONF_DIR
from recipe_mtlvae.conf_types import Bool, Int, load_as, section
from recipe_mtlvae.errors import fail

PROFILES = CONF_DIR / "submission"
DEFAULT_PROFILE = PROFILES / "dcase2022.yaml"
UNACCENTED = str.maketrans(
    {"ø": "o", "Ø": "O", "ł": "l", "Ł": "L", "ß": "ss", "æ": "ae", "Æ": "Ae", "œ": "oe", "Œ": "Oe"}
)
REHEARSAL = "REHEARSAL, not for submission"  # how `submission.notes` of such a package's meta file begins


@section
class Affiliation:
    abbreviation: str
    institute: str
    department: str | None
    location: str | None


@section
class Author:
    lastname: str
    firstname: str
    email: str | None
    corresponding: Bool
    affiliation: Affiliation


@section
class SystemText:
    name: str
    abbreviation: str
    machine_learning_method: str
    machine_learning_semi_supervised: str | None


@section
class PackagePatterns:
    """File names, with {lastname}, {institute}, {index}, {label} and {threshold} left open."""

    zip: str
    label: str
    meta: str
    output: str
    operating_point: str
    report: str
    columns: tuple[str, ...]
    spare_columns: tuple[str, ...]


@section
class Rules:
    label: str
    placeholders: tuple[str, ...]
    forbidden: tuple[str, ...]
    systems: Int
    abbreviation: Int
    corresponding_authors: Int
    operating_points: Int
    nested: Bool
    filename: str
    classes: tuple[str, ...]
    class_wise: str
    numbers: dict[str, str]


@section
class Profile:
    authors: tuple[Author, ...]
    index: Int
    report: str | None
    source_code: str | None
    systems: dict[str, SystemText]
    training_data: dict[str, str]
    external_data: dict[str, str]
    package: PackagePatterns
    rules: Rules
    meta: dict

    @property
    def corresponding(self) -> Author:
        return next(author for author in self.authors if author.corresponding)

    @property
    def names(self) -> dict[str, str]:
        """Values for the patterns' {lastname}, {institute}, {index} and {label}."""
        author = self.corresponding
        names = {"lastname": plain(author.lastname), "institute": plain(author.affiliation.abbreviation)}
        names["index"] = str(self.index)
        return {**names, "label": fill(self.package.label, names)}


def read_profile(file: Path = DEFAULT_PROFILE) -> Profile:
    """Raises RecipeError naming the file and key at fault."""
    profile = load_as(Profile, file)
    if sum(author.corresponding for author in profile.authors) != 1:
        raise fail("authors: expected exactly one with `corresponding: true`", path=file)
    author = profile.corresponding
    if not plain(author.lastname) or not plain(author.affiliation.abbreviation):
        raise fail("the corresponding author's names are empty", "the label wants them in Latin letters", file)
    return profile


def thresholds_of(operating_points: int) -> list[float]:
    """The middles of equal parts of [0, 1]: 0.01, 0.03 ... 0.99 for 50."""
    return [(i + 0.5) / operating_points for i in range(operating_points)]


def fill(pattern: Any, values: Mapping[str, Any]) -> Any:
    """`pattern` (also a tree of dicts and lists) with each {name} replaced; a lone "{name}" takes its value's type."""
    if isinstance(pattern, dict):
        return {key: fill(item, values) for key, item in pattern.items()}
    if isinstance(pattern, list):
        return [fill(item, values) for item in pattern]
    if not isinstance(pattern, str):
        return pattern
    unknown = [name for name in re.findall(r"\{(\w+)\}", pattern) if name not in values]
    if unknown:
        raise fail(f"'{pattern}': nothing is called {{{unknown[0]}}}", f"the names are: {', '.join(values)}")
    alone = re.fullmatch(r"\{(\w+)\}", pattern)
    if alone:
        return values[alone[1]]
    return re.sub(r"\{(\w+)\}", lambda match: str(values[match[1]]), pattern)


def plain(text: str) -> str:
    """Letters, digits and hyphens of a name, accents taken off, as labels have it."""
    ascii_text = unicodedata.normalize("NFKD", text.translate(UNACCENTED)).encode("ascii", "ignore").decode()
    return re.sub(r"[^A-Za-z0-9-]", "", ascii_text)
