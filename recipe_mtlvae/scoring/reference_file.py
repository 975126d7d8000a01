"""The truth that a run carries with it, so that its scores can be measured again and compared anywhere."""

from __future__ import annotations

import json
from pathlib import Path

from recipe_mtlvae.errors import fail
from recipe_mtlvae.files import read_text, write_json
from recipe_mtlvae.labels import Event
from recipe_mtlvae.scoring.reference import Reference


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
    """What write_reference wrote. Raises RecipeError where there is no such file or it holds something else."""
    try:
        content = json.loads(read_text(file))
        clips = content["clips"]
        truth = {clip: [Event(*event) for event in entry["events"]] for clip, entry in clips.items()}
        durations = {clip: float(entry["duration"]) for clip, entry in clips.items()}
        return Reference(truth, durations, int(content["expected"]))
    except FileNotFoundError:
        raise fail("this run does not carry its truth", "give --ground_truth and --durations", file) from None
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        what = f"expected the truth of a run, as stage 3 writes it ({type(error).__name__})"
        raise fail(what, "give --ground_truth and --durations", file) from None
