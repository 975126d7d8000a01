"""The files that `detect` writes for each recording, and its tables over all recordings."""

from __future__ import annotations

import csv
import itertools
import os
import tempfile
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from recipe_mtlvae.conf_sections import FeatureConf
from recipe_mtlvae.corpus.names import is_control, stem_of, suffix_of
from recipe_mtlvae.errors import fail
from recipe_mtlvae.files import write_text
from recipe_mtlvae.labels import DetectedEvent
from recipe_mtlvae.locks import locked
from recipe_mtlvae.scoring.scores import write_scores

if TYPE_CHECKING:  # torch
    from recipe_mtlvae.inference.detector import Detection

EVENTS = ("filename", "onset", "offset", "event_label", "confidence")
RECORDINGS = ("filename", "duration", "path")
RAVEN = (
    "Selection",
    "View",
    "Channel",
    "Begin Time (s)",
    "End Time (s)",
    "Low Freq (Hz)",
    "High Freq (Hz)",
    "Annotation",  # the column that crowsetta, opensoundscape and others read by default
    "Confidence",
)
STEM_BYTES = 180  # of a result's name: file systems allow 255, of which suffixes and temporary names need some


@dataclass(frozen=True)
class Found:
    """A recording's row in recordings.tsv and its rows in events.tsv."""

    filename: str  # the name of its results with the recording's suffix; unique in the result folder
    duration: float  # s
    path: Path
    events: tuple[DetectedEvent, ...]

    @property
    def name(self) -> str:
        return stem_of(self.filename)


def write_detection(out: Path, name: str, detection: Detection, features: FeatureConf) -> Found:
    """Write one recording's scores, events and labels below `out`."""
    path = detection.path
    if path is None:
        raise ValueError("expected a recording from a file")
    found = Found(name + suffix_of(path.name), detection.duration, path.resolve(), tuple(detection.events))
    write_scores(out / "scores", name, detection.scores, detection.step_seconds, detection.classes)
    labels = {
        out / "audacity" / f"{name}.txt": audacity_labels(detection.events),
        out / "raven" / f"{name}.Table.1.selections.txt": raven_table(detection.events, features),
    }
    for file, text in labels.items():
        if detection.events:
            write_text(file, text)
        else:  # delete an earlier run's file: programs refuse files without labels
            file.unlink(missing_ok=True)
    write_text(out / "events" / f"{name}.tsv", _table(EVENTS, _event_rows(found)))  # last: it marks the end
    return found


def audacity_labels(events: Iterable[DetectedEvent]) -> str:
    """Return an Audacity label track (File, Import, Labels): lines of start, end and label, without a header."""
    return "".join(f"{e.onset:.6f}\t{e.offset:.6f}\t{_plain(e.label)}\n" for e in events)


def raven_table(events: Iterable[DetectedEvent], features: FeatureConf) -> str:
    """Return a Raven selection table (File, Open Sound Selection Table); its frequencies are the features' limits."""
    low, high = f"{features.f_min:.1f}", f"{features.f_max:.1f}"
    rows = (
        (str(number), "Spectrogram 1", "1", f"{e.onset:.6f}", f"{e.offset:.6f}", low, high, e.label, _number(e))
        for number, e in enumerate(events, start=1)
    )
    return _table(RAVEN, rows)


def write_tables(out: Path, found: Sequence[Found]) -> int:
    """Write recordings.tsv and events.tsv, and return the number of recordings from earlier runs, whose rows stay."""
    new = {item.filename for item in found}
    paths, durations = {}, {}
    for row in _read(out / "recordings.tsv", RECORDINGS):
        if row["filename"] not in new:
            paths[row["filename"]], durations[row["filename"]] = row["path"], row["duration"]
    older = [
        [row[column] for column in EVENTS] for row in _read(out / "events.tsv", EVENTS) if row["filename"] in paths
    ]
    recordings = [(name, durations[name], paths[name]) for name in paths]
    recordings += [(item.filename, f"{item.duration:.6f}", str(item.path)) for item in found]
    write_text(out / "events.tsv", _table(EVENTS, itertools.chain(older, *map(_event_rows, found))))
    write_text(out / "recordings.tsv", _table(RECORDINGS, recordings))
    return len(paths)


def earlier_names(out: Path) -> dict[Path, str]:
    """Return the result names of the recordings that earlier runs wrote to `out`, by the recordings' paths.

    Raises RecipeError for tables that detect has not written.
    """
    _read(out / "events.tsv", EVENTS)
    rows = _read(out / "recordings.tsv", RECORDINGS)
    return {Path(row["path"]): stem_of(row["filename"]) for row in rows}


def result_names(recordings: Sequence[Path], earlier: Mapping[Path, str]) -> dict[Path, str]:
    """Return a unique result name for each recording; a recording of an earlier run keeps its name.

    A name is the recording's stem, after as many of its folders as distinguish it from the others. Recordings of one
    folder that differ only in their suffix keep the suffix in the name (x_wav, x_flac).
    """
    real = {path: Path(os.path.realpath(path)) for path in recordings}  # Path.resolve raises on a link to itself
    names = {path: earlier[real[path]] for path in recordings if real[path] in earlier}
    used = {name.casefold() for name in earlier.values()}  # some file systems do not distinguish A and a
    same_stem = Counter((real[path].parent, stem_of(path.name).casefold()) for path in recordings)
    parts = {}
    for path in recordings:
        folder = real[path].parent
        stem = stem_of(path.name)
        stem = stem if same_stem[folder, stem.casefold()] == 1 else path.name.replace(".", "_")
        parts[path] = (*folder.parts[1:], stem)
    waiting = [path for path in recordings if path not in names]
    for depth in itertools.count(1):
        tails = {path: _file_name("_".join(parts[path][-depth:])) for path in waiting}
        count = Counter(tail.casefold() for tail in tails.values())
        for path, tail in tails.items():
            if depth > len(parts[path]):  # no folder is left that could distinguish them
                tail = next(new for i in itertools.count(2) if (new := f"{tail}_{i}").casefold() not in used)
            elif count[tail.casefold()] > 1 or tail.casefold() in used:
                continue
            names[path] = tail
            used.add(tail.casefold())
        waiting = [path for path in waiting if path not in names]
        if not waiting:
            return names


def check_writable(out: Path) -> None:
    """Create the folder `out`. Raises RecipeError if it cannot be created or written to."""
    try:
        out.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=out):
            pass
    except OSError as error:
        raise fail(f"cannot be written to ({error.strerror})", "give another --out", out) from None


def only_writer(out: Path) -> AbstractContextManager[None]:
    """Lock the folder `out` within a context, since two processes would give one name to different recordings.

    Raises RecipeError while another process holds the lock.
    """

    def busy(holder: str) -> None:
        raise fail("another detect writes into this folder", "wait for its end, or give another --out", out)

    return locked(out, busy)


def _file_name(name: str) -> str:
    short = name.encode()[-STEM_BYTES:].decode(errors="ignore")
    return short.lstrip(".") or "recording"


def _event_rows(found: Found) -> Iterable[Sequence[str]]:
    return ((found.filename, f"{e.onset:.3f}", f"{e.offset:.3f}", e.label, _number(e)) for e in found.events)


def _number(event: DetectedEvent) -> str:
    return f"{event.confidence:.4f}"


def _table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    return "".join("\t".join(map(_plain, row)) + "\n" for row in itertools.chain([header], rows))


def _plain(text: str) -> str:
    """Return a label or path as a table cell: characters that could end the cell or the line become spaces."""
    return "".join(" " if is_control(character) else character for character in text)


def _read(file: Path, columns: Sequence[str]) -> list[dict[str, str]]:
    """Return the rows of an earlier run's table. Raises RecipeError for any other table, which must not be lost."""
    if not file.exists():
        return []
    with file.open(encoding="utf-8", errors="surrogateescape", newline="") as stream:
        reader = csv.DictReader(stream, delimiter="\t", quoting=csv.QUOTE_NONE)
        try:
            rows = list(reader)
        except csv.Error:  # a cell of more than 131,072 characters
            rows = [{}]
    whole = all(row.keys() == set(columns) and None not in row.values() for row in rows)
    if not whole or list(reader.fieldnames or ()) != list(columns):
        raise fail(
            f"expected the columns {' '.join(columns)}: it was not written by detect", "give another --out", file
        )
    return rows
