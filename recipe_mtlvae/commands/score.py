"""Compute PSDS and F1 of any score folder or operating points: `python -m recipe_mtlvae score`."""

from __future__ import annotations

import argparse
from pathlib import Path

from recipe_mtlvae.commands.detection_options import seconds
from recipe_mtlvae.files import output_file
from recipe_mtlvae.scoring.evaluation import THRESHOLD, measure, prepare, read_points, uncollected
from recipe_mtlvae.scoring.reference import read_reference
from recipe_mtlvae.scoring.scores import read_scores


def main(argv: list[str]) -> None:
    """Print the metrics and write them to --out. Raises RecipeError if the input is at fault."""
    options = _parse(argv)
    out = output_file(options.out, "--out")
    curves = output_file(options.out.with_name(f"{options.out.name.removesuffix('.json')}.psd_roc.json"), "--out")
    with uncollected():
        if options.scores:
            scores = read_scores(options.scores)
            reference = read_reference(options.ground_truth, options.durations, scores.classes)
            filtering = {"seconds": options.median_filter, "allow_missing": options.allow_missing}
            system = prepare(scores, reference, THRESHOLD, **filtering)
        else:
            reference = read_reference(options.ground_truth, options.durations, None)
            system = read_points(options.operating_points, reference)
        measure(system, options.ground_truth.stem, out, curves)


def _parse(argv: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m recipe_mtlvae score", description=__doc__, allow_abbrev=False)
    system = parser.add_mutually_exclusive_group(required=True)
    system.add_argument("--scores", type=Path, metavar="DIR", help="one TSV a clip: onset offset <class> ...")
    system.add_argument("--operating_points", type=Path, metavar="DIR", help="predictions_th_<threshold>.tsv ...")
    parser.add_argument(
        "--ground_truth", type=Path, required=True, metavar="TSV", help="filename onset offset event_label"
    )
    parser.add_argument("--durations", type=Path, required=True, metavar="TSV", help="filename duration: the clip list")
    parser.add_argument(
        "--median_filter", type=seconds, default=0.0, metavar="SECONDS", help="applied to score folders; default none"
    )
    parser.add_argument("--allow_missing", action="store_true", help="clips without scores count as event-free")
    parser.add_argument("--out", type=Path, required=True, metavar="JSON", help="file for the metrics")
    options = parser.parse_args(argv)
    if options.operating_points and (options.median_filter or options.allow_missing):
        parser.error("--median_filter and --allow_missing are for --scores: operating points are events already")
    return options
