"""`python -m recipe_mtlvae detect`: the events in anybody's recordings."""

from __future__ import annotations

import argparse
import sys
import time
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from recipe_mtlvae.audio.decoding import FOREIGN
from recipe_mtlvae.corpus.names import AUDIO_SUFFIXES, bad_name, dangling, is_audio_name, show
from recipe_mtlvae.errors import Fault, RecipeError, fail, warn
from recipe_mtlvae.inference.decoding_options import by_class, operating_point, split_names
from recipe_mtlvae.inference.progress import Bar
from recipe_mtlvae.machine import cores

if TYPE_CHECKING:
    from recipe_mtlvae.inference.detector import Detection, Detector


def main(argv: list[str]) -> None:
    """Writes what was found in each recording, tables over all of them and summary.html below --out.

    A recording that cannot be read is reported at the end and does not stop the others; one that is truncated or
    damaged is scored as far as it can be decoded, with a warning.
    """
    if any(option.partition("=")[0] == "--stream" for option in argv):  # a command of its own: no recordings, no folder
        from recipe_mtlvae.commands.detect_stream import main as live

        return live(argv)
    options = _parser().parse_args(argv)
    recordings, faults = find_recordings(options.audio)
    if recordings:
        faults += detect(options, recordings)
    if faults:
        raise RecipeError(*faults)


def _parser() -> argparse.ArgumentParser:
    live = "Live sound: `detect --stream - --help`."
    parser = argparse.ArgumentParser(
        "python -m recipe_mtlvae detect", description=__doc__, epilog=live, allow_abbrev=False
    )
    parser.add_argument("--checkpoint", type=Path, required=True, help="best.ckpt of a run")
    parser.add_argument(
        "--out", type=result_folder, required=True, help="folder for the results; earlier ones stay in it"
    )
    add_decoding_options(parser)
    parser.add_argument("--plot", action="store_true", help="a picture of each recording, every 5 minutes one")
    parser.add_argument("audio", type=Path, nargs="+", help="files or folders, any length, any rate")
    return parser


def add_decoding_options(parser: argparse.ArgumentParser) -> None:
    """What is reported, and from which scores."""
    parser.add_argument("--classes", metavar="A,B", help="report these classes only")
    after = "default: the checkpoint's, by class"
    parser.add_argument(
        "--threshold", type=by_class, metavar="X", help=f"0 to 1, of all classes or Dog=0.3,Speech=0.6 ({after})"
    )
    parser.add_argument(
        "--median_filter", type=by_class, metavar="S", help=f"seconds, 0 for none; of all classes or by class ({after})"
    )
    parser.add_argument(
        "--operating_point",
        type=operating_point,
        metavar="P",
        help="precision=0.9, recall=0.9 or f1: thresholds by class that held it on selection data",
    )
    parser.add_argument("--min_duration", type=_seconds, default=0.0, metavar="S", help="leave out shorter events (s)")


def result_folder(text: str) -> Path:
    """--out, as argparse takes it."""
    if not text:
        raise argparse.ArgumentTypeError("expected a folder, got ''")
    return Path(text)


def _seconds(text: str) -> float:
    value = float(text)
    if not 0 <= value < float("inf"):
        raise ValueError
    return value


def find_recordings(paths: Iterable[Path]) -> tuple[list[Path], list[Fault]]:
    """The files named, and those with an audio suffix in the folders named, recursively; each once.

    Hidden files are left out, as macOS leaves them beside every copied one.
    """
    recordings: dict[Path, Path] = {}  # by what they are, however they are named
    faults = []
    for path in paths:
        if path.is_dir():
            entries = sorted(path.rglob("*"))
            named = [entry for entry in entries if is_audio_name(entry.name)]
            faults += [Fault("is a link to nothing", "put the file there", entry) for entry in dangling(named)]
            files = [entry for entry in entries if entry.is_file()]
            found = [file for file in files if is_audio_name(file.name)]
            if not found:
                faults.append(Fault(f"no audio in this folder: expected {', '.join(AUDIO_SUFFIXES)}", path=path))
            faults += _foreign(files, path)
            for file in found:
                recordings.setdefault(file.resolve(), file)
        elif path.is_file():
            recordings.setdefault(path.resolve(), path)
        elif path.exists():
            faults.append(Fault("is a pipe or a device, not a file", "write the audio to a file", path))
        elif path.is_symlink():
            faults.append(Fault("is a link to nothing", "put the file there", path))
        else:
            faults.append(Fault("no such file or folder", path=path))
    unfit = {path: reason for path in recordings.values() if (reason := bad_name(path.name))}
    faults += [Fault(f"file name {show(path.name)}: {reason}", "rename it") for path, reason in unfit.items()]
    for path in recordings.values():  # results name it, in UTF-8
        if path not in unfit and any("\ud800" <= character <= "\udfff" for character in str(path.resolve())):
            unfit[path] = "is in a folder whose name is not UTF-8"
            faults.append(Fault(unfit[path], "rename the folder", path))
    return [path for path in recordings.values() if path not in unfit], faults


def _foreign(files: Iterable[Path], folder: Path) -> list[Fault]:
    """Recordings of formats that are not read, such as a phone's; they are not to be missed in silence."""
    count = Counter(suffix for file in files if (suffix := file.suffix.lower()) in FOREIGN)
    hint = "convert them, as by ffmpeg -i NAME{0} NAME.wav"
    return [
        Fault(f"{number} file{'s'[: number > 1]} ending in {suffix}, which is not read", hint.format(suffix), folder)
        for suffix, number in sorted(count.items())
    ]


def detect(options: argparse.Namespace, recordings: list[Path]) -> list[Fault]:
    """Write the detections of `recordings`; the faults of those that could not be read."""
    from recipe_mtlvae.inference.detection_files import check_writable, earlier_names, only_writer, result_names

    check_writable(options.out)
    with only_writer(options.out):
        return _detect(options, result_names(recordings, earlier_names(options.out)))


def _detect(options: argparse.Namespace, names: dict[Path, str]) -> list[Fault]:
    import torch  # only once all else is in order

    from recipe_mtlvae.inference.detector import Detector
    from recipe_mtlvae.nets.checkpoint import load_checkpoint

    torch.set_num_threads(max(cores() // 2, 1))  # one thread reads while another scores; more would wait for cores
    checkpoint = load_checkpoint(options.checkpoint)
    detector = Detector(
        checkpoint,
        classes=split_names(options.classes, checkpoint.classes) if options.classes is not None else None,
        threshold=options.threshold,
        median_filter=options.median_filter,
        min_duration=options.min_duration,
        operating_point=options.operating_point,
    )
    for note in detector.notes:
        warn(note, "note")
    if not detector.reported:
        raise fail("--classes: expected at least one", f"of {', '.join(detector.classes)}")
    return _run(options, detector, names)


def _run(options: argparse.Namespace, detector: Detector, names: dict[Path, str]) -> list[Fault]:
    from recipe_mtlvae.inference.detection_files import Found, write_detection, write_tables
    from recipe_mtlvae.report.summary import write_summary

    found: list[Found] = []
    faults: list[Fault] = []
    damaged: list[Fault] = []
    started = time.perf_counter()
    try:
        with Bar(names) as bar:
            for detection in detector.detect_all(names, faults, progress=bar.move):
                name = names[detection.path]
                try:
                    found.append(write_detection(options.out, name, detection, detector.conf.features))
                except RecipeError:  # scores that are no numbers
                    faults.append(Fault("gave scores that are not finite", "is it sound?", detection.path))
                    continue
                if detection.damage:
                    damaged.append(detection.damage)
                if options.plot:
                    faults += _plot(options.out / "plots", name, detection, detector)
        spent = time.perf_counter() - started
    finally:  # also when interrupted: what is finished is whole
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
    from recipe_mtlvae.report.detection_plot import write_pictures  # matplotlib

    try:
        write_pictures(folder, name, detection, detector)
    except RecipeError as error:  # the recording has gone since
        return list(error.faults)
    return []
