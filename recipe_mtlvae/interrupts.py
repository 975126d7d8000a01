"""Ctrl-C, SIGTERM, SIGHUP and too little memory end a command in one line, from its first import on.

Standard library only.

A command starts with `at_start`; `exit_code_of` (errors.py) calls its main function within `raised`.
"""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import threading
import time
from collections.abc import Iterator
from types import FrameType, TracebackType

LINE = "error: interrupted; run the same command again to go on"
SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
_TWICE = 1.0  # s; sooner, a second signal is the first one that came by another way (terminal and run.sh)
_seen: list[float] = []  # when signals came, by time.monotonic(), in this `raised`


def at_start() -> None:
    """To be called by a command before its heavy imports, when there is nothing to save yet."""
    _open_streams()
    _handle(_leave)
    sys.excepthook = _uncaught


@contextlib.contextmanager
def raised() -> Iterator[None]:
    """Within, the first signal raises KeyboardInterrupt in the main thread; one a second later ends the process."""
    _seen.clear()
    before = _handle(_interrupt)
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def came() -> bool:
    """Whether a signal came within `raised`. C code may have turned its KeyboardInterrupt into another error."""
    return bool(_seen)


def say() -> None:
    """One line a command, however many processes train side by side."""
    if _is_first_process():
        os.write(2, f"{LINE}\n".encode())


def lacks_memory(error: BaseException) -> bool:
    """Whether there was too little memory, which the loader of libraries and torch tell in errors of other kinds."""
    words = ("failed to map segment", "allocate memory", "out of memory")
    is_told = isinstance(error, (ImportError, RuntimeError)) and any(text in str(error) for text in words)
    return isinstance(error, MemoryError) or is_told


def say_memory(error: BaseException) -> None:
    """One line."""
    what = str(error).strip().partition("\n")[0]
    os.write(2, f"error: too little memory{f' ({what})' if what else ''}\n".encode())


def _uncaught(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    say_memory(error) if lacks_memory(error) else sys.__excepthook__(kind, error, trace)


def _handle(handler: signal.Handlers | object) -> dict[int, object]:
    """Install a handler, but where a signal is ignored, as under nohup; the handlers before."""
    if threading.current_thread() is not threading.main_thread():
        return {}
    before = {number: signal.getsignal(number) for number in SIGNALS}
    before = {number: old for number, old in before.items() if old not in (signal.SIG_IGN, None)}
    for number in before:
        signal.signal(number, handler)
    return before


def _leave(number: int, frame: FrameType | None) -> None:
    say()
    os._exit(1)


def _interrupt(number: int, frame: FrameType | None) -> None:
    if not _is_first_process():  # of several that train together, the first one saves; of a kill, no file is left half
        os._exit(1)
    now = time.monotonic()
    _seen.append(now)
    if len(_seen) == 1:
        raise KeyboardInterrupt
    if now - _seen[0] > _TWICE:
        _leave(number, frame)


def _is_first_process() -> bool:
    return os.environ.get("LOCAL_RANK", "0") == "0"  # as Lightning, torchrun and the like number them


def _open_streams() -> None:
    """Where the caller closed a standard stream, open it on nothing: the next file would take its number."""
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # the lowest free number
        if getattr(sys, name) is None:
            setattr(sys, name, open(number, "r" if number == 0 else "w", closefd=False))  # noqa: SIM115
