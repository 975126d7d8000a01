"""Score folders: one TSV for each clip, `onset offset <class> ...`, with gapless windows (sed_scores_eval's format)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np

from recipe_mtlvae.errors import Fault, RecipeError, fail
from recipe_mtlvae.files import atomic_write, refuse_pipe

SLACK = 1e-6  # s; allowed gap or overlap of neighbouring windows, since other programs round their times
ROWS = 10_000  # rows written at a time, so that hours of scores need no more memory than minutes


class ClipScores(NamedTuple):
    """The scores of one clip: window t covers [edges[t], edges[t + 1])."""

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
    if not clip_id or clip_id != Path(clip_id).name or clip_id.startswith("."):
        raise fail(f"{clip_id}: expected a plain name of a clip", path=folder)
    if not np.isfinite(scores).all():
        raise fail("the network gave scores that are not finite", "its training diverged", folder / f"{clip_id}.tsv")
    edges = (np.arange(len(scores) + 1) * step_seconds).round(6)
    with (
        atomic_write(folder / f"{clip_id}.tsv") as temporary,
        temporary.open("w", encoding="utf-8", newline="\n") as file,
    ):
        file.writelines(score_text(ClipScores(edges, scores), classes))


def score_text(clip: ClipScores, classes: Sequence[str]) -> Iterator[str]:
    """Yield the TSV of one clip in parts."""
    edges, scores = clip
    row = "\t".join(["%.10g", "%.10g", *["%.8g"] * len(classes)]) + "\n"  # 8 digits tell float32 values near 1 apart
    yield "\t".join(["onset", "offset", *classes]) + "\n"
    for first in range(0, len(scores), ROWS):
        part = slice(first, first + ROWS)
        table = np.column_stack([edges[:-1][part], edges[1:][part], scores[part]])
        yield row * len(table) % tuple(table.ravel().tolist())


def read_scores(folder: Path) -> ScoreFolder:
    """Read a score folder. Columns are found by name and take the order of the first file.

    Hidden files and files not named *.tsv are ignored. Raises RecipeError with a fault for each file in which windows
    or columns are wrong or a value is not a finite number.
    """
    if not folder.is_dir():
        raise fail("no such score folder", path=folder)
    files = sorted(path for path in folder.glob("*.tsv") if not path.name.startswith("."))
    if not files:
        raise fail("empty score folder: expected one <clip>.tsv a clip", path=folder)
    classes: tuple[str, ...] | None = None
    clips: dict[str, ClipScores] = {}
    faults: list[Fault] = []
    for file in files:
        try:
            refuse_pipe(file)
            own_classes, clip = parse_scores(file.read_bytes(), file)
        except RecipeError as error:
            faults += error.faults
            continue
        if classes is None:
            classes = own_classes
        if sorted(own_classes) != sorted(classes):
            faults.append(Fault(f"expected columns {' '.join(classes)}; got {' '.join(own_classes)}", "", file, 1))
        elif own_classes != classes:
            clip = clip._replace(scores=clip.scores[:, [own_classes.index(label) for label in classes]])
        clips[file.stem] = clip
    if faults:
        raise RecipeError(*faults)
    return ScoreFolder(classes or (), clips)


def parse_scores(content: bytes, file: Path | str) -> tuple[tuple[str, ...], ClipScores]:
    """Parse the classes and scores of one clip's TSV. Raises RecipeError naming `file` and the line at fault."""
    try:
        header, *lines = content.decode("utf-8").splitlines()
    except (UnicodeDecodeError, ValueError):
        raise fail("expected a table of scores, got an empty file or no text", "save it as UTF-8", file) from None
    columns = header.split("\t")
    classes = tuple(columns[2:])
    if columns[:2] != ["onset", "offset"] or not classes or len(set(classes)) < len(classes):
        raise fail(f"expected columns onset, offset and one a class, got {' '.join(columns)!r}", path=file, line=1)
    if not lines:
        raise fail("expected at least one window, got none", path=file)
    table = _numbers(lines, len(columns))
    if table is None:
        raise _bad_number(file, lines, len(columns))
    onsets, offsets = table[:, 0], table[:, 1]
    wrong = (offsets <= onsets) | (np.abs(onsets - np.append(0.0, offsets[:-1])) > SLACK)
    if wrong.any():
        row = int(np.argmax(wrong))
        after = f" after one that ends at {offsets[row - 1]:g}" if row else ""
        what = f"expected gapless windows from 0 s on, got one from {onsets[row]:g} to {offsets[row]:g} s{after}"
        raise fail(what, path=file, line=row + 2)
    return classes, ClipScores(np.append(onsets, offsets[-1]), table[:, 2:])


def _numbers(lines: Sequence[str], columns: int) -> np.ndarray | None:
    """Return the values (lines, columns), or None if a row does not consist of `columns` finite numbers."""
    if any(line.count("\t") != columns - 1 for line in lines):
        return None
    text = "\t".join(lines)
    if "_" in text:  # Python reads 1_0 as 10
        return None
    try:
        values = np.fromiter(map(float, text.split("\t")), dtype=np.float64)
    except ValueError:
        return None
    if not np.isfinite(values).all():
        return None
    return values.reshape(len(lines), columns)


def _bad_number(file: Path | str, lines: Sequence[str], columns: int) -> RecipeError:
    """Return an error that describes the first row that is wrong."""
    for number, line in enumerate(lines, start=2):
        fields = line.split("\t")
        if len(fields) != columns:
            return fail(f"expected {columns} fields, got {len(fields)}", path=file, line=number)
        for field in fields:
            if _numbers([field], 1) is None:
                return fail(f"expected a finite number, got {field!r}", path=file, line=number)
    return fail("expected a table of numbers", path=file)
