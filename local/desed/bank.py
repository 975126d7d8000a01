"""Fetch DESED's soundbank, the sounds that soundscapes are made of, divided into training and validation."""

from __future__ import annotations

import csv
import re
from collections.abc import Iterable
from pathlib import Path

from local.desed.archives import Archives
from local.desed.unpack import unpack
from local.mini.soundbank import ROLES, class_of, part_folder
from recipe_mtlvae.conf import Conf
from recipe_mtlvae.errors import Fault, RecipeError, fail

FOLDER = "soundbank"  # under the root
_SOUND = re.compile(r"(?:^|/)audio/(train|validation)/(soundbank/(?:foreground|background)/[^/]+/[^/]+\.wav)$")
ARCHIVES = ("soundbank_validation", "soundbank")  # keys of fetch.archives: list of validation sounds, all sounds


def bank_folder(conf: Conf, root: Path) -> Path:
    return Path(conf.data.soundbank).resolve() if conf.data.soundbank else root / FOLDER


def archives_needed(conf: Conf, root: Path) -> tuple[str, ...]:
    return () if bank_folder(conf, root).exists() else ARCHIVES


def fetch_bank(root: Path, work: Path, archives: Archives) -> None:
    """Fetch the soundbank to `root`/soundbank unless it is there already."""
    if (root / FOLDER).exists():
        return
    listed, begun = archives.get(ARCHIVES[0]), work / FOLDER
    with listed.open(encoding="utf-8", errors="replace", newline="") as table:
        rows = csv.DictReader(table, delimiter="\t")
        if "filepath" not in (rows.fieldnames or ()):
            raise fail("expected a table with the column filepath", f"correct fetch.archives.{ARCHIVES[0]}", listed)
        held_out = {row["filepath"] for row in rows}

    def place(member: str) -> Path | None:
        match = _SOUND.search(member)
        if not match:
            return None
        validation = f"audio/validation/{match[2]}"
        return begun / (validation if validation in held_out else f"audio/{match[1]}/{match[2]}")

    unpack(archives.get(ARCHIVES[1]), place)
    begun.rename(root / FOLDER)


def require_sounds(folder: Path, part: str, labels: Iterable[str]) -> Path:
    """Return the folder of a part's foreground and background. Raises RecipeError if a label has no sounds."""
    place = part_folder(folder, part)
    there = {role: {entry.name for entry in place.glob(f"{role}/*") if any(entry.glob("*"))} for role in ROLES}
    faults = []
    for label in sorted(set(labels)):
        if label not in there["foreground"] and label not in map(class_of, there["foreground"]):
            faults.append(Fault(f"no sounds of '{label}'", "fetch.occurrences asks for them", place / "foreground"))
    if not there["background"]:
        hint = "add some as background/<label>/*.wav; desed.download.get_backgrounds_train fetches DESED's"
        faults.append(Fault("no background sounds", hint, place / "background"))
    if faults:
        raise RecipeError(*faults)
    return place
