"""The recordings in the files and folders that a user names."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from pathlib import Path

from recipe_mtlvae.audio.decoding import FOREIGN
from recipe_mtlvae.corpus.names import is_audio_name, link_faults, name_fault, no_audio
from recipe_mtlvae.errors import Fault


def find_recordings(paths: Iterable[Path]) -> tuple[list[Path], list[Fault]]:
    """Return the named files and, recursively, the audio files in the named folders, each once; and what is wrong.

    Hidden files in folders are left out: macOS puts one beside every file that it copies.
    """
    recordings: dict[Path, Path] = {}  # by real path: a file may be named twice
    faults = []
    for path in paths:
        if path.is_dir():
            entries = sorted(path.rglob("*"))
            named = [entry for entry in entries if is_audio_name(entry.name)]
            faults += link_faults(named)
            files = [entry for entry in entries if entry.is_file()]
            found = [file for file in files if is_audio_name(file.name)]
            if not found:
                faults.append(no_audio(path))
            faults += _foreign(files, path)
            for file in found:
                recordings.setdefault(file.resolve(), file)
        elif path.is_file():
            recordings.setdefault(path.resolve(), path)
        elif path.exists():
            faults.append(Fault("is a pipe or a device, not a file", "write the audio to a file", path))
        else:
            faults += link_faults([path]) or [Fault("no such file or folder", path=path)]
    unfit = {real: fault for real, path in recordings.items() if (fault := name_fault(path) or name_fault(real))}
    return [path for real, path in recordings.items() if real not in unfit], [*faults, *unfit.values()]


def _foreign(files: Iterable[Path], folder: Path) -> list[Fault]:
    """Faults for recordings in formats that cannot be read, such as a phone's, so that none is skipped silently."""
    count = Counter(suffix for file in files if (suffix := file.suffix.lower()) in FOREIGN)
    hint = "convert them, as by ffmpeg -i NAME{0} NAME.wav"
    return [
        Fault(f"{number} file{'s'[: number > 1]} ending in {suffix}, which is not read", hint.format(suffix), folder)
        for suffix, number in sorted(count.items())
    ]
