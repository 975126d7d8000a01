"""The next items of an iterator, made in a thread of their own."""

from __future__ import annotations

import contextlib
import queue
import threading
from collections.abc import Generator, Iterator
from typing import Any, TypeVar

T = TypeVar("T")


@contextlib.contextmanager
def prefetched(items: Generator[T, None, None], size: int) -> Iterator[Iterator[T]]:
    """`items`, of which up to `size` are made in advance; what they raise, the reader meets in its place.

    Leaving the block ends the thread and closes the generator.
    """
    ready: queue.Queue[tuple[T | None, BaseException | None]] = queue.Queue(size)
    left = threading.Event()

    def put(entry: tuple[T | None, BaseException | None]) -> bool:
        while not left.is_set():
            with contextlib.suppress(queue.Full):
                ready.put(entry, timeout=0.1)
                return True
        return False

    def run() -> None:
        with contextlib.closing(items):
            try:
                for item in items:
                    if not put((item, None)):
                        return
            except BaseException as error:
                put((None, error))
            else:
                put((None, StopIteration()))

    def read() -> Iterator[Any]:
        while True:
            item, error = ready.get()
            if isinstance(error, StopIteration):
                return
            if error is not None:
                raise error
            yield item

    thread = threading.Thread(target=run, name="prefetch", daemon=True)
    thread.start()
    try:
        yield read()
    finally:
        left.set()
        thread.join()
