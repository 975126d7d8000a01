"""Stage 2: score folders of the test splits and the evaluation set, from their audio files, each with its energy."""

from __future__ import annotations

import sys
import time
from pathlib import Path

import torch

from local.callbacks import read_history
from local.stage import Stage, open_stage
from recipe_mtlvae.conf import conf_to_dict
from recipe_mtlvae.data.corpus import Split, corpus_classes, open_split
from recipe_mtlvae.errors import RecipeError, exit_code_of, fail
from recipe_mtlvae.files import content_hash, whole_folder, write_json
from recipe_mtlvae.nets.checkpoint import load_checkpoint
from recipe_mtlvae.nets.complexity import macs, parameters
from recipe_mtlvae.products.detector import Detector
from recipe_mtlvae.scoring.energy import measured
from recipe_mtlvae.scoring.scores import write_scores

SPLITS = ("validation", "public", "evaluation")


def main() -> None:
    stage = open_stage(2, __doc__)
    splits = test_splits(stage)
    checkpoint = stage.run_dir / "best.ckpt"
    inputs = {
        "checkpoint": [checkpoint.stat().st_size, checkpoint.stat().st_mtime_ns] if checkpoint.exists() else None,
        "clips": {split.name: content_hash([clip.name for clip in split.clips]) for split in splits},
        "features": conf_to_dict(stage.conf)["features"],
    }
    if stage.done(inputs) and all((stage.run_dir / "scores" / split.name).is_dir() for split in splits):
        print(f"stage 2: {stage.run_dir / 'scores'} is there already")
        return
    predict(stage, checkpoint, splits)
    stage.mark_done(inputs)


def test_splits(stage: Stage) -> list[Split]:
    """The prepared splits to predict; the evaluation set only where there is one."""
    splits = []
    for name in SPLITS:
        try:
            splits.append(open_split(stage.conf, stage.root, name))
        except RecipeError:
            if name != "evaluation":
                raise
    return splits


def predict(stage: Stage, checkpoint: Path, splits: list[Split]) -> None:
    """Write scores/<split>/<clip>.tsv for each split, and model.json."""
    loaded = load_checkpoint(checkpoint)
    classes = corpus_classes(stage.conf, stage.root)
    if loaded.classes != classes:
        raise fail(
            f"the checkpoint's classes are {', '.join(loaded.classes)}; the corpus has {', '.join(classes)}",
            "give --tag another name and train there",
            checkpoint,
        )
    detector = Detector(loaded)
    prediction = {}
    for split in splits:
        started = time.perf_counter()
        with measured(stage.run_dir / "energy.json", split.name, stage.conf.energy):
            hours = _predict_split(detector, split, stage.run_dir / "scores" / split.name) / 3600
        seconds = time.perf_counter() - started
        prediction[split.name] = {"seconds": seconds, "audio_hours": hours, "real_time_factor": 3600 * hours / seconds}
        print(f"stage 2: {split.name}: {len(split.clips)} clips, {3600 * hours / seconds:.0f} times real time")
    frames = 1 + int(10 * loaded.conf.features.sample_rate) // loaded.conf.features.hop
    history = read_history(stage.run_dir / "history.csv")
    model = {
        "system": loaded.conf.system,
        "parameters": parameters(loaded.net),
        "macs_10s": macs(loaded.net.cpu(), torch.zeros(1, loaded.conf.features.mels, frames)),
        "classes": list(classes),
        "sample_rate": loaded.conf.features.sample_rate,
        "training": {
            "epochs": len(history),
            "steps": int(history[-1]["step"]) if history else None,
            "clips_seen": int(sum(row["clips"] for row in history)),
            "seconds": sum(row["seconds"] for row in history),
            "best_epoch": loaded.epoch + 1,
        },
        "prediction": prediction,
    }
    write_json(stage.run_dir / "model.json", model)


def _predict_split(detector: Detector, split: Split, folder: Path) -> float:
    """Returns the seconds of audio."""
    seconds = 0.0
    with whole_folder(folder) as temporary:
        for detection in detector.detect_all(clip.path for clip in split.clips):
            clip_id = detection.path.stem
            write_scores(temporary, clip_id, detection.scores, detector.grid.step_seconds, detector.classes)
            seconds += detection.duration
    return seconds


if __name__ == "__main__":
    sys.exit(exit_code_of(main))
