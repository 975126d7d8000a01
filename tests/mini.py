"""A mini corpus of few clips, and readers of its files and tables."""

from __future__ import annotations

import hashlib
from pathlib import Path

from local.mini.corpus import make_corpus
from recipe_mtlvae.conf import CONF_DIR, Conf, load_conf

SIZES = {
    "synthetic_train": 4,
    "strong_real": 3,
    "weak": 3,
    "unlabeled": 2,
    "synthetic_validation": 3,
    "validation": 4,
    "public": 2,
    "evaluation": 2,
}

STRONG = ("synthetic_train", "strong_real", "synthetic_validation", "validation", "public")


def small_conf(*settings: str) -> Conf:
    sizes = [f"mini.{split}={clips}" for split, clips in SIZES.items()]
    return load_conf(CONF_DIR / "data" / "mini.yaml", settings=[*sizes, *settings])


def tree(root: Path) -> dict[str, str]:
    """Return the hash of every file by its path."""
    files = sorted(path for path in root.rglob("*") if path.is_file())
    return {path.relative_to(root).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def rows(tsv: Path) -> list[list[str]]:
    return [line.split("\t") for line in tsv.read_text(encoding="utf-8").splitlines()]


def sources(root: Path, split: str) -> set[str]:
    return {source for _, source in rows(root / "metadata" / "sources" / f"{split}.tsv")[1:]}


def with_real_validation(root: Path, before: Path, *settings: str) -> set[str]:
    """Make `real_validation` beside the other splits and return its source sounds, by hash.

    Asserts that all other files are those of the corpus `before`, which lacks `real_validation`.
    """
    conf = small_conf("mini.real_validation=3", *settings)
    make_corpus(conf, root, workers=1)
    made, others = tree(root), tree(before)
    added = made.keys() - others.keys()
    metadata = {"metadata/validation/real_validation.tsv", "metadata/sources/real_validation.tsv"}
    assert {path for path in added if not path.endswith(".wav")} == metadata
    assert len(added - metadata) == 3
    changed = {path for path in others if made[path] != others[path]}
    assert changed == {"mini_corpus.json"}  # which holds the key
    return sources(root, "real_validation")
