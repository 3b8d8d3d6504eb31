"""Table of the requests that rows of a block take while a call of the network runs: one line per request."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

REQUESTS_PER_ROW = 4  # lines of the table for each row of its block
# Columns: key of the random stream, number of the request, address and length of its prefix, most tokens of the record.
STREAM_KEY, REQUEST_NUMBER, PREFIX_OFFSET, PREFIX_LENGTH, TOKEN_LIMIT = range(5)
REQUEST_COLUMNS = 5
END_FLAG = 1 << 30  # set in a token that ends its record, in the output of a call
RequestTable = npt.NDArray[np.int64]


def idle_requests(count: int) -> RequestTable:
    """Return placeholder requests, [count, REQUEST_COLUMNS]: number −1 and a record that never ends mark an idle row.

    Example:
        >>> idle_requests(3).shape
        (3, 5)
    """
    return np.tile(np.array([0, -1, 0, 0, np.iinfo(np.int64).max], np.int64), (count, 1))
