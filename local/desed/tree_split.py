"""One split of a DESED tree: what it lacks, where that comes from, and why some clips cannot be obtained."""

from __future__ import annotations

import csv
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from local.desed.archives import Archives
from local.desed.audioset import is_gone
from recipe_mtlvae.conf import Conf
from recipe_mtlvae.conf_sections import SplitConf, SplitOriginConf
from recipe_mtlvae.corpus.metadata import read_metadata

WORK = ".fetch"  # under the root: unfinished work, deleted when all is done
AUDIOSET = "audioset"  # in fetch.splits: single clips


@dataclass(frozen=True)
class Missing:
    """What a split lacks on disk."""

    metadata: bool  # the table; without it the clips are unknown
    clips: tuple[str, ...] = ()  # named by valid rows, sorted
    expected: int = 0  # clips that the table names

    def __bool__(self) -> bool:
        return self.metadata or bool(self.clips)


@dataclass(frozen=True)
class TreeSplit:
    """A split of the tree under `root`."""

    name: str
    conf: Conf
    root: Path
    archives: Archives

    @property
    def split(self) -> SplitConf:
        return self.conf.data.splits[self.name]

    @property
    def origin(self) -> SplitOriginConf:
        return self.conf.fetch.splits[self.name]

    @property
    def table(self) -> Path:
        return self.root / self.split.metadata

    @property
    def audio(self) -> Path:
        return self.root / self.split.audio

    @property
    def work(self) -> Path:
        return self.root / WORK

    @property
    def is_generated(self) -> bool:
        return self.conf.data.synthetic == "generate" and self.name in self.conf.fetch.soundscapes

    @property
    def has_single_clips(self) -> bool:
        return not self.is_generated and self.origin.audio == AUDIOSET

    @property
    def missing_file(self) -> Path:
        """The list of clips that cannot be obtained, with reasons, in the format that DESED's organisers ask for."""
        return self.root / f"missing_files_{self.name}.tsv"

    def missing(self) -> Missing:
        """Return what is missing on disk. Raises RecipeError if the table cannot be read."""
        if not self.table.exists():
            return Missing(metadata=True)
        metadata = read_metadata(self.table, self.split.labels, None, self.conf.data.table)
        present = set(os.listdir(self.audio)) if self.audio.is_dir() else set()
        return Missing(False, tuple(sorted(metadata.labels.keys() - present)), metadata.expected)

    def is_complete(self) -> bool:
        """Whether nothing is left to do."""
        missing = self.missing()
        if self.is_generated:
            return not missing
        return not (missing.metadata or self.wanted(missing) or (missing and self.conf.data.reuse))

    def wanted(self, missing: Missing) -> list[str]:
        """Return the missing clips that may still be obtained."""
        reasons = self.final_reasons(missing)
        return [name for name in missing.clips if name not in reasons]

    def final_reasons(self, missing: Missing) -> dict[str, str]:
        """Return why missing clips cannot be obtained, by clip, where that is final: they are not requested again."""
        if not self.missing_file.exists():
            return {}
        # a user may have edited the list; a reason that is not understood is not final
        with self.missing_file.open(encoding="utf-8", errors="replace", newline="") as content:
            known = dict(row for row in csv.reader(content, delimiter="\t") if len(row) == 2)
        return {name: known[name] for name in missing.clips if name in known and self._is_final(known[name])}

    def _is_final(self, reason: str) -> bool:
        return is_gone(reason) if self.has_single_clips else reason == self.not_in_archive()

    def not_in_archive(self) -> str:
        return f"not in {self.archives.describe(self.origin.audio)}"

    def write_missing(self, reasons: Mapping[str, str]) -> None:
        """Write the reasons by clip, sorted, as desed's own download does. Without reasons, the file is deleted."""
        if not reasons:
            self.missing_file.unlink(missing_ok=True)
            return
        unfinished = self.work / self.missing_file.name
        unfinished.parent.mkdir(parents=True, exist_ok=True)
        with unfinished.open("w", encoding="utf-8", newline="") as file:
            csv.writer(file, delimiter="\t", lineterminator="\n").writerows(
                [("filename", "error"), *sorted(reasons.items())]
            )
        unfinished.replace(self.missing_file)
