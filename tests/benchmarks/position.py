"""Measure how much the scores of a clip depend on its position in a long recording.

    python -m tests.benchmarks.position --checkpoint FILE FOLDER [--clips 60]

Clips of the training length from FOLDER are joined into one recording several times, each time after a lead of another
length, so that the borders of the windows fall on other places of the clips. The scores of each clip are compared step
by step: between the leads, and with the scores of the clip alone, which is scaled by itself and has no neighbours.
"""

from __future__ import annotations

import argparse
import itertools
from pathlib import Path

import numpy as np

from recipe_mtlvae.audio.decoding import read_audio
from recipe_mtlvae.corpus.names import is_audio_name
from recipe_mtlvae.inference.detector import Detector

PLACES = 4  # number of leads; their lengths are spread evenly over half a window


def differences(name: str, one: np.ndarray, two: np.ndarray, detector: Detector) -> None:
    """Print how much two sets of scores of the same steps differ; each is (clips, steps, classes)."""
    apart = np.abs(one - two)
    thresholds = np.array(detector.decoding.thresholds)
    active = [[detector.decoding.smooth(clip) > thresholds for clip in reading] for reading in (one, two)]
    changed = np.not_equal(*active)
    ever = np.logical_or(*active)
    print(
        f"{name:<34}{apart.mean():8.4f}{np.percentile(apart, 95):8.3f}{apart.max():8.2f}"
        f"{100 * changed.mean():9.2f} %{100 * changed.sum() / max(ever.sum(), 1):11.1f} %"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--checkpoint", type=Path, required=True)
    parser.add_argument("--clips", type=int, default=60)
    parser.add_argument("folder", type=Path)
    options = parser.parse_args()
    detector = Detector.load(options.checkpoint)
    rate, step = (
        detector.conf.features.sample_rate,
        detector.conf.features.hop_length * detector.conf.features.frames_per_step,
    )
    steps = detector.grid.steps
    files = sorted(path for path in options.folder.iterdir() if is_audio_name(path.name))[: options.clips]
    if not files:
        raise SystemExit(f"no audio in {options.folder}")
    # Cut to whole steps, so that the grid of the joined recording coincides with the grid of each clip
    clips = [read_audio(path, rate, detector.conf.data.clip_seconds).samples[: steps * step] for path in files]
    alone = np.stack([detector.detect(clip, rate).scores[:steps] for clip in clips])
    placed = []
    for place in range(PLACES):
        lead = steps + place * (steps // 2) // PLACES  # steps; at least a window, so that every clip has neighbours
        joined = np.concatenate([np.resize(clips[-1], lead * step), *clips, clips[0]])
        scores = detector.detect(joined, rate).scores
        placed.append(np.stack([scores[lead + i * steps :][:steps] for i in range(len(clips))]))

    print(
        f"{len(clips)} clips of {steps * step / rate:.2f} s, {PLACES} places in a long recording, {options.checkpoint}"
    )
    print(f"{'difference of scores':<34}{'mean':>8}{'95 %':>8}{'largest':>8}{'decisions':>11}{'of active':>13}")
    pairs = list(itertools.combinations(placed, 2))
    differences(
        "between places", np.concatenate([a for a, _ in pairs]), np.concatenate([b for _, b in pairs]), detector
    )
    differences("to the clip alone", np.concatenate([alone] * PLACES), np.concatenate(placed), detector)
    middle = slice(steps // 4, steps - steps // 4)
    differences(
        "  its middle half", np.concatenate([alone] * PLACES)[:, middle], np.concatenate(placed)[:, middle], detector
    )


if __name__ == "__main__":
    main()
