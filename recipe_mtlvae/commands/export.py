"""Write a trained network with its features as one file for other runtimes: `python -m recipe_mtlvae export`."""

from __future__ import annotations

import argparse
from pathlib import Path

from recipe_mtlvae.files import output_file
from recipe_mtlvae.inference.export import export, require_onnx


def main(argv: list[str]) -> None:
    """Write the network to --out.

    Raises RecipeError if the checkpoint or --out is at fault, or if the outputs of the file differ from the network's.
    """
    options = _parse(argv)
    if options.format == "onnx":
        require_onnx()
    out = output_file(options.out, "--out")
    from recipe_mtlvae.inference.detector import Detector

    print(export(Detector.load(options.checkpoint, options.network, device="cpu"), options.format, out))


def _parse(argv: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m recipe_mtlvae export",
        description="Write a trained network as one file. Input: the mono samples of one clip, of any length. Outputs: "
        "the score of each step and class, and the clip probabilities. The features and their scaling are included.",
        allow_abbrev=False,
    )
    parser.add_argument("--checkpoint", type=Path, required=True, help="best.ckpt of a run")
    parser.add_argument(
        "--network",
        default="net",
        choices=("net", "teacher"),
        help="which network of the checkpoint; teacher: the moving average of a mean teacher",
    )
    parser.add_argument("--format", required=True, choices=("onnx", "torchscript"))
    parser.add_argument("--out", type=Path, required=True, metavar="FILE")
    return parser.parse_args(argv)
