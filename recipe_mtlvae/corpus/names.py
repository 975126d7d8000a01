"""File names of recordings: which are audio, which are refused, and how text from outside is shown."""

from __future__ import annotations

import os
import unicodedata
from collections.abc import Collection, Iterable
from pathlib import Path

from recipe_mtlvae.errors import Fault

NAME_BYTES = 255  # the longest name that file systems take
AUDIO_SUFFIXES = (
    *(".wav", ".flac", ".ogg", ".oga", ".opus", ".mp3", ".mp2", ".aif", ".aiff", ".aifc"),
    *(".au", ".snd", ".w64", ".rf64", ".caf", ".sph", ".voc"),
)


def is_audio_name(name: str) -> bool:
    """Whether a file is audio by its name; hidden files never are."""
    return name.lower().endswith(AUDIO_SUFFIXES) and not name.startswith(".")


def bad_name(name: str) -> str | None:
    """Why a file name is refused, if it is: it must stay inside its folder and on its line."""
    if not name:
        return "is empty"
    if name in (".", "..") or "/" in name or "\\" in name:
        return "expected a plain file name that stays in the audio folder"
    if len(name.encode("utf-8", "surrogateescape")) > NAME_BYTES:
        return f"is longer than {NAME_BYTES} bytes"
    if any(map(is_control, name)):
        return "holds a control character" if not _lacks_utf8(name) else "holds bytes that are not UTF-8"
    return None


def name_fault(path: Path) -> Fault | None:
    """Why a recording is refused by its name or its folder's, if it is: results name both, in UTF-8."""
    if reason := bad_name(path.name):
        return Fault(f"file name {show(path.name)}: {reason}", "rename it")
    if _lacks_utf8(str(path)):
        return Fault("is in a folder whose name is not UTF-8", "rename the folder", path)
    return None


def _lacks_utf8(name: str) -> bool:
    """Whether a name from disk holds bytes that are not UTF-8."""
    return any(unicodedata.category(character) == "Cs" for character in name)


def is_control(character: str) -> bool:
    """Whether a character ends lines, commands terminals or is no text; joiners and marks of direction are text."""
    return unicodedata.category(character) in ("Cc", "Cs", "Zl", "Zp")


def suffix_of(name: str) -> str:
    """Of a recording; only those of audio are some: `Y_30.000_40.000` has none."""
    suffix = Path(name).suffix
    return suffix if suffix.lower() in AUDIO_SUFFIXES else ""


def stem_of(name: str) -> str:
    """A recording's name without its suffix."""
    return name.removesuffix(suffix_of(name))


def folded(text: str) -> str:
    """The same for texts that differ in case, in kinds of spaces or in how letters are composed alone."""
    return " ".join(unicodedata.normalize("NFKC", text).split()).casefold()


def respelt(names: Iterable[str], on_disk: Collection[str]) -> dict[str, str]:
    """By name: the file whose name is the same text in another Unicode form, as macOS writes letters with marks."""
    others: dict[str, str] = {}
    if not all(map(str.isascii, on_disk)):
        others = {unicodedata.normalize("NFC", name): name for name in on_disk}
    plain = ((name, unicodedata.normalize("NFC", name)) for name in names if others and name not in on_disk)
    return {name: others[form] for name, form in plain if form in others}


def no_audio(folder: Path) -> Fault:
    return Fault(f"no audio in this folder: expected {', '.join(AUDIO_SUFFIXES)}", path=folder)


def link_faults(entries: Iterable[os.DirEntry | Path]) -> list[Fault]:
    """Those that are links to nothing."""
    dangling = (Path(entry) for entry in entries if entry.is_symlink() and not os.path.exists(entry))
    return [Fault("is a link to nothing", "put the file there", path) for path in dangling]


def stem_faults(names: Iterable[str], where: Path) -> list[Fault]:
    """Recordings that differ in their suffix alone: results are written under the stem."""
    first: dict[str, str] = {}
    pairs = [(first.setdefault(stem_of(name), name), name) for name in names]
    what = "{} and {} differ in their suffix alone, so that their results would share one file"
    return [Fault(what.format(show(one), show(other)), "rename one", where) for one, other in pairs if one != other]


def show(text: str, limit: int = 80) -> str:
    """A piece of input as it may be printed: quoted, escaped, shortened."""
    return repr(text if len(text) <= limit else text[:limit] + "...")
