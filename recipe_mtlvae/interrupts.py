"""Ending a command with a one-line error on Ctrl-C, SIGTERM, SIGHUP or too little memory, from its first import on.

Only the standard library is used.

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

LINE = "error: interrupted; run the same command again to continue"
SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
_TWICE = 1.0  # s; a second signal that comes sooner is the first one by another way (terminal and run.sh)
_seen: list[float] = []  # times of the signals within the present `raised`, by time.monotonic()


def at_start() -> None:
    """Let signals end the process at once. A command calls this before its heavy imports, with nothing to save yet."""
    _open_streams()
    _handle(_leave)
    sys.excepthook = _uncaught


@contextlib.contextmanager
def raised() -> Iterator[None]:
    """Within this context, the first signal raises KeyboardInterrupt in the main thread.

    A signal more than a second later ends the process.
    """
    _seen.clear()
    before = _handle(_interrupt)
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def came() -> bool:
    """Whether a signal came within `raised`, whose KeyboardInterrupt C code may have turned into another error."""
    return bool(_seen)


def say() -> None:
    """Print one line per command, however many processes train together."""
    if _is_first_process():
        os.write(2, f"{LINE}\n".encode())


def lacks_memory(error: BaseException) -> bool:
    """Whether an error means too little memory, which torch and the loader of libraries report by other errors."""
    words = ("failed to map segment", "allocate memory", "out of memory")
    says_so = isinstance(error, (ImportError, OSError, RuntimeError)) and any(text in str(error) for text in words)
    return isinstance(error, MemoryError) or says_so


def say_memory(error: BaseException) -> None:
    """Print one line about too little memory."""
    what = str(error).strip().partition("\n")[0]
    os.write(2, f"error: too little memory{f' ({what})' if what else ''}\n".encode())


def _uncaught(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    say_memory(error) if lacks_memory(error) else sys.__excepthook__(kind, error, trace)


def _handle(handler: signal.Handlers | object) -> dict[int, object]:
    """Install a handler, except for signals that are ignored, as under nohup. Returns the previous handlers."""
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
    if not _is_first_process():  # only the first of several training processes saves; the others may end at once
        os._exit(1)
    now = time.monotonic()
    _seen.append(now)
    if len(_seen) == 1:
        raise KeyboardInterrupt
    if now - _seen[0] > _TWICE:
        _leave(number, frame)


def _is_first_process() -> bool:
    return os.environ.get("LOCAL_RANK", "0") == "0"  # as numbered by Lightning, torchrun and others


def _open_streams() -> None:
    """Open a standard stream that the caller has closed on /dev/null: otherwise the next file would get its number."""
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # the lowest free number
        if getattr(sys, name) is None:
            setattr(sys, name, open(number, "r" if number == 0 else "w", closefd=False))  # noqa: SIM115
