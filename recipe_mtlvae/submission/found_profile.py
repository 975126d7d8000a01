"""Which challenge year a package is for, from what it holds."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Sequence
from pathlib import Path

from recipe_mtlvae.errors import RecipeError
from recipe_mtlvae.submission.check_meta import Document
from recipe_mtlvae.submission.package_files import open_package
from recipe_mtlvae.submission.profile import DEFAULT_PROFILE, Profile, read_profile, shipped_profiles

LOOKED_AT = 20_000  # files: enough for a system


def found_profile(path: Path) -> tuple[str, Profile]:
    """The shipped profile, with its name, of whose outputs, labels and meta keys the package has the largest share.

    Raises RecipeError where `path` is no package at all.
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
    """Whether a file has this name, or lies in a folder of this name."""
    parts = re.split(r"\{\w+\}", pattern)
    expression = re.compile("[^/]+".join(map(re.escape, parts)) + r"(/[^/]+)?")
    return any(expression.fullmatch(name) for name in names)
