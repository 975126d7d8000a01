"""Stage 3: PSDS and F1 of the score folders, for validation and public, with a table on screen."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from local.stage import Stage, open_stage
from recipe_mtlvae.conf import conf_to_dict
from recipe_mtlvae.data.corpus import open_split
from recipe_mtlvae.errors import exit_code_of, fail
from recipe_mtlvae.scoring.command import measure, prepare
from recipe_mtlvae.scoring.reference import Reference, split_reference
from recipe_mtlvae.scoring.scores import read_scores

SPLITS = {"validation": "metrics.json", "public": "metrics_public.json"}


def main() -> None:
    stage = open_stage(3, __doc__)
    folders = {split: stage.run_dir / "scores" / split for split in SPLITS}
    folders = {split: folder for split, folder in folders.items() if folder.is_dir()}
    if not folders:
        raise fail("no scores to measure", "run stage 2 first", stage.run_dir / "scores")
    references = {split: split_reference(open_split(stage.conf, stage.root, split)) for split in folders}
    inputs = {split: _inputs(folder, references[split]) for split, folder in folders.items()}
    inputs["postprocess"] = conf_to_dict(stage.conf)["postprocess"]
    if stage.done(inputs) and all((stage.run_dir / SPLITS[split]).exists() for split in folders):
        print(f"stage 3: {stage.run_dir / 'metrics.json'} is there already")
        return
    for split, folder in folders.items():
        _score(stage, split, folder, references[split])
    stage.mark_done(inputs)


def _score(stage: Stage, split: str, folder: Path, reference: Reference) -> None:
    after = stage.conf.postprocess
    system = prepare(read_scores(folder), reference, after.threshold, steps=after.median_filter)
    print(f"stage 3: {split}")
    measure(system, split, stage.run_dir / SPLITS[split], stage.run_dir / f"psd_roc_{split}.json")


def _inputs(folder: Path, reference: Reference) -> Any:
    """What a score is made of: its files as they lie on disk, truth and durations."""
    files = sorted((file.name, file.stat().st_size, file.stat().st_mtime_ns) for file in folder.iterdir())
    truth = {clip: [str(event) for event in events] for clip, events in reference.truth.items()}
    return [files, truth, reference.durations, reference.expected]


if __name__ == "__main__":
    sys.exit(exit_code_of(main))
