"""Test clips worth looking at: the best, the median and the worst, with their spectrogram, truth and detections."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from recipe_mtlvae.conf import Conf, FeatureConf
from recipe_mtlvae.data.corpus import Split, open_split
from recipe_mtlvae.errors import RecipeError
from recipe_mtlvae.labels import Event
from recipe_mtlvae.scoring.postprocess import median_filter, to_events
from recipe_mtlvae.scoring.scores import ScoreFolder, read_scores

RANKS = {"best": 3, "median": 2, "worst": 3}


@dataclass(frozen=True)
class ClipView:
    """One clip of a page."""

    name: str
    rank: str  # best | median | worst
    f1: float  # segment-based, of this clip
    log_mel: np.ndarray | None  # (mels, frames), dB
    frame_seconds: float
    seconds: float  # the time axis's length
    lanes: dict[str, Sequence[Event]]  # "truth", then each system's detections


def clip_views(conf: Conf, root: Path, folder: Path, gaps: list[str]) -> list[ClipView]:
    """Views of some validation clips scored in `folder`; what is missing becomes a gap, not an error."""
    try:
        split, scores = open_split(conf, root, "validation"), read_scores(folder)
    except RecipeError as error:
        gaps.append(f"No test clips are shown: {error.faults[0]}.")
        return []
    detected = detections(scores, conf)
    truth = {Path(clip.name).stem: clip.events or () for clip in split.clips}
    ranked = choose({name: segment_f1(truth[name], detected[name]) for name in detected if name in truth}, truth)
    if not ranked:
        gaps.append("No test clips are shown: none has an event, true or detected.")
    return [_view(split, name, rank, f1, truth[name], detected[name], conf) for name, rank, f1 in ranked]


def detections(scores: ScoreFolder, conf: Conf) -> dict[str, list[Event]]:
    """Each clip's events at the configured median filter and threshold."""
    after = conf.postprocess
    return {
        clip: to_events(median_filter(values, after.median_filter), edges, scores.classes, after.threshold)
        for clip, (edges, values) in scores.clips.items()
    }


def segment_f1(truth: Sequence[Event], detected: Sequence[Event]) -> float | None:
    """F1 of one clip over its (class, second) pairs; None where there is no event at all."""
    expected, found = _active_seconds(truth), _active_seconds(detected)
    return 2 * len(expected & found) / (len(expected) + len(found)) if expected or found else None


def choose(f1: Mapping[str, float | None], truth: Mapping[str, Sequence[Event]]) -> list[tuple[str, str, float]]:
    """(clip, rank, F1) of the best, median and worst clips; among equals the clip with more events says more."""
    known = {name: value for name, value in f1.items() if value is not None}
    order = sorted(known, key=lambda name: (-known[name], -len(truth[name]), name))
    if len(order) <= sum(RANKS.values()):
        return [(name, "by F1", known[name]) for name in order]
    middle = (len(order) - RANKS["median"]) // 2
    worst = sorted(order[-len(order) // 3 :], key=lambda name: (known[name], -len(truth[name]), name))[: RANKS["worst"]]
    chosen = {"best": order[: RANKS["best"]], "median": order[middle : middle + RANKS["median"]], "worst": worst[::-1]}
    return [(name, rank, known[name]) for rank, names in chosen.items() for name in names]


def band_centres(features: FeatureConf) -> np.ndarray:
    """Centre frequencies of the mel bands in Hz (mels,), on the HTK scale."""

    def mel(hertz: float) -> float:
        return 2595.0 * math.log10(1.0 + hertz / 700.0)

    points = np.linspace(mel(features.f_min), mel(features.f_max), features.mels + 2)[1:-1]
    return 700.0 * (10.0 ** (points / 2595.0) - 1.0)


def _active_seconds(events: Sequence[Event]) -> set[tuple[str, int]]:
    return {(e.label, second) for e in events for second in range(math.floor(e.onset), math.ceil(e.offset))}


def _view(
    split: Split, name: str, rank: str, f1: float, truth: Sequence[Event], detected: Sequence[Event], conf: Conf
) -> ClipView:
    row = next(i for i, clip in enumerate(split.clips) if Path(clip.name).stem == name)
    lanes = {"truth": truth, "detected": detected}
    return ClipView(
        name=split.clips[row].name,
        rank=rank,
        f1=f1,
        log_mel=split.store.read([row])[0].astype(np.float32),
        frame_seconds=conf.features.hop / conf.features.sample_rate,
        seconds=conf.data.clip_seconds,
        lanes=lanes,
    )
