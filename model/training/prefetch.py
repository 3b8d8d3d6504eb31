"""Prepare the next batch on the host while the device computes the current one."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

Item = TypeVar("Item")
_END: Any = object()


def prefetch(items: Iterable[Item]) -> Iterator[Item]:
    """Yield the same items in the same order, each made in a background thread while the one before it is used.

    At most one item is made ahead. An error in making an item is raised where that item is asked for.

    Example:
        >>> list(prefetch(number**2 for number in range(4)))
        [0, 1, 4, 9]
    """
    source = iter(items)
    with ThreadPoolExecutor(1, "prefetch") as thread:
        following = thread.submit(next, source, _END)
        while (item := following.result()) is not _END:
            following = thread.submit(next, source, _END)
            yield item
