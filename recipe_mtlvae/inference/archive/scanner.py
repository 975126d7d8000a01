"""Detection in an archive, chunk by chunk: the work of one worker, and the loop of a single process."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from recipe_mtlvae.corpus.names import name_fault
from recipe_mtlvae.errors import Fault
from recipe_mtlvae.inference.archive.listing import Chunk, Entry
from recipe_mtlvae.inference.archive.parts import PartRow, write_part
from recipe_mtlvae.inference.detection_files import result_names
from recipe_mtlvae.inference.detector import Detection, Detector
from recipe_mtlvae.scoring.scores import write_scores

UNEXPECTED = (RuntimeError, ValueError, ArithmeticError, LookupError)  # of one recording, or of all


@dataclass(frozen=True)
class Job:
    """What a worker needs to know. Paths are absolute."""

    checkpoint: Path
    out: Path
    options: dict[str, Any]  # keyword arguments of Detector.load
    scores: bool  # whether to keep score tables


@dataclass(frozen=True)
class ChunkCounts:
    """The counts of a finished chunk."""

    recordings: int
    seconds: float  # of audio
    faults: int


class Scanner:
    """Detects events in chunks with a checkpoint.

    It computes in one thread on every machine, so that results do not depend on the number of cores.
    """

    def __init__(self, job: Job) -> None:
        import torch

        torch.set_num_threads(1)
        self.job = job
        self.detector = Detector.load(job.checkpoint, **job.options)

    def scan(self, chunk: Chunk) -> ChunkCounts:
        """Write the chunk's part. If an error occurs, its recordings are tried one by one.

        If none of them can be scanned, silence is tried. An error there has another cause than the recordings: it is
        raised.
        """
        try:
            rows = self.rows(chunk, chunk.entries)
        except UNEXPECTED:
            rows = [self._row_alone(chunk, entry) for entry in chunk.entries]
            if all(row["fault"] for row in rows):
                rate = self.detector.conf.features.sample_rate
                self.detector.detect(np.zeros(rate, np.float32), rate)
        return finish(self.job.out, chunk, rows)

    def rows(self, chunk: Chunk, entries: Iterable[Entry]) -> list[PartRow]:
        """Return one row for each of `entries`, which are recordings of the chunk, in their order."""
        rows = {Path(entry.path): empty_row(entry, _text(name_fault(Path(entry.path)))) for entry in entries}
        named = [path for path in (Path(entry.path) for entry in chunk.entries) if not name_fault(path)]
        names = result_names(named, {}) if self.job.scores else {}
        faults: list[Fault] = []
        for detection in self.detector.detect_all([path for path in rows if not rows[path]["fault"]], faults):
            rows[detection.path] |= self._found(detection, f"{chunk.name}/{names.get(detection.path)}")
        for fault in faults:
            rows[fault.path]["fault"] = _text(fault)
        return list(rows.values())

    def _found(self, detection: Detection, name: str) -> PartRow:
        if not np.isfinite(detection.scores).all():
            return {"duration": detection.duration, "fault": "gave scores that are not finite; is it damaged?"}
        if self.job.scores:
            folder, stem = Path("scores", name).parent, Path(name).name
            write_scores(self.job.out / folder, stem, detection.scores, detection.step_seconds, detection.classes)
        return {
            "duration": detection.duration,
            "events": [
                {"onset": e.onset, "offset": e.offset, "event_label": e.label, "confidence": e.confidence}
                for e in detection.events
            ],
            "fault": _text(detection.damage),
            "scores": f"scores/{name}.tsv" if self.job.scores else None,
        }

    def _row_alone(self, chunk: Chunk, entry: Entry) -> PartRow:
        try:
            return self.rows(chunk, [entry])[0]
        except UNEXPECTED as error:
            return empty_row(entry, f"cannot be scanned ({type(error).__name__}: {error})")


def finish(out: Path, chunk: Chunk, rows: Sequence[PartRow]) -> ChunkCounts:
    """Write the part of a finished chunk, and return its counts."""
    write_part(out, chunk, rows)
    return ChunkCounts(
        len(rows), sum(row["duration"] or 0.0 for row in rows), sum(row["fault"] is not None for row in rows)
    )


def empty_row(entry: Entry, fault: str | None) -> PartRow:
    path = entry.path.encode(errors="backslashreplace").decode()
    return {"path": path, "duration": None, "events": [], "fault": fault, "scores": None}


def plain_loop(job: Job, chunks: Iterable[Chunk], done: Callable[[ChunkCounts], None]) -> None:
    """Process all chunks one after the other in this process."""
    scanner = Scanner(job)
    for chunk in chunks:
        done(scanner.scan(chunk))


def _text(fault: Fault | None) -> str | None:
    """The fault without its path, which the row has already."""
    return fault and str(Fault(fault.what, fault.hint))
