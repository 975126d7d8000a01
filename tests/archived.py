"""Read what detect-archive wrote to tmp_path / "out"."""

from __future__ import annotations

from pathlib import Path


def rows(tmp_path: Path, table: str = "recordings") -> list[dict]:
    import pyarrow.parquet as pq

    return pq.read_table(tmp_path / "out" / f"{table}.parquet").to_pylist()


def part_files(tmp_path: Path) -> list[Path]:
    return sorted((tmp_path / "out" / "parts").iterdir())
