"""Find the events in recordings: `python -m recipe_mtlvae detect`."""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

from recipe_mtlvae.commands.detection_options import add_detection_options, open_detector, result_folder
from recipe_mtlvae.errors import Fault, RecipeError, warn
from recipe_mtlvae.inference.progress import DetectionBar
from recipe_mtlvae.inference.recordings import find_recordings
from recipe_mtlvae.machine import cores

if TYPE_CHECKING:
    from recipe_mtlvae.inference.detector import Detection, Detector


def main(argv: list[str]) -> None:
    """Write the events of each recording, tables over all recordings and summary.html to --out.

    A recording that cannot be read is reported at the end and does not stop the others. A truncated or damaged
    recording is scored as far as it can be decoded, with a warning.
    """
    if any(option.partition("=")[0] == "--stream" for option in argv):  # live sound: other options
        from recipe_mtlvae.commands.detect_stream import main as live

        return live(argv)
    options = _parser().parse_args(argv)
    recordings, faults = find_recordings(options.audio)
    if recordings:
        faults += detect(options, recordings)
    if faults:
        raise RecipeError(*faults)


def _parser() -> argparse.ArgumentParser:
    live = "For live sound see `detect --stream - --help`."
    parser = argparse.ArgumentParser(
        "python -m recipe_mtlvae detect", description=__doc__, epilog=live, allow_abbrev=False
    )
    add_detection_options(parser)
    parser.add_argument(
        "--out", type=result_folder, required=True, help="folder for the results; earlier results stay in it"
    )
    parser.add_argument("--plot", action="store_true", help="draw each recording, one picture for every 5 minutes")
    parser.add_argument("audio", type=Path, nargs="+", help="files or folders; recordings of any length and rate")
    return parser


def detect(options: argparse.Namespace, recordings: list[Path]) -> list[Fault]:
    """Write the detections of `recordings`. Returns the faults of those that could not be read."""
    from recipe_mtlvae.inference.detection_files import check_writable, earlier_names, only_writer, result_names

    check_writable(options.out)
    with only_writer(options.out):
        names = result_names(recordings, earlier_names(options.out))
        import torch  # slow: imported after all other checks

        torch.set_num_threads(max(cores() // 2, 1))  # audio is decoded in parallel, which needs cores too
        return _detect(options, open_detector(options), names)


def _detect(options: argparse.Namespace, detector: Detector, names: dict[Path, str]) -> list[Fault]:
    from recipe_mtlvae.inference.detection_files import Found, write_detection, write_tables
    from recipe_mtlvae.report.summary import write_summary

    found: list[Found] = []
    faults: list[Fault] = []
    damaged: list[Fault] = []
    started = time.perf_counter()
    try:
        with DetectionBar(names) as bar:
            for detection in detector.detect_all(names, faults, progress=bar.move):
                name = names[detection.path]
                try:
                    found.append(write_detection(options.out, name, detection, detector.conf.features))
                except RecipeError:  # write_scores rejects scores that are not finite
                    faults.append(Fault("gave scores that are not finite", "is it damaged?", detection.path))
                    continue
                if detection.damage:
                    damaged.append(detection.damage)
                if options.plot:
                    faults += _plot(options.out / "plots", name, detection, detector)
        spent = time.perf_counter() - started
    finally:  # also when interrupted: the tables then list all finished recordings
        if found:
            earlier = write_tables(options.out, found)
            write_summary(options.out / "summary.html", found, detector, earlier)
    for fault in damaged:
        warn(str(fault))
    if found:
        events, seconds = sum(len(item.events) for item in found), sum(item.duration for item in found)
        text = f"{events} events in {seconds / 60:.1f} minutes of audio, {seconds / spent:.0f} times real time: "
        print(text + str(options.out / "summary.html"), file=sys.stderr)
    return faults


def _plot(folder: Path, name: str, detection: Detection, detector: Detector) -> list[Fault]:
    from recipe_mtlvae.report.detection_plot import write_pictures  # slow: matplotlib

    try:
        write_pictures(folder, name, detection, detector)
    except RecipeError as error:  # the recording has been removed since
        return list(error.faults)
    return []
