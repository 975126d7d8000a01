"""missing_files_<split>.tsv: the clips that could not be had, with reasons, as DESED's organisers ask for it."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Mapping
from pathlib import Path

from recipe_mtlvae.files import write_text

COLUMNS = ("filename", "error")


def missing_file(root: Path, split: str) -> Path:
    return root / f"missing_files_{split}.tsv"


def read_missing(file: Path) -> dict[str, str]:
    """Reasons by clip; none where there is no such file."""
    if not file.exists():
        return {}
    with file.open(encoding="utf-8", newline="") as content:
        rows = [row for row in csv.reader(content, delimiter="\t") if len(row) == len(COLUMNS)]
    return dict(rows[1:])


def write_missing(file: Path, reasons: Mapping[str, str], work: Path) -> None:
    """Write reasons by clip, sorted, as desed's own download does; no clip, no file. work: for what is half written."""
    if not reasons:
        file.unlink(missing_ok=True)
        return
    text = io.StringIO()
    table = csv.writer(text, delimiter="\t", lineterminator="\n")
    table.writerow(COLUMNS)
    table.writerows(sorted(reasons.items()))
    write_text(work / file.name, text.getvalue())
    (work / file.name).replace(file)


def one_line(reason: str) -> str:
    """A program's message without colours, tabs and line breaks."""
    return " ".join(re.sub(r"\x1b\[[0-9;]*m", "", reason).split())
