"""A system's output on a split in the form of a package: events, operating points and score folders."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from recipe_mtlvae.conf import Conf
from recipe_mtlvae.corpus.names import stem_of
from recipe_mtlvae.errors import fail
from recipe_mtlvae.inputs.prepared import Split
from recipe_mtlvae.scoring.postprocess import median_filter, stretches
from recipe_mtlvae.scoring.scores import ClipScores, ScoreFolder, score_text
from recipe_mtlvae.submission.profile import MAX_POINTS, Profile, fill, thresholds_of

Files = dict[str, bytes | Callable[[], bytes]]  # by name; score files are made as they are written


def clip_ids(split: Split) -> dict[str, str]:
    """Return the file names by clip id, sorted by file name."""
    return {stem_of(clip.name): clip.name for clip in sorted(split.clips, key=lambda clip: clip.name)}


def event_files(split: Split, scores: ScoreFolder, conf: Conf, profile: Profile) -> Files:
    """Return a TSV of events for each threshold that the profile asks for, all from the same median-filtered scores.

    Rows are sorted by file name, onset, offset and label. Events are cut at the end of their clip.
    """
    patterns, names, columns = profile.package, profile.names, profile.package.columns
    wanted: dict[str, float] = {}  # thresholds by file name
    if patterns.events is not None:
        wanted[fill(patterns.events, names)] = conf.postprocess.threshold
    if patterns.operating_points is not None:
        if (points := conf.postprocess.operating_points) > MAX_POINTS:
            what = f"postprocess.operating_points: expected at most {MAX_POINTS} for a package, got {points}"
            raise fail(what, f"the challenge asks for {profile.rules.operating_points}")
        for threshold in thresholds_of(conf.postprocess.operating_points):
            wanted[fill(patterns.operating_points, {**names, "threshold": f"{threshold:.2f}"})] = threshold
    content = [["\t".join(columns) + "\n"] for _ in wanted]
    thresholds, durations = list(wanted.values()), split.durations
    for clip_id, name in clip_ids(split).items() if wanted else ():
        edges, clip_scores = scores.clips[clip_id]
        filtered = median_filter(clip_scores, conf.postprocess.median_filter)
        rows = _rows(name, filtered, edges, durations[name], scores.classes, thresholds, columns)
        for part, clip_rows in zip(content, rows, strict=True):
            part.append("".join(clip_rows))
    return {file: "".join(part).encode() for file, part in zip(wanted, content, strict=True)}


def score_files(
    folder: str, split: Split, scores: ScoreFolder, filled: Sequence[str], profile: Profile, steps: int
) -> Files:
    """Return a TSV of scores for each clip, median-filtered over `steps`, with constant scores for `filled` classes."""

    def content(clip: ClipScores) -> bytes:
        values = median_filter(clip.scores, steps)
        values = np.hstack([values, np.full((len(values), len(filled)), profile.rules.fill or 0.0)])
        return "".join(score_text(clip._replace(scores=values), (*scores.classes, *filled))).encode()

    return {f"{folder}/{clip}.tsv": lambda clip=clip: content(scores.clips[clip]) for clip in clip_ids(split)}


def _rows(
    name: str,
    scores: np.ndarray,
    edges: np.ndarray,
    duration: float,
    classes: Sequence[str],
    thresholds: Sequence[float],
    columns: Sequence[str],
) -> list[list[str]]:
    """Return the TSV rows of one clip for each threshold: postprocess.to_events for all thresholds in one pass.

    `scores` (steps, classes); `edges` (steps + 1,) and `duration` in seconds.
    """
    limits = np.asarray(thresholds, dtype=scores.dtype)[:, None, None]
    row, first, last = stretches(np.greater(scores.T, limits))
    which, column = np.divmod(row, len(classes))
    times = [f"{time:.3f}" for time in np.minimum(edges, np.floor(duration * 1000 + 1e-6) / 1000)]
    order = np.lexsort((column, last, first, which))
    rows: list[list[str]] = [[] for _ in thresholds]
    for i, j, a, b in np.stack([which, column, first, last], axis=1)[order].tolist():
        if times[a] != times[b]:  # else the event lies in the padding
            row = {"filename": name, "onset": times[a], "offset": times[b], "event_label": classes[j]}
            rows[i].append("\t".join([row[name] for name in columns]) + "\n")
    return rows
