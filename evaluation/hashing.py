"""64-bit hashes of strings, a whole Arrow array at a time, and the order in which samples are taken.

A string's hash is the sum of one pseudo-random number for each of its (byte, position) pairs, mixed once more: equal
strings have equal hashes on every machine, and n distinct strings collide with a chance of about n² / 2^65.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pyarrow as pa

Hashes = npt.NDArray[np.uint64]
_BYTE = np.uint64(256)


def mix64(values: Hashes) -> Hashes:
    """The finaliser of SplitMix64: a bijection of 64-bit numbers that leaves no pattern. Works on a copy."""
    mixed = values + np.uint64(0x9E3779B97F4A7C15)
    mixed ^= mixed >> np.uint64(30)
    mixed *= np.uint64(0xBF58476D1CE4E5B9)
    mixed ^= mixed >> np.uint64(27)
    mixed *= np.uint64(0x94D049BB133111EB)
    mixed ^= mixed >> np.uint64(31)
    return mixed


def text_bytes(values: pa.Array) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.int64]]:
    """UTF-8 bytes of all strings, one after the other, and where each begins (one more entry than strings).

    Null counts as the empty string.
    """
    strings = values.cast(pa.large_string())
    if strings.null_count:
        strings = strings.fill_null("")
    _, offsets_buffer, data = strings.buffers()
    if not len(strings) or offsets_buffer is None:
        return np.empty(0, np.uint8), np.zeros(1, np.int64)
    offsets = np.frombuffer(offsets_buffer, np.int64)[strings.offset : strings.offset + len(strings) + 1]
    content = np.empty(0, np.uint8) if data is None else np.frombuffer(data, np.uint8)
    return content[offsets[0] : offsets[-1]], offsets - offsets[0]


def hash_strings(values: pa.Array, salt: int = 0) -> Hashes:
    """A hash for each string.

    Args:
        salt: other hashes for another salt, so that the same text in two columns differs.

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
    terms = mix64(content.astype(np.uint64) + _BYTE * position)
    sums = np.concatenate([np.zeros(1, np.uint64), np.cumsum(terms, dtype=np.uint64)])
    total = sums[offsets[1:]] - sums[offsets[:-1]]
    return mix64(total + mix64(lengths.astype(np.uint64) + np.uint64(salt << 32)))


def ngram_buckets(content: npt.NDArray[np.uint8], order: int, buckets: int) -> npt.NDArray[np.int64]:
    """A bucket for each run of `order` bytes: `len(content) − order + 1` of them.

    Args:
        buckets: a power of two.
    """
    count = max(len(content) - order + 1, 0)
    code = np.zeros(count, np.uint64)
    for step in range(order):
        code = code * _BYTE + content[step : step + count].astype(np.uint64)
    return (mix64(code) & np.uint64(buckets - 1)).astype(np.int64)
