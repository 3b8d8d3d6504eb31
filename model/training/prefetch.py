"""One item ahead: the host prepares a batch while the device computes the one before it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

Item = TypeVar("Item")
_END: Any = object()


def prefetched(items: Iterable[Item]) -> Iterator[Item]:
    """The same items in the same order, each made in a thread of its own while the one before it is used.

    At most one item waits. An error in making one is raised where that item is asked for.

    Example:
        >>> list(prefetched(number**2 for number in range(4)))
        [0, 1, 4, 9]
    """
    source = iter(items)
    with ThreadPoolExecutor(1, "prefetch") as thread:
        following = thread.submit(next, source, _END)
        while (item := following.result()) is not _END:
            following = thread.submit(next, source, _END)
            yield item
