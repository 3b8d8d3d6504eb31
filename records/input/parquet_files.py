"""Read Parquet files, which may be hostile, after checking the sizes that they declare.

A few bytes can stand for a long value that is repeated: texts stay in their dictionaries until few enough records are written out
that they fit in memory.
"""

from __future__ import annotations

import io
from collections.abc import Iterator, Sequence
from typing import IO, Any

from linesmith.records.input.parquet_thrift import DELTA_BYTE_ARRAY, DICTIONARY_PAGE, check_schema, page_headers

_MAX_TEXT_BYTES = 16 << 20  # of a text in the metadata
_MAX_LIST_ITEMS = 1_000_000  # of a list in the metadata
# What a file may declare beyond its size: runs of equal values and compression make more of a few bytes, but not this much.
_FREE_BYTES, _BYTES_PER_BYTE = 256 << 20, 1000
_FREE_VALUES, _VALUES_PER_BYTE = 1_000_000, 200
_FREE_WRITTEN_BYTES, _WRITTEN_BYTES_PER_BYTE = 1 << 30, 2000  # with repeated values written out
_MAX_PAGE_BYTES, _MAX_DICTIONARY_BYTES = 64 << 20, 16 << 20  # writers make them of a megabyte
_MAX_FIXED_BYTES = 64 << 10  # of a value of fixed length
_BATCH_BYTES, _MAX_RECORD_BYTES = 64 << 20, 256 << 20  # as Python values
_VALUE_BYTES = 64  # of a Python value, beside its text


class ParquetRecords:
    """An open Parquet file.

    Args:
        stream: the bytes of the file, seekable.

    Attributes:
        columns: names of the columns.
        schema: of Arrow; columns of text are dictionaries.
        stored_schema: of Arrow, as the file has it, without metadata.
        num_parts: row groups.

    Raises:
        ValueError, EOFError, pyarrow.ArrowException, OSError: it is damaged, or declares more than its bytes account for.
    """

    def __init__(self, stream: IO[bytes]) -> None:
        from pyarrow import parquet

        self._stream = stream
        self._bytes = stream.seek(0, io.SEEK_END)
        check_schema(stream, self._bytes)
        limits = {"thrift_string_size_limit": _MAX_TEXT_BYTES, "thrift_container_size_limit": _MAX_LIST_ITEMS}
        plain = parquet.ParquetFile(stream, **limits)
        metadata, self.stored_schema = plain.metadata, plain.schema_arrow.remove_metadata()
        self._check_declared(metadata)
        leaves = [metadata.schema.column(number) for number in range(metadata.num_columns)]
        # Not those of delta encoding, for which pyarrow has no dictionaries.
        delta = {
            chunk.path_in_schema for chunk in self._chunks(metadata) if any("DELTA" in name for name in chunk.encodings)
        }
        texts = [leaf.path for leaf in leaves if leaf.physical_type == "BYTE_ARRAY" and leaf.path not in delta]
        if any(leaf.physical_type == "FIXED_LEN_BYTE_ARRAY" and leaf.length > _MAX_FIXED_BYTES for leaf in leaves):
            raise ValueError("a column of too long values")
        self._file = parquet.ParquetFile(stream, metadata=metadata, read_dictionary=texts, **limits)
        self._texts = set(texts)
        self.schema = self._file.schema_arrow
        self.columns = list(self.schema.names)
        self.num_parts = int(metadata.num_row_groups)

    def batches(self, size: int, columns: Sequence[str] | None, part: int | None) -> Iterator[list[dict[str, Any]]]:
        """Yield records in order; see `TypedFile.batches`."""
        for batch in self.arrow_batches(size, columns, part):
            yield _rows(batch)

    def first_row(self, part: int) -> int:
        """Return the number of the first record of a row group in the file, from 0."""
        return sum(int(self._file.metadata.row_group(number).num_rows) for number in range(part))

    def arrow_batches(self, size: int, columns: Sequence[str] | None, part: int | None) -> Iterator[Any]:
        """Yield record batches in order, each of which fits in memory as Python values.

        Args:
            size: most records per batch.
            columns: names of the columns to read; None: all.
            part: the row group to read; None: all.
        """
        groups = list(range(self.num_parts)) if part is None else [part]
        written = 0
        for group in groups:
            rows = min(size, self._rows_at_once(group))
            for batch in self._file.iter_batches(rows, row_groups=[group], columns=columns):
                for some, some_bytes in _pieces(batch):
                    written += some_bytes
                    if written > max(_FREE_WRITTEN_BYTES, _WRITTEN_BYTES_PER_BYTE * self._bytes):
                        raise ValueError("its values are longer than its bytes account for")
                    yield some

    @staticmethod
    def _chunks(metadata: Any) -> list[Any]:
        """Return the chunks of all columns of all row groups."""
        groups = [metadata.row_group(number) for number in range(metadata.num_row_groups)]
        return [group.column(column) for group in groups for column in range(group.num_columns)]

    def _check_declared(self, metadata: Any) -> None:
        chunks = self._chunks(metadata)
        declared_bytes = sum(max(chunk.total_uncompressed_size, 0) for chunk in chunks)
        declared_values = sum(max(chunk.num_values, 0) for chunk in chunks)
        rows = max(
            metadata.num_rows, *(metadata.row_group(number).num_rows for number in range(metadata.num_row_groups)), 0
        )
        if declared_bytes > max(_FREE_BYTES, _BYTES_PER_BYTE * self._bytes):
            raise ValueError("it declares more bytes than it can hold")
        if max(declared_values, rows) > max(_FREE_VALUES, _VALUES_PER_BYTE * self._bytes):
            raise ValueError("it declares more values than it can hold")

    def _rows_at_once(self, group: int) -> int:
        """Return how many records of a row group may be read at once, after a look at the header of each page.

        What the metadata declares need not be true of the pages.
        """
        described = self._file.metadata.row_group(group)
        total, longest_value = 0, 1
        for number in range(described.num_columns):
            chunk = described.column(number)
            starts = [chunk.data_page_offset, chunk.dictionary_page_offset if chunk.has_dictionary_page else None]
            start = min(offset for offset in starts if offset is not None and offset > 0)
            for page_type, encoding, size in page_headers(self._stream, start, chunk.total_compressed_size):
                total += size
                if size > (_MAX_DICTIONARY_BYTES if page_type == DICTIONARY_PAGE else _MAX_PAGE_BYTES):
                    raise ValueError("a page is too long")
                is_written_out = page_type == DICTIONARY_PAGE and chunk.path_in_schema not in self._texts
                if encoding == DELTA_BYTE_ARRAY or (is_written_out and chunk.physical_type == "BYTE_ARRAY"):
                    # A value may be as long as its page, and so may the next one.
                    longest_value = max(longest_value, size)
        if total > max(_FREE_BYTES, _BYTES_PER_BYTE * self._bytes):
            raise ValueError("its pages have more bytes than it can hold")
        rows = max(1, described.num_rows)
        return int(max(1, min(_MAX_RECORD_BYTES // longest_value, _MAX_RECORD_BYTES * rows // max(1, total))))


def _pieces(batch: Any) -> Iterator[tuple[Any, int]]:
    """Yield a batch in pieces that fit in memory as Python values, each with its number of bytes."""
    size = sum(_written_bytes(column) for column in batch.columns)
    if size <= _BATCH_BYTES or (batch.num_rows == 1 and size <= _MAX_RECORD_BYTES):
        yield batch, size
    elif batch.num_rows <= 1:
        raise ValueError("a record is too long")
    else:
        half = batch.num_rows // 2
        yield from _pieces(batch.slice(0, half))
        yield from _pieces(batch.slice(half))


def _written_bytes(array: Any) -> int:
    """Return about how many bytes an array has as Python values."""
    import pyarrow as pa
    from pyarrow import compute

    kind, own = array.type, _VALUE_BYTES * len(array)
    if pa.types.is_dictionary(kind):
        if not len(array.dictionary):
            return own
        lengths = compute.binary_length(array.dictionary) if _is_text(array.dictionary.type) else None
        texts = 0 if lengths is None else compute.sum(compute.cast(lengths, "int64").take(array.indices)).as_py()
        return int(own + (texts or 0))
    if pa.types.is_map(kind):
        offsets = array.offsets
        first, count = offsets[0].as_py(), offsets[-1].as_py() - offsets[0].as_py()
        return int(own + sum(_written_bytes(part.slice(first, count)) for part in (array.keys, array.items)))
    if pa.types.is_nested(kind):
        parts = array.flatten()
        return int(own + sum(map(_written_bytes, parts if isinstance(parts, list) else [parts])))
    return int(own + array.nbytes)


def _is_text(kind: Any) -> bool:
    import pyarrow as pa

    return any(
        check(kind)
        for check in (pa.types.is_string, pa.types.is_binary, pa.types.is_large_string, pa.types.is_large_binary)
    )


def _rows(batch: Any) -> list[dict[str, Any]]:
    """Return records; texts are written out first, since single values of a dictionary are slow to take."""
    import pyarrow as pa

    columns = [
        column.dictionary_decode() if pa.types.is_dictionary(column.type) else column for column in batch.columns
    ]
    rows: list[dict[str, Any]] = pa.RecordBatch.from_arrays(columns, names=batch.schema.names).to_pylist()
    return rows
