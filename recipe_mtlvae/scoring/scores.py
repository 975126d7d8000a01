"""Score folders: one TSV a clip, `onset offset <class> ...`, windows gapless (sed_scores_eval's format)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np

from recipe_mtlvae.errors import fail
from recipe_mtlvae.files import write_text


class ClipScores(NamedTuple):
    """One clip: window t covers [edges[t], edges[t + 1])."""

    edges: np.ndarray  # (windows + 1,) seconds
    scores: np.ndarray  # (windows, classes)


@dataclass(frozen=True)
class ScoreFolder:
    """The scores of a split, as a system wrote them."""

    classes: tuple[str, ...]
    clips: dict[str, ClipScores]  # by clip id: the file name without suffix


def write_scores(folder: Path, clip_id: str, scores: np.ndarray, step_seconds: float, classes: Sequence[str]) -> None:
    """Write `scores` (steps, classes) of one clip, step t covering [t, t + 1) * step_seconds, to <clip_id>.tsv.

    Raises RecipeError for scores that are not finite, ValueError for another shape.
    """
    if scores.shape != (len(scores), len(classes)) or not len(scores):
        raise ValueError(f"{clip_id}: expected scores (steps, {len(classes)}), got {scores.shape}")
    if clip_id != Path(clip_id).name or clip_id.startswith("."):
        raise fail(f"{clip_id}: expected a plain name of a clip", path=folder)
    if not np.isfinite(scores).all():
        raise fail("the network gave scores that are not finite", "its training diverged", folder / f"{clip_id}.tsv")
    edges = (np.arange(len(scores) + 1) * step_seconds).round(6)
    table = np.column_stack([edges[:-1], edges[1:], scores])
    row = "\t".join(["%.10g", "%.10g", *["%.8g"] * len(classes)]) + "\n"  # 8 digits tell float32 values near 1 apart
    header = "\t".join(["onset", "offset", *classes]) + "\n"
    write_text(folder / f"{clip_id}.tsv", header + row * len(scores) % tuple(table.ravel().tolist()))
