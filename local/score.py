"""Stage 3: compute PSDS and F1 from the score folders of strongly labelled test and select splits; print a table."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from local.stage import Stage, open_stage
from recipe_mtlvae.conf import conf_to_dict
from recipe_mtlvae.corpus.splits import scored_splits
from recipe_mtlvae.errors import exit_code_of, fail
from recipe_mtlvae.files import file_stamp, read_json
from recipe_mtlvae.inputs.prepared import open_split
from recipe_mtlvae.report.runs import metrics_name
from recipe_mtlvae.scoring.evaluation import measure, measure_by_aim, measure_tuned, prepare
from recipe_mtlvae.scoring.reference import Reference, reference_path, split_reference, write_reference
from recipe_mtlvae.scoring.scenarios import UNOFFICIAL
from recipe_mtlvae.scoring.scores import read_scores

BY_AIM = tuple(key for key in UNOFFICIAL if key != "tuned")  # keys of model.json too, if bounding boxes were tuned


def main() -> None:
    stage = open_stage(3, __doc__)
    entries = [
        _NetworkScores(folder, split, folder / metrics_name(split, stage.conf))
        for folder in stage.system_dirs().values()
        for split in scored_splits(stage.conf)
        if (folder / "scores" / split).is_dir()
    ]
    if not entries:
        raise fail("no scores to measure", "run stage 2 first", stage.run_dir / "scores")
    splits = {entry.split for entry in entries}
    references = {split: split_reference(open_split(stage.corpus, split)) for split in splits}
    hashed = ((entry.scores, _inputs(entry.scores, references[entry.split])) for entry in entries)
    inputs = {str(folder.relative_to(stage.run_dir)): what for folder, what in hashed}
    inputs["postprocess"] = conf_to_dict(stage.conf)["postprocess"]
    inputs["tuned"] = {str(entry.folder.relative_to(stage.run_dir)): entry.model("decoding") for entry in entries}
    for key in BY_AIM:
        found = {str(entry.folder.relative_to(stage.run_dir)): entry.model(key) for entry in entries}
        inputs |= {key: found} if any(found.values()) else {}
    if stage.done(inputs) and all(entry.is_there() for entry in entries):
        print(f"stage 3: {stage.run_dir / 'metrics.json'} is up to date")
        return
    with stage.begun():
        for entry in entries:
            _score(stage, entry, references[entry.split])
        stage.mark_done(inputs)


@dataclass(frozen=True)
class _NetworkScores:
    """The scores of one network on one split, and the files that stage 3 writes for them."""

    folder: Path  # the network's, from Stage.system_dirs
    split: str
    metrics: Path

    @property
    def scores(self) -> Path:
        return self.folder / "scores" / self.split

    @property
    def curves(self) -> Path:
        return self.folder / f"psd_roc_{self.split}.json"

    @property
    def truth(self) -> Path:
        return reference_path(self.folder, self.split)

    def is_there(self) -> bool:
        """Whether the files that stage 3 writes for these scores exist and can be read."""
        return self.truth.exists() and None not in (read_json(self.metrics), read_json(self.curves))

    def model(self, key: str) -> dict[str, Any] | None:
        """Return what was tuned, by its key in model.json; None if nothing was."""
        model = read_json(self.folder / "model.json")
        return model.get(key) if isinstance(model, dict) else None


def _score(stage: Stage, entry: _NetworkScores, reference: Reference) -> None:
    after = stage.conf.postprocess
    scores = read_scores(entry.scores)
    system = prepare(scores, reference, after.threshold, steps=after.median_filter)
    tuned = entry.model("decoding")
    beside = {} if tuned is None else {"tuned": measure_tuned(scores, reference, tuned)}
    by_aim = {key: entry.model(key) for key in BY_AIM}
    beside |= {key: measure_by_aim(scores, reference, own) for key, own in by_aim.items() if own is not None}
    print(f"stage 3: {entry.scores.relative_to(stage.run_dir.parent)}")
    measure(system, entry.split, entry.metrics, entry.curves, beside)
    write_reference(entry.truth, reference)


def _inputs(folder: Path, reference: Reference) -> Any:
    """Return what the metrics depend on: names, sizes and modification times of score files, truth and durations."""
    files = sorted((file.name, *file_stamp(file)) for file in folder.iterdir())
    truth = {clip: [str(event) for event in events] for clip, events in reference.truth.items()}
    return [files, truth, reference.durations, reference.expected]


if __name__ == "__main__":
    sys.exit(exit_code_of(main))
