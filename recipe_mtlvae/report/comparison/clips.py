"""Test clips to look at and listen to: the worst, the median and the best, with the detections of all systems."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from recipe_mtlvae.audio.decoding import read_audio
from recipe_mtlvae.conf import Conf
from recipe_mtlvae.corpus.names import stem_of
from recipe_mtlvae.corpus.splits import Corpus
from recipe_mtlvae.errors import RecipeError, reason_of
from recipe_mtlvae.inputs.prepared import Split, open_split
from recipe_mtlvae.labels import Event
from recipe_mtlvae.report.comparison.compared import ComparedSystem
from recipe_mtlvae.report.sound import encoded
from recipe_mtlvae.scoring.f1 import f1
from recipe_mtlvae.scoring.matching import active_segments
from recipe_mtlvae.scoring.scenarios import SEGMENT


@dataclass(frozen=True)
class ClipView:
    """One clip on the page."""

    name: str
    rank: str  # worst | median | best | by F1 (all clips of a small split)
    f1: float  # segment-based, of this clip, mean of the systems
    seconds: float
    lanes: list[tuple[str, Sequence[Event]]]  # the truth, then each system's detections, with their names
    log_mel: np.ndarray | None  # (mels, frames), dB
    audio: str | None  # data URI


def clip_views(
    systems: Sequence[ComparedSystem], split: str, corpus: Corpus | None, each: int, gaps: list[str]
) -> list[ClipView]:
    """Return the `each` worst, median and best clips. Missing data is noted in `gaps` and raises no error."""
    outputs = {system.name: system.results[split].output for system in systems if split in system.results}
    outputs = {name: output for name, output in outputs.items() if output is not None}
    if not outputs:
        gaps.append(f"No test clips are shown: their scores or their truth (truth_{split}.json) are missing.")
        return []
    reference = next(iter(outputs.values())).reference
    detected = {name: output.detected for name, output in outputs.items()}
    scores = {
        clip: _mean_f1(truth, [found.get(clip, ()) for found in detected.values()], reference.durations[clip])
        for clip, truth in reference.truth.items()
    }
    ranked = choose(scores, reference.truth, each)
    if not ranked:
        gaps.append("No test clips are shown: none has an event, true or detected.")
    prepared = _open_corpus(corpus, split, gaps) if ranked else None
    places = {stem_of(clip.name): i for i, clip in enumerate(prepared.clips)} if prepared else {}
    views = []
    for clip, rank in ranked:
        lanes = [("truth", reference.truth[clip]), *((name, found.get(clip, ())) for name, found in detected.items())]
        seconds = corpus.conf.data.clip_seconds if corpus else reference.durations[clip]
        view = ClipView(clip, rank, scores[clip], seconds, lanes, None, None)
        views.append(_with_recording(view, prepared, places[clip], corpus.conf) if clip in places else view)
    return views


def segment_f1(truth: Sequence[Event], detected: Sequence[Event], duration: float) -> float | None:
    """F1 of one clip over its (class, segment) pairs; None if it has no event, true or detected."""
    classes = sorted({event.label for event in (*truth, *detected)})
    there, found = (active_segments(events, duration, classes, SEGMENT.segment_length) for events in (truth, detected))
    if not (there.any() or found.any()):
        return None
    return float(np.nan_to_num(f1((found & there).sum(), (found & ~there).sum(), there.sum())))


def choose(f1: Mapping[str, float | None], truth: Mapping[str, Sequence[Event]], each: int) -> list[tuple[str, str]]:
    """Return (clip, rank) of the worst, median and best clips. Among equals, clips with more true events come first."""
    known = {name: value for name, value in f1.items() if value is not None}
    order = sorted(known, key=lambda name: (-known[name], -len(truth[name]), name))
    if len(order) <= 3 * each:
        return [(name, "by F1") for name in order]
    middle = (len(order) - each) // 2
    best, median = order[:each], order[middle : middle + each]
    worst = worst_first(known.keys() - {*best, *median}, known, truth)[:each]
    chosen = {"worst": worst, "median": median, "best": best}
    return [(name, rank) for rank, names in chosen.items() for name in names]


def worst_first(names: Iterable[str], f1: Mapping[str, float], truth: Mapping[str, Sequence[Event]]) -> list[str]:
    """Sort clips by F1, the worst first; among equals, the clip with more true events comes first."""
    return sorted(names, key=lambda name: (f1[name], -len(truth[name]), name))


def _mean_f1(truth: Sequence[Event], detected: Sequence[Sequence[Event]], duration: float) -> float | None:
    """The mean F1 of the systems; None if the clip has no event, true or detected by any system.

    In a clip without true events, a system that detects nothing counts as 1 if another system detects something.
    """
    values = [segment_f1(truth, found, duration) for found in detected]
    if all(value is None for value in values):
        return None
    return float(np.mean([1.0 if value is None else value for value in values]))


def _open_corpus(corpus: Corpus | None, split: str, gaps: list[str]) -> Split | None:
    if corpus is None:
        gaps.append("The test clips are shown without spectrogram and sound: no run says where its corpus is.")
        return None
    try:
        return open_split(corpus, split)
    except RecipeError as error:
        gaps.append(f"The test clips are shown without spectrogram and sound: {reason_of(error)}.")
        return None


def _with_recording(view: ClipView, prepared: Split, place: int, conf: Conf) -> ClipView:
    """Return the view with the full name, the spectrogram and the sound of its clip."""
    clip = prepared.clips[place]
    log_mel = prepared.stores["log_mel"].read([place])[0].astype(np.float32)
    view = replace(view, name=clip.name, log_mel=log_mel)
    try:
        audio = read_audio(clip.path, conf.features.sample_rate, conf.data.clip_seconds)
    except RecipeError:  # the recording was removed after its features were computed
        return view
    return replace(view, audio=encoded(audio.samples, conf.features.sample_rate))
