"""64-bit hashes of strings, computed for a whole Arrow array at a time; samples are ordered by them.

A string's hash is the sum of one pseudo-random number for each of its (byte, position) pairs, mixed once more. Equal
strings have equal hashes on every machine, and among n distinct strings a collision has a probability of about n² / 2^65.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from linesmith.core.splitmix64 import INCREMENT, mix64

Hashes = npt.NDArray[np.uint64]
_BYTE_VALUES = np.uint64(256)


def splitmix64(values: Hashes) -> Hashes:
    """Return SplitMix64's output for each state: a bijection of 64-bit integers; the input is not changed."""
    return mix64(values + np.uint64(INCREMENT))


def text_bytes(values: pa.Array) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.int64]]:
    """Return the UTF-8 bytes of all strings, concatenated, and the offset of each string.

    Args:
        values: strings; null counts as the empty string.

    Returns:
        The bytes, and `len(values) + 1` offsets into them: string i is `bytes[offsets[i]:offsets[i + 1]]`.
    """
    strings = values.cast(pa.large_string())
    if strings.null_count:
        strings = strings.fill_null("")
    _, offsets_buffer, data = strings.buffers()
    if not len(strings) or offsets_buffer is None:
        return np.empty(0, np.uint8), np.zeros(1, np.int64)
    # The array may be a slice of larger buffers: its own offsets begin at `strings.offset`.
    offsets = np.frombuffer(offsets_buffer, np.int64)[strings.offset : strings.offset + len(strings) + 1]
    content = np.empty(0, np.uint8) if data is None else np.frombuffer(data, np.uint8)
    return content[offsets[0] : offsets[-1]], offsets - offsets[0]


def hash_strings(values: pa.Array, salt: int = 0) -> Hashes:
    """Return one hash per string.

    Args:
        values: strings; null counts as the empty string.
        salt: selects another hash function, so that equal texts in two columns get different hashes.

    Returns:
        `len(values)` hashes.

    Example:
        >>> import pyarrow as pa
        >>> a, b, c, d = hash_strings(pa.array(["ab", "ba", "ab", ""]))
        >>> bool(a == c), len({int(a), int(b), int(d)})
        (True, 3)
    """
    content, offsets = text_bytes(values)
    lengths = np.diff(offsets)
    if not len(lengths):
        return np.empty(0, np.uint64)
    position = np.arange(len(content), dtype=np.uint64) - np.repeat(offsets[:-1].astype(np.uint64), lengths)
    terms = splitmix64(content.astype(np.uint64) + _BYTE_VALUES * position)
    # Differences of running sums modulo 2^64 give the sum of each string's terms without a loop over strings.
    sums = np.concatenate([np.zeros(1, np.uint64), np.cumsum(terms, dtype=np.uint64)])
    total = sums[offsets[1:]] - sums[offsets[:-1]]
    return splitmix64(total + splitmix64(lengths.astype(np.uint64) + np.uint64(salt << 32)))


def ngram_buckets(content: npt.NDArray[np.uint8], order: int, buckets: int) -> npt.NDArray[np.int64]:
    """Return a hash bucket for each n-gram of bytes.

    Args:
        content: bytes of one text, or of several concatenated ones.
        order: length of an n-gram in bytes, at most 8.
        buckets: number of buckets, a power of two.

    Returns:
        `len(content) − order + 1` buckets, or none where the content is shorter than one n-gram.
    """
    count = max(len(content) - order + 1, 0)
    code = np.zeros(count, np.uint64)
    for step in range(order):
        code = code * _BYTE_VALUES + content[step : step + count].astype(np.uint64)
    return (splitmix64(code) & np.uint64(buckets - 1)).astype(np.int64)
