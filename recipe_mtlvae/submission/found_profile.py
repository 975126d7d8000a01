"""Find out which year of the challenge a package is for, from its content."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Sequence
from pathlib import Path

from recipe_mtlvae.errors import RecipeError
from recipe_mtlvae.submission.check_meta import Document
from recipe_mtlvae.submission.package_files import open_package
from recipe_mtlvae.submission.profile import DEFAULT_PROFILE, Profile, read_profile, shipped_profiles

LOOKED_AT = 20_000  # files and folders: enough for one system


def found_profile(path: Path) -> tuple[str, Profile]:
    """Return the name and profile of the shipped profile that fits the package best.

    The package has the largest share of the outputs, labels and meta keys of this profile. Raises RecipeError if `path`
    is not a package at all.
    """
    profiles = {name: read_profile(file) for name, file in shipped_profiles().items()}
    document = None
    with open_package(path) as package:
        names, folders = list(package.files)[:LOOKED_AT], list(package.folders)[:LOOKED_AT]
        with contextlib.suppress(RecipeError, StopIteration):
            document = Document(package, next(name for name in names if name.endswith(".meta.yaml")))
    shares = {name: _share(names, folders, document, profile) for name, profile in profiles.items()}
    best = max(profiles, key=lambda name: (shares[name], name == DEFAULT_PROFILE.stem))
    return best, profiles[best]


def _share(names: Sequence[str], folders: Sequence[str], document: Document | None, profile: Profile) -> float:
    patterns = profile.package
    outputs = [patterns.events, patterns.operating_points, patterns.scores, patterns.unprocessed]
    there = [_holds(names, pattern) for pattern in outputs if pattern is not None]
    there.append(any(re.fullmatch(profile.rules.label, folder) for folder in folders))
    keys = [tuple(key.split(".")) for key in profile.rules.values]
    there += [document is not None and document.has(document.expand(key)[0]) for key in keys]
    return sum(there) / len(there)


def _holds(names: Sequence[str], pattern: str) -> bool:
    """Return whether a file, or a folder that contains a file, has a name of this pattern."""
    parts = re.split(r"\{\w+\}", pattern)
    expression = re.compile("[^/]+".join(map(re.escape, parts)) + r"(/[^/]+)?")
    return any(expression.fullmatch(name) for name in names)
