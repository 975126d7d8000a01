"""Find the events in an archive, on one or several machines: `python -m recipe_mtlvae detect-archive`."""

from __future__ import annotations

import argparse
import hashlib
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from recipe_mtlvae.commands.detection_options import (
    DETECTOR_OPTIONS,
    add_detection_options,
    open_detector,
    result_folder,
)
from recipe_mtlvae.commands.option_types import count
from recipe_mtlvae.errors import SHOWN_FAULTS, Fault, fail, warn
from recipe_mtlvae.files import content_hash, write_json
from recipe_mtlvae.inference.archive import listing
from recipe_mtlvae.inference.archive.listing import Chunk
from recipe_mtlvae.inference.detection_files import check_writable, only_writer

FORMAT = 1  # version of the part files; raising it invalidates all parts
TABLES = ("events.parquet", "recordings.parquet", "faults.tsv", "summary.html")
STATE = "archive.json"  # the checkpoint whose results the folder holds, and a hash of the chunks in its tables


def main(argv: list[str]) -> None:
    """Write events.parquet, recordings.parquet, faults.tsv and summary.html to --out, and no file for each recording.

    Recordings are processed in chunks; the results of a finished chunk are kept in --out/parts. If the command is
    stopped or killed, run it again and it continues. A recording that cannot be read is a row with the reason
    and does not stop the others.
    """
    options = _parser().parse_args(argv)
    from recipe_mtlvae.inference.archive import parts  # pyarrow

    paths = listing.read_list(options.list) if options.list else listing.in_folders(options.folders)
    entries, again = listing.entries_of(paths)
    if again:
        warn(f"{again} path{'s'[: again > 1]} named again: each recording is taken once")
    digest = _digest(options.checkpoint)
    state = _state(options.out, digest)
    chosen = [str(getattr(options, name)) for name in ("classes", *DETECTOR_OPTIONS, "scores")]
    chunks = listing.cut(entries, content_hash(FORMAT, digest, chosen))
    # Options that do not fit the checkpoint are rejected before anything is written
    decoding = _decoding(options) if parts.missing(options.out, chunks) else None
    check_writable(options.out)
    with only_writer(options.out):
        tables = content_hash([chunk.name for chunk in chunks])
        if todo := parts.missing(options.out, chunks):
            write_json(options.out / STATE, {"checkpoint": digest, "tables": None})
            _work(options, decoding or _decoding(options), todo)  # another process may have deleted parts meanwhile
        elif state == tables and all((options.out / name).exists() for name in TABLES):
            print(f"nothing to do: {options.out} holds all {len(entries)} recordings", file=sys.stderr)
            return _end(options.out, len(entries))
        _write_tables(options.out, chunks)
        write_json(options.out / STATE, {"checkpoint": digest, "tables": tables})
        parts.clear(options.out, chunks)
    _end(options.out, len(entries))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        "python -m recipe_mtlvae detect-archive", description=main.__doc__, allow_abbrev=False
    )
    add_detection_options(parser)
    parser.add_argument("--out", type=result_folder, required=True, help="folder for the results of this archive")
    which = parser.add_mutually_exclusive_group(required=True)
    which.add_argument(
        "--list",
        type=Path,
        metavar="FILE",
        help="a text with one path a line, or a CSV or Parquet file with a column path",
    )
    which.add_argument("folders", type=Path, nargs="*", default=[], metavar="FOLDER", help="searched recursively")
    parser.add_argument(
        "--workers",
        type=count,
        metavar="N",
        help="number of processes; more than 1 needs ray; default 1; with --cluster one per GPU, else per core",
    )
    parser.add_argument(
        "--cluster", metavar="ADDRESS", help="address of a Ray cluster that sees the same files: host:port or auto"
    )
    parser.add_argument("--scores", action="store_true", help="also keep score tables")
    return parser


def _digest(checkpoint: Path) -> str:
    try:
        with checkpoint.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()[:20]
    except OSError as error:
        raise fail(f"--checkpoint: cannot be read ({error.strerror})", "train one with ./run.sh", checkpoint) from None


def _state(out: Path, digest: str) -> str | None:
    """Return the hash of the chunks in the tables of `out`; None if there are no finished tables.

    Raises RecipeError if the folder holds results of another checkpoint or command.
    """
    try:
        state = json.loads((out / STATE).read_text(encoding="utf-8"))
        found, tables = state["checkpoint"], state["tables"]
    except (FileNotFoundError, NotADirectoryError):
        if any((out / name).exists() for name in ("events.tsv", *TABLES)):
            raise fail("holds results of another command", "give another --out", out) from None
        return None
    except (OSError, ValueError, KeyError, TypeError):
        raise fail("was not written by detect-archive", "give another --out", out / STATE) from None
    if found != digest:
        raise fail("holds results of another checkpoint", "give another --out", out)
    return tables


def _decoding(options: argparse.Namespace) -> dict[str, Any]:
    """Return the options of Detector.load. Raises RecipeError for options that do not fit the checkpoint."""
    detector = open_detector(options, "cpu")
    return {name: getattr(options, name) for name in DETECTOR_OPTIONS} | {"classes": detector.reported}


def _work(options: argparse.Namespace, decoding: dict[str, Any], chunks: Sequence[Chunk]) -> None:
    from recipe_mtlvae.inference.archive.scanner import Job, plain_loop
    from recipe_mtlvae.inference.progress import ArchiveBar

    job = Job(options.checkpoint.resolve(), options.out.resolve(), decoding, options.scores)
    with ArchiveBar(sum(len(chunk.entries) for chunk in chunks)) as bar:
        if options.cluster or (options.workers or 1) > 1:
            from recipe_mtlvae.inference.archive.ray_pool import on_ray

            on_ray(job, chunks, bar.move, options.workers, options.cluster)
        else:
            plain_loop(job, chunks, bar.move)


def _write_tables(out: Path, chunks: Sequence[Chunk]) -> None:
    from recipe_mtlvae.inference.archive.parts import merge
    from recipe_mtlvae.report.archive_page import write_archive_page

    totals = merge(out, chunks)
    write_archive_page(out / "summary.html", totals)
    text = f"{sum(totals.events.values())} events in {totals.seconds / 3600:.2f} hours of audio: {out / 'summary.html'}"
    print(text, file=sys.stderr)


def _end(out: Path, recordings: int) -> None:
    """Print the first faults and raise RecipeError with their number, if there are any."""
    from recipe_mtlvae.inference.archive.parts import first_faults

    faults, count = first_faults(out, SHOWN_FAULTS)
    if count:
        for path, fault in faults:
            warn(str(Fault(fault, path=path)), "error")
        raise fail(f"{count} of {recordings} recordings have faults", "all are in this table", out / "faults.tsv")
