"""Fetch single AudioSet clips with desed and yt-dlp: several at once, politely, with a reason for each failure."""

from __future__ import annotations

import contextlib
import errno
import logging
import os
import re
import shutil
import threading
import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path

from local.desed.clip_file import ClipName, move, unfit
from recipe_mtlvae.conf_sections import FetchConf
from recipe_mtlvae.errors import fail
from recipe_mtlvae.progress_bar import progress_bar

CLIP_BYTES = 10 * 44_100 * 2 + 44  # one AudioSet clip as desed saves it: 10 s, 44.1 kHz, 16 bits
# What yt-dlp says about temporary faults, such as too many requests ...
TEMPORARY = re.compile(
    r"HTTP Error (408|429|5\d\d)|too many requests|rate.?limit|try again later|not a bot|timed? ?out|connection|"
    r"temporary failure|name or service|network is unreachable|incomplete ?read|remote end closed",
    re.IGNORECASE,
)
# ... and about clips that are gone
GONE = re.compile(
    r"video (is )?(unavailable|not available|private)|private video|removed|terminated|does not exist|deleted|"
    r"not (been )?made (this video )?available|copyright|confirm your age|not an AudioSet",
    re.IGNORECASE,
)
NOT_TRIED = "not tried"
GIVE_UP_AFTER = 20  # if none of this many clips can be fetched, the network or YouTube is at fault


def is_gone(reason: str) -> bool:
    """Whether a reason in missing_files_<split>.tsv is final, so that the clip is not requested again."""
    return bool(GONE.search(reason)) and not TEMPORARY.search(reason)


def fetch_clips(
    names: Sequence[str], folder: Path, work: Path, fetch: FetchConf, title: str, note: Callable[[str, str], None]
) -> str | None:
    """Fetch AudioSet clips into `folder`. A clip gets its name there only when it is whole and readable.

    work: a folder on the same disk for unfinished files. note: called with the name and the reason of each clip that
    cannot be fetched. Returns why fetching stopped before all clips were tried; None if all were tried. Raises
    RecipeError if a program is missing.
    """
    with _quiet():
        _import_decoders()
    folder.mkdir(parents=True, exist_ok=True)
    pace, came, refused = Pace(fetch), 0, 0
    pool = ThreadPoolExecutor(fetch.clips_at_once)
    try:
        with _quiet(), progress_bar(title, len(names)) as bar:
            futures = {pool.submit(_fetch_clip, name, folder, work, pace): name for name in names}
            for done in as_completed(futures):
                reason = done.result()
                bar.update()
                if reason is None:
                    came += 1
                    continue
                note(futures[done], reason)
                refused += not is_gone(reason)
                if not came and refused >= GIVE_UP_AFTER:
                    pace.stop(f"none of the first {refused} clips could be fetched; the last reason: {reason}")
    finally:
        pace.stop("interrupted")
        pool.shutdown(cancel_futures=True)
        shutil.rmtree(work, ignore_errors=True)
    return pace.stopped if pace.stopped != "interrupted" else None


class Pace:
    """The request rate shared by all threads. Pauses double with each refusal; too many refusals stop all threads."""

    def __init__(self, fetch: FetchConf) -> None:
        self.fetch = fetch
        self.stopped: str | None = None
        self._lock = threading.Lock()
        self._ended = threading.Event()
        self._next = time.monotonic()
        self._refusals = self._round = 0

    def turn(self) -> int | None:
        """Wait until the next request may be sent. Return the number of its round; None once fetching has stopped."""
        while True:
            with self._lock:
                left = self._next - time.monotonic()
                if left <= 0:
                    self._next = time.monotonic() + 1 / self.fetch.clips_per_second
                    return None if self._ended.is_set() else self._round
            if self._ended.wait(left):
                return None

    def accepted(self) -> None:
        with self._lock:
            self._refusals = 0

    def refused(self, round_: int, reason: str) -> None:
        """Make all threads pause. Several refusals in the same round count once."""
        with self._lock:
            if round_ != self._round:
                return
            self._round += 1
            self._refusals += 1
            self._next = max(self._next, time.monotonic() + min(2.0**self._refusals, self.fetch.longest_wait))
        if self._refusals >= self.fetch.attempts:
            self.stop(f"refused {self._refusals} times in a row: {reason}")

    def stop(self, reason: str) -> None:
        self.stopped = self.stopped or reason
        self._ended.set()


def _fetch_clip(name: str, folder: Path, work: Path, pace: Pace) -> str | None:
    """Fetch one clip, in several attempts. Return the reason if it cannot be fetched."""
    reason = NOT_TRIED
    for _ in range(pace.fetch.attempts):
        round_ = pace.turn()
        if round_ is None:
            break
        reason = _ask(name, folder, work / name)
        if reason is None or not TEMPORARY.search(reason):
            pace.accepted()
            break
        pace.refused(round_, reason)
    return reason


def _ask(name: str, folder: Path, work: Path) -> str | None:
    """Let desed fetch one clip, in one attempt. Return the reason if it cannot be fetched."""
    from desed.download import _download_audioset_file  # its public function writes into the working directory

    clip = ClipName.of(name)
    if clip is None:
        return "not an AudioSet clip's name: expected Y<id>_<start>_<end>.wav"
    asked = name if name.startswith(f"Y{clip.video}_") else f"Y{name}"
    shutil.rmtree(work, ignore_errors=True)
    work.mkdir(parents=True)
    try:
        reason = _download_audioset_file(asked, str(work), "youtube", f"{work}/")[1:]
    except Exception as error:  # whatever desed's decoders raise is the reason for this clip
        reason = [f"{type(error).__name__}: {error}"]
    made = work / asked
    if not reason:
        reason = [f"arrived damaged: it {problem}" for problem in [unfit(made)] if problem]
    if not reason:
        move(made, folder / name)
        shutil.rmtree(work)
        return None
    if shutil.disk_usage(work).free < CLIP_BYTES:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(work))
    if re.search("ffmpeg|ffprobe|NoBackend", reason[0]) and not (shutil.which("ffmpeg") and shutil.which("ffprobe")):
        what = "AudioSet clips need the programs ffmpeg and ffprobe"
        raise fail(what, "install them: apt install ffmpeg, or brew install ffmpeg")
    return _one_line(reason[0].replace(f"{work}/", ""))


def _one_line(reason: str) -> str:
    """Return a program's message without colours, tabs and line breaks."""
    return " ".join(re.sub(r"\x1b\[[0-9;]*m", "", reason).split())


def _import_decoders() -> None:
    """Import desed's decoders: librosa does so at first use, which must not happen in several threads at once."""
    import desed.download  # noqa: F401
    import librosa
    import resampy

    for module, function in ((librosa, "load"), (librosa, "resample"), (resampy, "resample")):
        getattr(module, function)


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Suppress the messages of desed, dcase_util and librosa about every clip."""
    before = logging.root.manager.disable
    logging.disable(logging.CRITICAL)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(before)
