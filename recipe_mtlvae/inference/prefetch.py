"""Computing the next items of an iterator in a thread."""

from __future__ import annotations

import contextlib
from collections import deque
from collections.abc import Generator, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

T = TypeVar("T")


@contextlib.contextmanager
def prefetched(items: Generator[T, None, None], size: int) -> Iterator[Iterator[T]]:
    """Give an iterator over `items`; a thread computes `size` of them in advance. Errors are raised in their place.

    Leaving the context closes the generator and ends the thread.
    """
    end = object()
    with ThreadPoolExecutor(1, "prefetch") as thread:
        ready = deque(thread.submit(next, items, end) for _ in range(size))

        def read() -> Iterator[T]:
            while (item := ready.popleft().result()) is not end:
                ready.append(thread.submit(next, items, end))
                yield item

        try:
            yield read()
        finally:
            for item in ready:
                item.cancel()
            thread.submit(items.close).result()
