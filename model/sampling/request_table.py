"""The requests that rows of a block take while a graph call runs: one row a request, idle ones behind the real ones."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

REQUESTS_PER_ROW = 4  # requests of a table for each row of its block
# Columns: key of its stream, its number, the address of its prefix, how long it is, limit in tokens.
KEY, NUMBER, OFFSET, LENGTH, LIMIT = range(5)
COLUMNS = 5
END_FLAG = 1 << 30  # set in a token that ends its record, in what a graph call leaves
Table = npt.NDArray[np.int64]


def idle_requests(count: int) -> Table:
    """Requests that are none, [count, COLUMNS]: a record that never ends, and whose row is not at work.

    Example:
        >>> idle_requests(3).shape
        (3, 5)
    """
    return np.tile(np.array([0, -1, 0, 0, np.iinfo(np.int64).max], np.int64), (count, 1))


def table_of(requests: Table, rows: int) -> Table:
    """The table for a block of so many rows, [REQUESTS_PER_ROW · rows + 1, COLUMNS]: there is always an idle request at its end.

    Args:
        requests: [n, COLUMNS], n at most REQUESTS_PER_ROW · rows.
        rows: of the block.

    Example:
        >>> table_of(idle_requests(0), 16).shape
        (65, 5)
    """
    return np.concatenate([requests, idle_requests(REQUESTS_PER_ROW * rows + 1 - len(requests))])
