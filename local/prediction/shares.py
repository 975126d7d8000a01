"""Write the score folder of one split, with one process or several that share the work, on one machine or many.

A split is divided into blocks of clips, and no batch mixes clips of two blocks: scores are the same to the last bit
however the blocks are shared. They are collected in a hidden folder, which becomes the score folder once all clips are
there, so that scores written by a killed process are not computed again.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import time
from pathlib import Path

from local.prediction.stored_detector import StoredDetector
from recipe_mtlvae.conf_sections import EnergyConf
from recipe_mtlvae.corpus.metadata import Clip
from recipe_mtlvae.corpus.names import stem_of
from recipe_mtlvae.files import write_text
from recipe_mtlvae.inference.detector import Detector
from recipe_mtlvae.inference.windows import TAIL
from recipe_mtlvae.inputs.prepared import Split
from recipe_mtlvae.scoring.energy import joined, measured, note_energy, read_energy
from recipe_mtlvae.scoring.scores import write_scores
from recipe_mtlvae.shards import Shard

BLOCK = 32  # clips; one batch if each clip is a single window
KEY = ".inputs"  # file in a score folder: the hash of what its scores were computed from


def is_current(scores: Path, key: str) -> bool:
    """Whether the score folder is complete and was computed from these inputs."""
    with contextlib.suppress(OSError):
        return (scores / KEY).read_text(encoding="utf-8") == key
    return False


def predict_split(
    detector: Detector | StoredDetector, split: Split, scores: Path, key: str, shard: Shard, energy: EnergyConf
) -> None:
    """Predict this process's share of a split. The last share to finish joins all of them into `scores`.

    key: hash of the inputs. After a kill, only the killed share has to be repeated; Shard() predicts whatever is
    missing. The energy of all shares is added up.
    """
    gathered = scores.with_name(f".{scores.name}-{key}")
    whole = gathered.with_name(f"{gathered.name}.whole")
    if whole.is_dir():
        if shard.count == 1:  # a process was killed while it joined the shares
            _join(whole, scores, split.name, key)
        return
    gathered.mkdir(parents=True, exist_ok=True)
    blocks = [split.recordings[start : start + BLOCK] for start in range(0, len(split.recordings), BLOCK)]
    there = set(os.listdir(gathered))
    missing = [block for block in shard.take(blocks) if not all(_tsv(clip) in there for clip in block)]
    if missing:
        if max(split.seconds.values()) <= detector.conf.data.clip_seconds * (1 + TAIL):
            # as one block, so that the next batch is read during prediction; each block is still one batch
            missing = [[clip for block in missing for clip in block]]
        _predict_blocks(missing, detector, split.name, gathered, shard, energy)
    there = set(os.listdir(gathered)) if gathered.is_dir() else set()
    busy = any(name.startswith(".busy-") for name in there) and shard.count > 1
    if not busy and all(_tsv(clip) in there for clip in split.recordings):
        with contextlib.suppress(FileNotFoundError):  # another share that finished at the same time joins them
            gathered.rename(whole)
            _join(whole, scores, split.name, key)


def _tsv(clip: Clip) -> str:
    return f"{stem_of(clip.name)}.tsv"


def _predict_blocks(
    blocks: list[list[Clip]],
    detector: Detector | StoredDetector,
    phase: str,
    folder: Path,
    shard: Shard,
    energy: EnergyConf,
) -> None:
    """Write the scores of some blocks and their energy. `.busy-` files mark shares whose energy is not yet written."""
    mark = folder / f".busy-{shard.index}-{shard.count}"
    mark.touch()
    record = folder / f".energy-{shard.index}-{shard.count}-{time.time_ns()}.json"
    with measured(record, phase, energy, every_process=True):
        for block in blocks:
            names = {clip.path: stem_of(clip.name) for clip in block}
            for detection in detector.detect_all(names, batch_size=BLOCK):
                name, step = names[detection.path], detector.grid.step_seconds
                write_scores(folder, name, detection.scores, step, detector.classes)
    mark.unlink(missing_ok=True)


def _join(whole: Path, scores: Path, phase: str, key: str) -> None:
    """Sum the energy, delete everything but the scores, and rename the folder. After a kill, this can be repeated."""
    records = []
    for path in whole.glob(".energy-*.json"):
        start = int(path.stem.rpartition("-")[2]) / 1e9
        records += [(start, figures) for figures in read_energy(path).values()]
    if records:
        note_energy(scores.parent.parent / "energy.json", phase, joined(records))
    write_text(whole / KEY, key)
    for path in whole.glob(".*"):
        if path.name != KEY:
            path.unlink()
    shutil.rmtree(scores, ignore_errors=True)
    whole.rename(scores)
    for stale in scores.parent.glob(".*-*"):  # for other inputs, and never finished
        if stale.name.rpartition("-")[0] == f".{scores.name}":  # not of a split whose name begins with this one's
            shutil.rmtree(stale, ignore_errors=True)
