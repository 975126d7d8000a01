"""Write a metadata table for a test."""

from __future__ import annotations

from pathlib import Path

CLASSES = ("Cat", "Dog", "Speech")
STRONG = "filename\tonset\toffset\tevent_label\n"


def tsv(folder: Path, text: str | bytes) -> Path:
    path = folder / "split.tsv"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path
