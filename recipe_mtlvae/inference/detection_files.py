"""The files that `detect` writes, a recording at a time, and the tables over all of them."""

from __future__ import annotations

import csv
import itertools
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
    "Annotation",  # what crowsetta, opensoundscape and others read by default
    "Confidence",
)
STEM_BYTES = 180  # of a result's name: file systems take 255, endings and temporary names want some


@dataclass(frozen=True)
class Found:
    """A recording's row in recordings.tsv, and its rows in events.tsv."""

    filename: str  # its results' name with its own suffix: one of its kind in the folder
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
        else:  # of an earlier run; programs refuse files without labels
            file.unlink(missing_ok=True)
    write_text(out / "events" / f"{name}.tsv", _table(EVENTS, _event_rows(found)))  # last: its presence says done
    return found


def audacity_labels(events: Iterable[DetectedEvent]) -> str:
    """Audacity's label track (File, Import, Labels): start, end, label; no header."""
    return "".join(f"{e.onset:.6f}\t{e.offset:.6f}\t{_plain(e.label)}\n" for e in events)


def raven_table(events: Iterable[DetectedEvent], features: FeatureConf) -> str:
    """Raven's selection table (File, Open Sound Selection Table); frequencies are the features' whole range."""
    low, high = f"{features.f_min:.1f}", f"{features.f_max:.1f}"
    rows = (
        (str(number), "Spectrogram 1", "1", f"{e.onset:.6f}", f"{e.offset:.6f}", low, high, e.label, _number(e))
        for number, e in enumerate(events, start=1)
    )
    return _table(RAVEN, rows)


def write_tables(out: Path, found: Sequence[Found]) -> int:
    """Write recordings.tsv and events.tsv; rows of recordings from earlier runs stay, and their number is returned."""
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
    """The results' names of the recordings that earlier runs wrote to `out`. Raises RecipeError for other tables."""
    _read(out / "events.tsv", EVENTS)
    rows = _read(out / "recordings.tsv", RECORDINGS)
    return {Path(row["path"]): stem_of(row["filename"]) for row in rows}


def result_names(recordings: Sequence[Path], earlier: Mapping[Path, str]) -> dict[Path, str]:
    """Each recording's name in the result folders, another for each, and the earlier one for one seen before.

    Its stem, with as many of its folders as tell it from the others; with its suffix too where there are recordings
    that differ in nothing else.
    """
    names = {path: earlier[path.resolve()] for path in recordings if path.resolve() in earlier}
    used = {name.casefold() for name in earlier.values()}  # some file systems hold A and a for the same
    same_stem = Counter((path.resolve().parent, stem_of(path.name).casefold()) for path in recordings)
    parts = {}
    for path in recordings:
        folder = path.resolve().parent
        stem = stem_of(path.name)
        stem = stem if same_stem[folder, stem.casefold()] == 1 else path.name.replace(".", "_")
        parts[path] = (*folder.parts[1:], stem)
    waiting = [path for path in recordings if path not in names]
    for depth in itertools.count(1):
        tails = {path: _file_name("_".join(parts[path][-depth:])) for path in waiting}
        count = Counter(tail.casefold() for tail in tails.values())
        for path, tail in tails.items():
            if depth > len(parts[path]):  # no folder is left to tell them apart
                tail = next(new for i in itertools.count(2) if (new := f"{tail}_{i}").casefold() not in used)
            elif count[tail.casefold()] > 1 or tail.casefold() in used:
                continue
            names[path] = tail
            used.add(tail.casefold())
        waiting = [path for path in waiting if path not in names]
        if not waiting:
            return names


def check_writable(out: Path) -> None:
    """Make the folder. Raises RecipeError where it cannot be, or nothing can be written into it."""
    try:
        out.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=out):
            pass
    except OSError as error:
        raise fail(f"cannot be written to ({error.strerror})", "give another --out", out) from None


def only_writer(out: Path) -> AbstractContextManager[None]:
    """Raises RecipeError while another process writes there: both would take the same names for other recordings."""

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
    """A label or path as a cell: no character of it ends the cell or the line."""
    return "".join(" " if is_control(character) else character for character in text)


def _read(file: Path, columns: Sequence[str]) -> list[dict[str, str]]:
    """The rows of a table that an earlier run wrote. Raises RecipeError for another one, which is not to be lost."""
    if not file.exists():
        return []
    with file.open(encoding="utf-8", errors="surrogateescape", newline="") as stream:
        reader = csv.DictReader(stream, delimiter="\t", quoting=csv.QUOTE_NONE)
        rows = list(reader)
    if list(reader.fieldnames or ()) != list(columns):
        raise fail(
            f"expected the columns {' '.join(columns)}: it was not written by detect", "give another --out", file
        )
    return rows
