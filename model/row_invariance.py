"""Proofs on this machine that a row's numbers have the same bits wherever the row stands and however many stand beside it.

A product of a matrix of rows with a kernel should give each row the same numbers in any company. TensorFlow's float products do
so only for some numbers of rows: they work on tiles of rows, and in a smaller last tile, or where threads share out the terms
of a sum, terms are added in another order. Which numbers of rows are safe depends on processor, precision, kernel and threads.

So a computation is run once on invented rows, for every number of rows that it will be used with. Each row holds one of a few
invented records, in an order without a pattern; all outputs of all rows with the same record are compared bit for bit.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Sequence

import numpy as np
import numpy.typing as npt

INVENTED_RECORDS = 3
_ROWS_AT_ONCE = 64  # rows compared at a time: what a comparison takes of memory stays small


def invented_record_of_rows(rows: int) -> npt.NDArray[np.int64]:
    """Return which invented record each row holds, [rows]; the first rows hold one each."""
    chosen = np.random.default_rng(rows).integers(0, INVENTED_RECORDS, rows)
    first = min(rows, INVENTED_RECORDS)
    chosen[:first] = np.arange(first)
    return chosen


def row_signature(outputs: Iterable[npt.NDArray], records: npt.NDArray[np.int64]) -> bytes | None:
    """Compare the rows of a computation's outputs.

    Args:
        outputs: arrays whose first axis is the row.
        records: which record each row holds, from `invented_record_of_rows`.

    Returns:
        A digest of the bits of each record, the same for any number of rows if the computation is row-invariant; None where
        two rows with the same record differ in a bit.

    Example:
        >>> records = np.array([0, 1, 2, 1])
        >>> row_signature([np.array([5.0, 6.0, 7.0, 6.0])], records) == row_signature([np.array([5.0, 6.0, 7.0])], records[:3])
        True
        >>> row_signature([np.array([5.0, 6.0, 7.0, np.nextafter(6.0, 7.0)])], records) is None
        True
    """
    digest = hashlib.blake2b(digest_size=16)
    for output in outputs:
        first = output[:INVENTED_RECORDS]
        for start in range(0, len(output), _ROWS_AT_ONCE):
            part = slice(start, start + _ROWS_AT_ONCE)
            if not np.array_equal(_bits(output[part]), _bits(first[records[part]])):
                return None
        digest.update(_bits(first).tobytes())
    return digest.digest()


def agreeing_counts(counts: Sequence[int], signature_of: Callable[[int], bytes | None]) -> dict[bytes, tuple[int, ...]]:
    """Sort numbers of rows into groups within which a row has the same bits.

    Args:
        counts: numbers of rows.
        signature_of: runs the computation with a number of rows and returns its `row_signature`.

    Returns:
        The numbers of rows by signature, each group ascending; without those at which rows differ among themselves.
    """
    groups: dict[bytes, tuple[int, ...]] = {}
    for count in sorted(counts):
        signature = signature_of(count)
        if signature is not None:
            groups[signature] = (*groups.get(signature, ()), count)
    return groups


def _bits(array: npt.NDArray) -> npt.NDArray[np.uint8]:
    return np.ascontiguousarray(array).view(np.uint8)
