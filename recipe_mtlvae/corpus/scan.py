"""Statistics of every recording of a split, computed on all cores; a later check computes only those that changed.

They are stored in `.checked/<split>.jsonl` below the corpus: one line per recording, keyed by its name, size and
modification time. A check only appends lines, so that it continues where it was killed; an incomplete line is ignored.
Faults are not stored: their cause, such as a missing permission or a failing disk, may go away without a change of the
file's size and time.
"""

from __future__ import annotations

import contextlib
import itertools
import json
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import astuple
from pathlib import Path
from typing import Any

from recipe_mtlvae.corpus.audio_stats import AudioStats, audio_stats
from recipe_mtlvae.corpus.metadata import Clip
from recipe_mtlvae.errors import Fault, RecipeError
from recipe_mtlvae.files import atomic_write, file_stamp
from recipe_mtlvae.machine import cores

FOLDER = ".checked"
_FORMAT = "recipe_mtlvae check 4"  # to be raised when the same file gives other statistics
_CHUNK = 64  # recordings per task
Key = tuple[int, int]  # bytes, modification time in ns
ScanResult = AudioStats | Fault


def scan(
    clips: Sequence[Clip], cache: Path, workers: int | None = None, count: Callable[[int], Any] = lambda clips: None
) -> Iterator[tuple[Clip, ScanResult]]:
    """Yield each clip with its recording's statistics or fault, in order.

    workers: threads; None: one per core. Threads suffice, since decoding and hashing release Python's lock. count: is
    called with the number of clips done since its last call.
    """
    known, lines = _read(cache)
    keys = {clip.name: file_stamp(clip.path) for clip in clips}
    new = [clip for clip in clips if clip.name not in known or known[clip.name][0] != keys[clip.name]]
    count(len(clips) - len(new))
    fresh = _examine_all(new, cache, keys, workers or cores(), count)
    for clip in clips:
        entry = known.get(clip.name)
        if entry is None or entry[0] != keys[clip.name]:
            yield clip, next(fresh)
        else:
            yield clip, entry[1]
    _tidy(cache, lines + len(new), keys)


def _examine_all(
    clips: Sequence[Clip], cache: Path, keys: Mapping[str, Key], workers: int, count: Callable[[int], Any]
) -> Iterator[ScanResult]:
    chunks = (clips[i : i + _CHUNK] for i in range(0, len(clips), _CHUNK))
    pool = ThreadPoolExecutor(workers)
    try:
        waiting = deque((chunk, pool.submit(_examine, chunk)) for chunk in itertools.islice(chunks, 2 * workers))
        while waiting:
            chunk, future = waiting.popleft()
            found = future.result()
            waiting.extend((following, pool.submit(_examine, following)) for following in itertools.islice(chunks, 1))
            read = [
                (clip.name, stats) for clip, stats in zip(chunk, found, strict=True) if isinstance(stats, AudioStats)
            ]
            if read:
                _append(cache, (_line(name, keys[name], stats) for name, stats in read))
            count(len(chunk))
            yield from found
    finally:
        pool.shutdown(cancel_futures=True)


def _examine(clips: Sequence[Clip]) -> list[ScanResult]:
    found: list[ScanResult] = []
    for clip in clips:
        try:
            found.append(audio_stats(clip.path))
        except RecipeError as error:
            found.append(error.faults[0])
    return found


def _line(name: str, key: Key, stats: AudioStats) -> str:
    return json.dumps([name, *key, *astuple(stats)])


def _append(cache: Path, lines: Iterable[str]) -> None:
    """Append lines to the cache. If it cannot be written (a full disk, another user's), only time is lost."""
    with contextlib.suppress(OSError):
        cache.parent.mkdir(exist_ok=True)
        with cache.open("a", encoding="utf-8") as file:
            if not file.tell():
                file.write(_FORMAT)
            file.write("\n" + "\n".join(lines))  # \n comes first: it also ends an incomplete line


def _read(cache: Path) -> tuple[dict[str, tuple[Key, AudioStats]], int]:
    """Return what the cache holds by name (the last line counts), and its number of lines."""
    known: dict[str, tuple[Key, AudioStats]] = {}
    number = 0
    with contextlib.suppress(OSError), cache.open(encoding="utf-8", errors="replace") as lines:
        if next(lines, "").rstrip("\n") != _FORMAT:
            cache.unlink()  # of another version
            return {}, 0
        for number, line in enumerate(lines, start=1):  # noqa: B007
            with contextlib.suppress(ValueError, TypeError):
                name, size, mtime, *found = json.loads(line)
                if _is_valid(found):
                    known[name] = (size, mtime), AudioStats(*found)
    return known, number


def _is_valid(found: list[Any]) -> bool:
    """Whether `found` is the content of a line as _line writes it: others may have written the file."""
    numbers, texts = found[:5], found[5:]
    valid = all(isinstance(number, (int, float)) for number in numbers)
    return valid and len(texts) == 2 and all(isinstance(text, str | None) for text in texts)


def _tidy(cache: Path, lines: int, keys: Mapping[str, Key]) -> None:
    """Rewrite the cache if most of its lines are about recordings that have changed or are gone."""
    if lines <= 2 * len(keys) + _CHUNK:
        return
    kept = [_line(name, *entry) for name, entry in _read(cache)[0].items() if keys.get(name) == entry[0]]
    with contextlib.suppress(OSError), atomic_write(cache) as temporary:
        temporary.write_text("\n".join([_FORMAT, *kept]), encoding="utf-8")
