"""Which challenge year a package is for, from what it holds."""

from __future__ import annotations

import re
from pathlib import Path

import yaml

from recipe_mtlvae.conf_files import load_yaml
from recipe_mtlvae.errors import RecipeError
from recipe_mtlvae.submission.check_meta import MAX_META
from recipe_mtlvae.submission.package_files import Package, open_package
from recipe_mtlvae.submission.profile import DEFAULT_PROFILE, Profile, read_profile, shipped_profiles

LOOKED_AT = 20_000  # files: enough for a system


def found_profile(path: Path) -> tuple[str, Profile]:
    """The shipped profile, with its name, of whose outputs, labels and meta keys the package has the largest share.

    Raises RecipeError where `path` is no package at all.
    """
    profiles = {name: read_profile(file) for name, file in shipped_profiles().items()}
    with open_package(path) as package:
        shares = {name: _share(package, profile) for name, profile in profiles.items()}
    best = max(profiles, key=lambda name: (shares[name], name == DEFAULT_PROFILE.stem))
    return best, profiles[best]


def _share(package: Package, profile: Profile) -> float:
    names = list(package.files)[:LOOKED_AT]
    patterns = profile.package
    outputs = [patterns.events, patterns.operating_points, patterns.scores, patterns.unprocessed]
    there = [_holds(names, pattern) for pattern in outputs if pattern is not None]
    there.append(any(re.fullmatch(profile.rules.label, folder) for folder in list(package.folders)[:LOOKED_AT]))
    meta = next((name for name in names if name.endswith(".meta.yaml")), None)
    content = None
    if meta is not None:
        try:
            content = load_yaml(package.read(meta, MAX_META).decode("utf-8"))
        except (RecipeError, UnicodeDecodeError, yaml.YAMLError):
            content = None
    there += [_has(content, key) for key in profile.rules.values]
    return sum(there) / len(there) if there else 0.0


def _holds(names: list[str], pattern: str) -> bool:
    """Whether a file has this name, or lies in a folder of this name."""
    parts = re.split(r"\{\w+\}", pattern)
    expression = re.compile("[^/]+".join(map(re.escape, parts)) + r"(/[^/]+)?")
    return any(expression.fullmatch(name) for name in names)


def _has(content: object, key: str) -> bool:
    for part in key.split("."):
        if part == "*":
            return isinstance(content, dict)
        if not isinstance(content, dict) or part not in content:
            return False
        content = content[part]
    return True
