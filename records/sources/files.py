"""Inspect files of Avro and Parquet before they are read."""

from __future__ import annotations

from typing import IO

from linesmith.core.config.input_format import MAGIC_BYTES, PARQUET, InputFormat
from linesmith.core.errors import DataError
from linesmith.records.input.input_files import InputFile
from linesmith.records.input.typed_files import TypedFileError
from linesmith.records.sources.parquet_rows import parquet_parts


def inspect_source_file(path: str, name: str, size: int, stream: IO[bytes], format_name: InputFormat) -> InputFile:
    """Return a file of rows, after a look at its first bytes and, of Parquet, at the list of its row groups.

    Args:
        path: path or address of the file.
        name: its name in messages.
        size: its bytes.
        stream: the bytes, seekable.
        format_name: AVRO or PARQUET.

    Raises:
        DataError: LS205, it is empty; LS206, it is damaged or of another format.
    """
    option = f"--input '{name}'"
    if not size:
        raise DataError("LS205", option, "the file is empty", f"Give files of {format_name}.")
    if stream.read(4) != MAGIC_BYTES[format_name]:
        found = f"does not begin as a file of {format_name} does"
        raise DataError("LS206", option, found, "Give files of one format, or another --input-format.")
    cuts = None
    if format_name == PARQUET:
        stream.seek(0)
        try:
            cuts = tuple(range(parquet_parts(stream)))
        except TypedFileError as error:
            raise DataError("LS206", option, str(error), "Copy or write the file again.") from None
    return InputFile(path, name, size, None, "utf-8", 0, format_name=format_name, cuts=cuts)
