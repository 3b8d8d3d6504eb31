"""Open a Parquet file, which may be hostile, after checking the sizes that it declares."""

from __future__ import annotations

import io
from typing import IO, Any

_MAX_TEXT_BYTES = 16 << 20  # of a text in the metadata
_MAX_LIST_ITEMS = 1_000_000  # of a list in the metadata
# What a file may declare beyond its size: runs of equal values and compression make more of a few bytes, but not this much.
_FREE_BYTES, _BYTES_PER_BYTE = 256 << 20, 1000
_FREE_VALUES, _VALUES_PER_BYTE = 1_000_000, 200


def open_parquet(stream: IO[bytes]) -> Any:
    """Return the `pyarrow.parquet.ParquetFile` of a seekable stream.

    Raises:
        ValueError, pyarrow.ArrowException, OSError: it is damaged, or declares more than its bytes account for.
    """
    from pyarrow import parquet

    file_bytes = stream.seek(0, io.SEEK_END)
    stream.seek(0)
    file = parquet.ParquetFile(
        stream, thrift_string_size_limit=_MAX_TEXT_BYTES, thrift_container_size_limit=_MAX_LIST_ITEMS
    )
    metadata = file.metadata
    groups = [metadata.row_group(number) for number in range(metadata.num_row_groups)]
    chunks = [group.column(column) for group in groups for column in range(group.num_columns)]
    declared_bytes = sum(max(chunk.total_uncompressed_size, 0) for chunk in chunks)
    declared_values = sum(max(chunk.num_values, 0) for chunk in chunks)
    rows = max([metadata.num_rows, *(group.num_rows for group in groups)], default=0)
    if declared_bytes > max(_FREE_BYTES, _BYTES_PER_BYTE * file_bytes):
        raise ValueError("it declares more bytes than it can hold")
    if max(declared_values, rows) > max(_FREE_VALUES, _VALUES_PER_BYTE * file_bytes):
        raise ValueError("it declares more values than it can hold")
    return file
