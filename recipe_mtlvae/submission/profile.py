"""What a year of the challenge asks of a submission package: conf/submission/<profile>.yaml as sections."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from pydantic import Field

from recipe_mtlvae.conf import CONF_DIR
from recipe_mtlvae.conf_types import Bool, Float, Int, load_as, section
from recipe_mtlvae.errors import fail

PROFILES = CONF_DIR / "submission"
DEFAULT_PROFILE = PROFILES / "dcase2022.yaml"
UNACCENTED = str.maketrans(
    {"ø": "o", "Ø": "O", "ł": "l", "Ł": "L", "ß": "ss", "æ": "ae", "Æ": "Ae", "œ": "oe", "Œ": "Oe"}
)
# Kinds of values in the meta file; `texts` is a text or a list of texts, `anything` includes null
KINDS = ("number", "integer", "float", "text", "texts", "anything")
MAX_POINTS = 99  # operating points: more of them would not differ in the two decimals that file names have
REHEARSAL = "REHEARSAL, not for submission"  # how `submission.notes` begins in a rehearsal's meta file


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
class PackagePatterns:
    """Patterns of file names with {lastname}, {institute}, {index}, {label}, {run}, {threshold} and {phase}.

    Outputs that a year does not have are None.
    """

    zip: str  # below <run>/submission/
    label: str
    meta: str
    report: str
    runs: Int = Field(ge=1)  # number of trainings of one system, whose outputs lie side by side
    events: str | None  # at one threshold
    operating_points: str | None  # events at each {threshold}
    scores: str | None  # the folder of a {run}: post-processed scores, one TSV a clip
    unprocessed: str | None  # the same, not post-processed
    energy: str | None  # codecarbon's CSV of a {phase} of a {run}
    energy_phases: tuple[Literal["training", "devtest", "evaluation"], ...]
    optional: tuple[Literal["events", "operating_points", "scores", "unprocessed"], ...]  # outputs that may be missing
    columns: tuple[str, ...]  # of event files
    spare_columns: tuple[str, ...]  # that event files may have too


@section
class Limit:
    """A value above `warn` gives a warning, one above `refuse` a fault; None: no such limit."""

    warn: Int | None
    refuse: Int | None


@section
class Number:
    """How many there may be, from `least` to `most`; None: no upper limit."""

    least: Int
    most: Int | None


@section
class Rules:
    label: str
    placeholders: tuple[str, ...]
    forbidden: tuple[str, ...]
    forbidden_characters: str  # anywhere in the meta file
    systems: Limit
    abbreviation: Limit
    corresponding_authors: Number
    operating_points: Int
    nested: Bool
    filename: str
    clips: Int | None  # in each score folder; another number makes a rehearsal
    classes: tuple[str, ...]
    fill: Float | None  # score of classes that the network does not know; None: it must know all
    class_wise: str | None
    values: dict[str, str]  # keys of the meta file and their kinds


@section
class Profile:
    challenge: str
    verified: Bool  # whether a public validator or package confirms these rules
    authors: tuple[Author, ...]
    index: Int
    devtest: str  # the split that is the challenge's development test set
    report: str | None
    source_code: str | None
    training_data: dict[str, str]
    external_data: dict[str, str]
    figures: dict[str, Float | None]  # figures that the recipe does not measure, by their {name} in `meta`
    baseline_epochs: Int | None  # epochs of the baseline's training whose energy is asked for; None: all
    package: PackagePatterns
    rules: Rules
    meta: dict

    @property
    def corresponding(self) -> Author:
        return next(author for author in self.authors if author.corresponding)

    @property
    def names(self) -> dict[str, str]:
        """The values of {lastname}, {institute}, {index} and {label} in the patterns."""
        author = self.corresponding
        names = {"lastname": plain(author.lastname), "institute": plain(author.affiliation.abbreviation)}
        names["index"] = str(self.index)
        return {**names, "label": fill(self.package.label, names)}


def shipped_profiles() -> dict[str, Path]:
    """Return the profiles in conf/submission by name."""
    return {file.stem: file for file in sorted(PROFILES.glob("*.yaml"))}


def profile_file(name: str) -> Path:
    """Return the file that --submission or --profile names: a shipped profile or a YAML file."""
    if name.endswith((".yaml", ".yml")):
        return Path(name)
    shipped = shipped_profiles()
    if name not in shipped:
        hint = f"the shipped ones are {', '.join(shipped)}; or give a .yaml file"
        raise fail(f"no submission profile '{name}'", hint)
    return shipped[name]


def read_profile(file: Path = DEFAULT_PROFILE) -> Profile:
    """Read a profile. Raises RecipeError naming the file and key at fault."""
    profile = load_as(Profile, file)
    for key in ("label", "filename"):
        try:
            re.compile(getattr(profile.rules, key))
        except re.error as error:
            raise fail(f"rules.{key}: not a regular expression: {error}", path=file) from None
    for key, kind in profile.rules.values.items():
        name, _, other = kind.partition(" or ")
        if name not in KINDS or other not in ("", "null", "missing"):
            what = f"rules.values.{key}: {kind!r}: expected one of {', '.join(KINDS)}, with `or null` or `or missing`"
            raise fail(what, path=file)
    points = profile.rules.operating_points
    if profile.package.operating_points is not None and not 0 < points <= MAX_POINTS:
        raise fail(f"rules.operating_points: expected 1 to {MAX_POINTS}, got {points}", path=file)
    if sum(author.corresponding for author in profile.authors) != 1:
        raise fail("authors: expected exactly one with `corresponding: true`", path=file)
    author = profile.corresponding
    if not plain(author.lastname) or not plain(author.affiliation.abbreviation):
        raise fail("the corresponding author's names are empty", "the label needs them in Latin letters", file)
    return profile


def thresholds_of(operating_points: int) -> list[float]:
    """Return the centres of equal parts of [0, 1]: 0.01, 0.03 ... 0.99 for 50."""
    return [(i + 0.5) / operating_points for i in range(operating_points)]


def fill(pattern: Any, values: Mapping[str, Any]) -> Any:
    """Replace each {name} in `pattern`, text or a tree of dicts and lists. A lone "{name}" becomes the value itself."""
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
    """Return the letters, digits and hyphens of a name without accents, as in labels."""
    ascii_text = unicodedata.normalize("NFKD", text.translate(UNACCENTED)).encode("ascii", "ignore").decode()
    return re.sub(r"[^A-Za-z0-9-]", "", ascii_text)
