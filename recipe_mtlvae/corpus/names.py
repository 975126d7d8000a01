"""File names of recordings: which are audio, which are refused, and how text from outside is printed."""

from __future__ import annotations

import os
import unicodedata
from collections.abc import Collection, Iterable
from pathlib import Path

from recipe_mtlvae.errors import Fault

NAME_BYTES = 255  # the longest name that file systems allow
AUDIO_SUFFIXES = (
    *(".wav", ".flac", ".ogg", ".oga", ".opus", ".mp3", ".mp2", ".aif", ".aiff", ".aifc"),
    *(".au", ".snd", ".w64", ".rf64", ".caf", ".sph", ".voc"),
)


def is_audio_name(name: str) -> bool:
    """Whether a file name has an audio suffix; hidden files do not count as audio."""
    return name.lower().endswith(AUDIO_SUFFIXES) and not name.startswith(".")


def bad_name(name: str) -> str | None:
    """Return why a file name is refused, or None. A name must stay inside its folder and fit on one line."""
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
    """Return why a recording is refused for its name or its folder's, or None. Results contain both, in UTF-8."""
    if reason := bad_name(path.name):
        return Fault(f"file name {show(path.name)}: {reason}", "rename it")
    if _lacks_utf8(str(path)):
        return Fault("is in a folder whose name is not UTF-8", "rename the folder", path)
    return None


def _lacks_utf8(name: str) -> bool:
    """Whether a name from disk holds bytes that are not UTF-8."""
    return any(unicodedata.category(character) == "Cs" for character in name)


def is_control(character: str) -> bool:
    """Whether a character ends a line, controls a terminal or is not text; joiners and direction marks are text."""
    return unicodedata.category(character) in ("Cc", "Cs", "Zl", "Zp")


def suffix_of(name: str) -> str:
    """Return the suffix of a recording's name. Only audio suffixes count: `Y_30.000_40.000` has none."""
    suffix = Path(name).suffix
    return suffix if suffix.lower() in AUDIO_SUFFIXES else ""


def stem_of(name: str) -> str:
    """Return a recording's name without its suffix."""
    return name.removesuffix(suffix_of(name))


def normalized(text: str) -> str:
    """Return `text` in a form in which case, kinds of spaces and the Unicode composition of letters do not differ."""
    return " ".join(unicodedata.normalize("NFKC", text).split()).casefold()


def unicode_matches(names: Iterable[str], on_disk: Collection[str]) -> dict[str, str]:
    """Return, by name, the file on disk whose name is the same text in another Unicode form.

    macOS, for example, writes letters with marks in such a form. Names that are themselves on disk are left out.
    """
    others: dict[str, str] = {}
    if not all(map(str.isascii, on_disk)):
        others = {unicodedata.normalize("NFC", name): name for name in on_disk}
    plain = ((name, unicodedata.normalize("NFC", name)) for name in names if others and name not in on_disk)
    return {name: others[form] for name, form in plain if form in others}


def no_audio(folder: Path) -> Fault:
    return Fault(f"no audio in this folder: expected {', '.join(AUDIO_SUFFIXES)}", path=folder)


def link_faults(entries: Iterable[os.DirEntry | Path]) -> list[Fault]:
    """Return a fault for each symbolic link whose target does not exist."""
    dangling = (Path(entry) for entry in entries if entry.is_symlink() and not os.path.exists(entry))
    return [Fault("is a broken symbolic link", "put the file there", path) for path in dangling]


def stem_faults(names: Iterable[str], where: Path) -> list[Fault]:
    """Return a fault for each recording that differs from another in its suffix alone: the stem names the results."""
    first: dict[str, str] = {}
    pairs = [(first.setdefault(stem_of(name), name), name) for name in names]
    what = "{} and {} differ in their suffix alone, so that their results would share one file"
    return [Fault(what.format(show(one), show(other)), "rename one", where) for one, other in pairs if one != other]


def show(text: str, limit: int = 80) -> str:
    """Return a piece of input in a form that is safe to print: quoted, escaped and shortened."""
    return repr(text if len(text) <= limit else text[:limit] + "...")
