"""Start strings in files: lines of text, or one column of CSV, JSON Lines, Avro or Parquet. Read one by one, never as a list.

| suffix                  | a start string is                                                         |
|-------------------------|---------------------------------------------------------------------------|
| .csv                    | a field of a row below the header                                         |
| .jsonl, .ndjson         | a field of an object, or a line that is a JSON text                       |
| .avro                   | a field of a record                                                       |
| .parquet                | a value of a column                                                       |
| .txt and anything else  | a line; only its end is removed, since a delimiter may end with a space   |

The column is the one that is named, else `start_string`, else the only one. Text formats may be packed (.gz). A null is an
empty start string: its record begins freely.
"""

from __future__ import annotations

import csv
import glob
import gzip
import io
import json
import os
from collections.abc import Callable, Iterable, Iterator
from typing import IO, Any, cast

from linesmith.core.errors import ParameterError
from linesmith.records.output.layout import START_COLUMN

OPTION = "--start-strings-file (start_strings_file)"
Opener = Callable[[str], IO[bytes]]


def open_local(path: str) -> IO[bytes]:
    """The bytes of a file of this machine."""
    return open(path, "rb")


def find_start_string_files(given: str) -> list[str]:
    """The local files that a path or a glob names, in order of name. A path that exists is taken literally.

    Raises:
        ParameterError: LS108, there are none.
    """
    found = (
        [given] if os.path.exists(given) else sorted(p for p in glob.glob(given, recursive=True) if os.path.isfile(p))
    )
    if not found:
        wild = any(character in given for character in "*?[")
        raise start_string_error(
            f"{OPTION} '{given}'",
            "it matches no file" if wild else "it cannot be read (No such file or directory)",
            "Give a file you may read, or a glob in quotes.",
        )
    return found


def iter_start_strings(path: str, column: str | None = None, opener: Opener = open_local) -> Iterator[str]:
    """The start strings of a file, in order.

    Args:
        path: of the file; its suffix says what it is.
        column: which column of a table.
        opener: gives its bytes.

    Raises:
        ParameterError: LS108, it is missing, damaged, of another kind than its suffix says, or lacks the column.
    """
    plain = path.lower().removesuffix(".gz")
    suffix = plain.rpartition(".")[2]
    where = f"{OPTION} '{path}'"
    try:
        with opener(path) as stored:
            content = cast("IO[bytes]", gzip.GzipFile(fileobj=stored)) if path.lower().endswith(".gz") else stored
            yield from _READERS.get(suffix, _lines)(content, column, where)
    except UnicodeDecodeError:
        raise start_string_error(
            where, "it is not UTF-8 text", "Give a text file with one start string a line."
        ) from None
    except (OSError, EOFError) as error:
        found = getattr(error, "strerror", None) or "it is cut off or of another kind"
        raise start_string_error(where, f"it cannot be read ({found})", "Give a file you may read.") from None


def start_string_error(option: str, found: str, remedy: str) -> ParameterError:
    """The error of everything that has to do with start strings."""
    return ParameterError(f"LS108: {option}: {found}. {remedy}", code="LS108")


def _lines(content: IO[bytes], column: str | None, where: str) -> Iterator[str]:
    if column is not None:
        raise start_string_error(
            where,
            f"it has lines and no column '{column}' (--start-strings-field)",
            "Give a .csv, .jsonl, .avro or .parquet file, or leave the field out.",
        )
    for line in io.TextIOWrapper(content, "utf-8-sig", newline="\n"):
        yield line.removesuffix("\n").removesuffix("\r")


def _csv(content: IO[bytes], column: str | None, where: str) -> Iterator[str]:
    rows = csv.reader(io.TextIOWrapper(content, "utf-8-sig", newline=""))
    number = 1
    try:
        header = next(rows, None)
        if header is None:
            return
        place = header.index(_chosen(column, header, where))
        for number, row in enumerate(rows, 2):
            if not row:  # a blank line
                continue
            if len(row) != len(header):
                raise start_string_error(
                    where, f"row {number} has {len(row)} fields instead of {len(header)}", "Mend the file there."
                )
            yield row[place]
    except csv.Error:
        raise start_string_error(where, f"row {number + 1} is no CSV", "Mend the file there.") from None


def _jsonl(content: IO[bytes], column: str | None, where: str) -> Iterator[str]:
    for number, line in enumerate(io.TextIOWrapper(content, "utf-8-sig", newline="\n"), 1):
        if not line.strip():
            continue
        try:
            value = json.loads(line)
        except ValueError:
            raise start_string_error(where, f"line {number} is no JSON", "Mend the file there.") from None
        if isinstance(value, dict):
            value = value[_chosen(column, value, where)]
        yield _text(value, where)


def _avro(content: IO[bytes], column: str | None, where: str) -> Iterator[str]:
    import fastavro

    try:
        reader = fastavro.reader(content)
        schema: Any = reader.writer_schema
        named = _chosen(column, [field["name"] for field in schema["fields"]], where)
        for row in reader:
            yield _text(cast("dict[str, Any]", row)[named], where)
    except (ValueError, KeyError, TypeError, IndexError) as error:
        if isinstance(error, ParameterError):
            raise
        raise start_string_error(where, "it is no Avro file, or a damaged one", "Write it again.") from None


def _parquet(content: IO[bytes], column: str | None, where: str) -> Iterator[str]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        file = pq.ParquetFile(content)
        named = _chosen(column, file.schema_arrow.names, where)
        for batch in file.iter_batches(batch_size=8192, columns=[named]):
            for value in batch.column(0).to_pylist():
                yield _text(value, where)
    except pa.ArrowException:
        raise start_string_error(where, "it is no Parquet file, or a damaged one", "Write it again.") from None


_READERS = {"csv": _csv, "jsonl": _jsonl, "ndjson": _jsonl, "avro": _avro, "parquet": _parquet}


def _chosen(column: str | None, names: Iterable[str], where: str) -> str:
    there = list(names)
    if column is None:
        if START_COLUMN in there:
            return START_COLUMN
        if len(there) == 1:
            return there[0]
    elif column in there:
        return column
    asked = "says nothing of which" if column is None else f"is '{column}'"
    raise start_string_error(
        where,
        f"--start-strings-field {asked}, and its columns are {', '.join(map(str, there))}",
        "Name one of them.",
    )


def _text(value: Any, where: str) -> str:
    if value is None:
        return ""
    if isinstance(value, str | int) and not isinstance(value, bool):
        return str(value)
    raise start_string_error(where, f"a start string is of type {type(value).__name__}", "Give a column of texts.")
