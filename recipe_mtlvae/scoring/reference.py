"""The reference that scores are compared with: truth and durations of the clips whose audio is available.

Each run stores its own reference, so that its scores can be measured again and compared anywhere.
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from recipe_mtlvae.corpus.metadata import read_events
from recipe_mtlvae.corpus.names import stem_of
from recipe_mtlvae.errors import Fault, RecipeError, fail
from recipe_mtlvae.files import content_hash, read_text, write_json
from recipe_mtlvae.labels import Event, merge_events
from recipe_mtlvae.scoring.scores import ClipScores, ScoreFolder

if TYPE_CHECKING:
    from recipe_mtlvae.inputs.prepared import Split  # features and their store, which scoring does not need


@dataclass(frozen=True)
class Reference:
    """Truth and durations by clip id, the file name without suffix. Clips without audio are in neither."""

    truth: dict[str, list[Event]]  # as published, but overlapping or touching events of a class are merged
    durations: dict[str, float]  # s
    expected: int  # number of clips, with or without audio
    unnamed: int = 0  # number of clips with audio that the truth does not name: event-free

    @property
    def clip_list_hash(self) -> str:
        """Hash of the clips that are counted. Scores with different hashes cannot be compared."""
        return content_hash(sorted(self.durations))


@dataclass(frozen=True)
class Attached:
    """The scores of exactly the clips of a reference."""

    scores: ScoreFolder
    missing: int  # number of clips without scores, which count as event-free
    others: int  # number of scored clips that are not in the reference and were left out


def read_reference(ground_truth: Path, durations: Path, classes: Sequence[str] | None) -> Reference:
    """Read a TSV of strong labels and a TSV `filename duration`, which is the clip list.

    classes: the allowed labels; None: any. A clip with audio that the truth does not name is event-free.
    Raises RecipeError with all faults, or if the files have no clip in common.
    """
    truth = _by_id(read_events(ground_truth, classes), ground_truth)
    seconds = _by_id(_read_durations(durations), durations)
    if not truth.keys() & seconds.keys():
        raise fail(f"no clip of {durations.name} is in the ground truth: file names differ", path=ground_truth)
    merged = {clip: merge_events(truth.get(clip, ())) for clip in seconds}
    return Reference(merged, seconds, len(truth.keys() | seconds.keys()), len(seconds.keys() - truth.keys()))


def split_reference(split: Split) -> Reference:
    """Return the reference of a prepared split."""
    truth = {stem_of(clip.name): merge_events(clip.events or ()) for clip in split.recordings}
    durations = {stem_of(name): seconds for name, seconds in split.seconds.items()}
    return Reference(truth, durations, split.expected)


def reference_path(run_dir: Path, split: str) -> Path:
    return run_dir / f"truth_{split}.json"


def write_reference(file: Path, reference: Reference) -> None:
    """Write {expected, clips: {clip id: {duration, events: [[onset, offset, label], ...]}}}, times in seconds."""
    clips = {
        clip: {
            "duration": seconds,
            "events": [[event.onset, event.offset, event.label] for event in reference.truth[clip]],
        }
        for clip, seconds in sorted(reference.durations.items())
    }
    write_json(file, {"expected": reference.expected, "clips": clips})


def read_written_reference(file: Path) -> Reference:
    """Read what write_reference wrote. Raises RecipeError if the file is missing or holds something else."""
    try:
        content = json.loads(read_text(file))
        clips = content["clips"]
        truth = {clip: [_event(*event) for event in entry["events"]] for clip, entry in clips.items()}
        durations = {clip: float(entry["duration"]) for clip, entry in clips.items()}
        if not all(0 < seconds < np.inf for seconds in durations.values()) or content["expected"] < 1:
            raise ValueError("a duration or the number of clips")
        return Reference(truth, durations, int(content["expected"]))
    except FileNotFoundError:
        raise fail("this run does not carry its truth", "give --ground_truth and --durations", file) from None
    except (OSError, ValueError, ArithmeticError, KeyError, TypeError, AttributeError, RecursionError) as error:
        what = f"expected the truth of a run, as stage 3 writes it ({type(error).__name__})"
        raise fail(what, "give --ground_truth and --durations", file) from None


def _event(onset: float, offset: float, label: str) -> Event:
    if not 0 <= onset < offset < np.inf or not isinstance(label, str):
        raise ValueError("an event")
    return Event(onset, offset, label)


def attach(scores: ScoreFolder, reference: Reference, allow_missing: bool) -> Attached:
    """Return the scores of the reference's clips only.

    Raises RecipeError if a clip has audio but no scores. With `allow_missing`, such clips count as event-free, as long
    as other clips have scores.
    """
    missing = sorted(reference.durations.keys() - scores.clips.keys())
    if missing and (not allow_missing or len(missing) == len(reference.durations)):
        what = f"{len(missing)} of {len(reference.durations)} clips have audio but no scores: {', '.join(missing[:3])}"
        raise fail(
            what + (" ..." if len(missing) > 3 else ""),
            "write these scores, or count the clips as event-free: --allow_missing of the score command",
        )
    silent = np.full((1, len(scores.classes)), -np.inf)  # below every threshold
    clips = {clip: ClipScores(np.array([0.0, reference.durations[clip]]), silent) for clip in missing}
    clips |= {clip: scores.clips[clip] for clip in reference.durations if clip in scores.clips}
    others = len(scores.clips.keys() - reference.durations.keys())
    return Attached(ScoreFolder(scores.classes, clips), len(missing), others)


def _by_id(by_name: Mapping[str, object], file: Path) -> dict:
    """Return the values by clip id: the name without suffix, which is also the name of the clip's score file."""
    result = {stem_of(name): value for name, value in by_name.items()}
    if len(result) < len(by_name):
        raise fail("two clips have the same name except for the suffix: their scores would share a file", path=file)
    return result


def _read_durations(file: Path) -> dict[str, float]:
    try:
        reader = csv.DictReader(io.StringIO(read_text(file)), delimiter="\t", restval="")
        header = reader.fieldnames or []
        if not {"filename", "duration"} <= set(header):
            raise fail(f"expected columns filename and duration, got {' '.join(header)!r}", path=file, line=1)
        rows = [(reader.line_num, row["filename"], row["duration"]) for row in reader]
    except (FileNotFoundError, IsADirectoryError, NotADirectoryError):
        raise fail("no such file of durations", "check --durations", file) from None
    except (UnicodeDecodeError, csv.Error):
        raise fail("expected a table of durations, got no text", "save it as UTF-8", file) from None
    durations: dict[str, float] = {}
    faults = []
    for number, name, text in rows:
        if name in durations:
            faults.append(Fault(f"a second duration of {name}", "keep only one", file, number))
        try:
            durations[name] = float(text)
        except ValueError:
            durations[name] = np.nan
        if not 0 < durations[name] < np.inf:
            faults.append(Fault(f"expected a duration above 0 s, got {text!r}", "", file, number))
    if not durations:
        raise fail("expected at least one clip, got none", path=file)
    if faults:
        raise RecipeError(*faults)
    return durations
