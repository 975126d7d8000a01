"""`python -m recipe_mtlvae detect`: the events in anybody's recordings."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterable
from pathlib import Path

from recipe_mtlvae.data.manifest import AUDIO_SUFFIXES, bad_name, is_audio_name, show
from recipe_mtlvae.errors import Fault, RecipeError, fail
from recipe_mtlvae.files import write_text


def main(argv: list[str]) -> None:
    """Writes events.tsv (all recordings) and scores/<recording>.tsv below --out.

    A recording that cannot be read is reported at the end and does not stop the others.
    """
    options = _parser().parse_args(argv)
    recordings, faults = find_recordings(options.audio)
    if recordings:
        faults += detect(options.checkpoint, recordings, options.out)
    if faults:
        raise RecipeError(*faults)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser("python -m recipe_mtlvae detect", description=__doc__, allow_abbrev=False)
    parser.add_argument("--checkpoint", type=Path, required=True, help="best.ckpt of a run")
    parser.add_argument("--out", type=Path, required=True, help="folder for events.tsv and scores/")
    parser.add_argument("audio", type=Path, nargs="+", help="files or folders, any length, any rate")
    return parser


def find_recordings(paths: Iterable[Path]) -> tuple[list[Path], list[Fault]]:
    """The files named, and those with an audio suffix in the folders named, recursively; each once.

    Hidden files are left out, as macOS leaves them beside every copied one.
    """
    recordings: dict[Path, None] = {}
    faults = []
    for path in paths:
        if path.is_dir():
            found = sorted(file for file in path.rglob("*") if is_audio_name(file.name) and file.is_file())
            if not found:
                faults.append(Fault(f"no audio in this folder: expected {', '.join(AUDIO_SUFFIXES)}", path=path))
            recordings.update(dict.fromkeys(found))
        elif path.is_file():
            recordings[path] = None
        else:
            faults.append(Fault("no such file or folder", path=path))
    unfit = {path: reason for path in recordings if (reason := bad_name(path.name))}
    faults += [Fault(f"file name {show(path.name)}: {reason}", "rename it") for path, reason in unfit.items()]
    return [path for path in recordings if path not in unfit], faults


def detect(checkpoint: Path, recordings: list[Path], out: Path) -> list[Fault]:
    """Write the detections of `recordings` below `out`; the faults of those that could not be read."""
    ids = _score_names(recordings)
    from recipe_mtlvae.products.detector import Detector  # torch, only once the names are in order
    from recipe_mtlvae.scoring.scores import write_scores

    detector = Detector.load(checkpoint)
    faults: list[Fault] = []
    rows = ["filename\tonset\toffset\tevent_label"]
    seconds = 0.0
    for detection in detector.detect_all(recordings, faults):
        scores = detection.scores
        write_scores(out / "scores", ids[detection.path], scores, detector.grid.step_seconds, detector.classes)
        rows += [f"{detection.path}\t{e.onset:.3f}\t{e.offset:.3f}\t{e.label}" for e in detection.events]
        seconds += detection.duration
    write_text(out / "events.tsv", "\n".join(rows) + "\n")
    print(f"{len(rows) - 1} events in {seconds / 60:.1f} minutes of audio: {out / 'events.tsv'}", file=sys.stderr)
    return faults


def _score_names(recordings: list[Path]) -> dict[Path, str]:
    """Each recording's name in the score folder: its stem, with as many of its folders as tell it from the others."""
    names: dict[Path, str] = {}
    parts = {path: (*path.resolve().parent.parts[1:], path.stem) for path in recordings}
    for path, own in parts.items():
        rivals = [other for other, theirs in parts.items() if other != path and theirs[-1] == own[-1]]
        depth = next((n for n in range(1, len(own) + 1) if all(parts[r][-n:] != own[-n:] for r in rivals)), None)
        if depth is None:
            raise fail(
                "two recordings that differ in their suffix alone would share one score file", "rename one", path
            )
        names[path] = "_".join(own[-depth:])
    owners = {name: path for path, name in names.items()}
    for path, name in names.items():
        if owners[name] != path:
            raise fail(f"its scores and those of {owners[name]} would share the name {name}", "rename one", path)
    return names
