"""Readers of start strings: lines of text, or one column of CSV, JSON Lines, Avro or Parquet. They are read one by one.

| suffix                  | a start string is                                                         |
|-------------------------|---------------------------------------------------------------------------|
| .csv                    | a field of a row below the header                                         |
| .jsonl, .ndjson         | a field of an object, or a line that is a JSON text                       |
| .avro                   | a field of a record                                                       |
| .parquet, .pq           | a value of a column                                                       |
| .metadata.json          | a value of a column of the Iceberg table that has this metadata           |
| .txt and anything else  | a line; only its end is removed, since a delimiter may end with a space   |

The column is the named one, else `start_string`, else the only one; one inside of objects or structs is named with points.
Text formats may be compressed (.gz). A null is an empty start string: its record begins freely.
"""

from __future__ import annotations

import csv
import gzip
import io
import zlib
from collections.abc import Callable, Iterable, Iterator
from typing import IO, Any, cast

from linesmith.core.errors import ParameterError
from linesmith.core.parsing import DocumentError, parse_json
from linesmith.records.input.file_patterns import describe_missing, describe_unreadable, match_local_files
from linesmith.records.input.line_scanner import has_only_carriage_returns
from linesmith.records.output.layout import START_COLUMN
from linesmith.records.sources.file_rows import row_format

START_STRINGS_FILE_OPTION = "--start-strings-file (start_strings_file)"
_MAX_LINE_CHARS = 1 << 24
Opener = Callable[[str], IO[bytes]]


def open_local(path: str) -> IO[bytes]:
    """Open a file of this machine."""
    return open(path, "rb")


def find_start_string_files(
    pattern: str,
    match: Callable[[str], list[str]] = match_local_files,
    option: str = START_STRINGS_FILE_OPTION,
    error: Callable[[str, str, str], ParameterError] | None = None,
) -> list[str]:
    """Return the files that a path or a glob names, sorted by name. A path that exists is taken literally.

    Args:
        pattern: a path, a glob, or an address if `match` knows addresses.
        match: returns the files; none is no error.
        option: the option that names them, for messages.
        error: makes the error for none; None: LS108.

    Raises:
        ParameterError: LS108 or that of `error`, there are none.
    """
    found = match(pattern)
    if not found:
        fault = ("matches no file", "Give an address that exists.") if "://" in pattern else describe_missing(pattern)
        raise (error or start_string_error)(f"{option} '{pattern}'", *fault)
    for path in found:
        unreadable = None if "://" in path else describe_unreadable(path)
        if unreadable is not None:
            raise (error or start_string_error)(f"{option} '{path}'", *unreadable)
    return found


def iter_start_strings(path: str, column: str | None = None, opener: Opener = open_local) -> Iterator[str]:
    """Yield the start strings of a file, in order.

    Args:
        path: the file; its suffix gives its format.
        column: which column of a table.
        opener: opens it.

    Raises:
        ParameterError: LS108, it is missing, damaged, of another format than its suffix says, or lacks the column.
    """
    plain = path.lower().removesuffix(".gz")
    suffix = plain.rpartition(".")[2]
    where = f"{START_STRINGS_FILE_OPTION} '{path}'"
    try:
        with opener(path) as stored:
            content = cast("IO[bytes]", gzip.GzipFile(fileobj=stored)) if path.lower().endswith(".gz") else stored
            if row_format(path) is not None:
                yield from _typed(path, content, column, where)
            else:
                yield from _READERS.get(suffix, _lines)(content, column, where)
    except UnicodeDecodeError:
        raise start_string_error(
            where, "it is not UTF-8 text", "Give a text file with one start string a line."
        ) from None
    except (OSError, EOFError, zlib.error) as error:
        found = getattr(error, "strerror", None) or "it is cut off or of another kind"
        raise start_string_error(where, f"it cannot be read ({found})", "Give a file you may read.") from None


def start_string_error(option: str, found: str, remedy: str) -> ParameterError:
    """Return the error for start strings that cannot be used."""
    return ParameterError("LS108", option, found, remedy)


def _lines(content: IO[bytes], column: str | None, where: str) -> Iterator[str]:
    if column is not None:
        raise start_string_error(
            where,
            f"it has lines and no column '{column}' (--start-strings-field)",
            "Give a .csv, .jsonl, .avro or .parquet file, or leave the field out.",
        )
    newline = "\r" if has_only_carriage_returns(content, "utf-8") else "\n"
    content.seek(0)
    for line in bounded_lines(content, newline, where):
        yield line.removesuffix("\n").rstrip("\r")


def _csv(content: IO[bytes], column: str | None, where: str) -> Iterator[str]:
    rows = csv.reader(bounded_lines(content, "", where))
    number = 1
    try:
        header = next(rows, None)
        if header is None:
            return
        position = header.index(_column(column, header, where))
        for number, row in enumerate(rows, 2):
            if not row:  # a blank line
                continue
            if len(row) != len(header):
                raise start_string_error(
                    where, f"row {number} has {len(row)} fields instead of {len(header)}", "Mend the file there."
                )
            yield row[position]
    except csv.Error:
        raise start_string_error(where, f"row {number + 1} is no CSV", "Mend the file there.") from None


def _jsonl(content: IO[bytes], column: str | None, where: str) -> Iterator[str]:
    for number, line in enumerate(bounded_lines(content, "\n", where), 1):
        if not line.strip():
            continue
        try:
            value = parse_json(line)
        except DocumentError:
            raise start_string_error(where, f"line {number} is no JSON", "Mend the file there.") from None
        if isinstance(value, dict):
            value = _inside(value, column, where)
        yield _text(value, where)


def _inside(value: dict[str, Any], column: str | None, where: str) -> Any:
    """Return the value of a column of an object; where an object on the way is missing or null, None."""
    if column is None or column in value or "." not in column:
        return value[_column(column, value, where)]
    found: Any = value
    for key in column.split("."):
        if found is None:
            return None
        if not isinstance(found, dict) or (found is value and key not in found):
            return value[_column(column, value, where)]  # raises
        found = found.get(key)
    return found


def bounded_lines(
    content: IO[bytes], newline: str, where: str, error: Callable[[str, str, str], ParameterError] = start_string_error
) -> Iterator[str]:
    """Yield the lines of a text, ends included; a compressed file of a few kilobytes may hold one of gigabytes.

    Args:
        content: UTF-8, a byte-order mark allowed.
        newline: as `io.TextIOWrapper` takes it.
        where: the option that named the file, for messages.
        error: makes the error for a line that is too long.
    """
    text = io.TextIOWrapper(content, "utf-8-sig", newline=newline)
    number = 0
    while line := text.readline(_MAX_LINE_CHARS + 1):
        number += 1
        if len(line) > _MAX_LINE_CHARS:
            raise error(where, f"line {number} has more than {_MAX_LINE_CHARS:,} characters", "Mend the file there.")
        yield line


def _typed(path: str, content: IO[bytes], column: str | None, where: str) -> Iterator[str]:
    from linesmith.records.input.typed_files import TypedFileError
    from linesmith.records.sources.file_rows import FileRows, plain_value

    try:
        if column is None:
            column = _column(None, FileRows(path, content, []).others, where)
        rows = FileRows(path, content, [column])
        names = rows.table.field_names
        position = names.index(_column(column, [*names, *rows.others], where))
        described = rows.table.columns[position]
        for row in rows:
            value = plain_value(described, row[position])
            if value is None:
                found = f"a start string is of type {'list' if described.most_items is not None else described.kind}"
                raise start_string_error(where, found, "Give a column of texts.")
            yield value
    except TypedFileError as error:
        raise start_string_error(where, str(error), "Write it again.") from None


_READERS: dict[str, Callable[[IO[bytes], str | None, str], Iterator[str]]] = {
    "csv": _csv,
    "jsonl": _jsonl,
    "ndjson": _jsonl,
}


def _column(column: str | None, names: Iterable[str], where: str) -> str:
    """Return the name of the column to read."""
    available = list(names)
    if column is None:
        if START_COLUMN in available:
            return START_COLUMN
        if len(available) == 1:
            return available[0]
    elif column in available:
        return column
    # The names are not shown: where a file has no header, they are the fields of a record.
    found = f"it has {len(available)} columns, and --start-strings-field "
    found += "does not say which" if column is None else f"'{column}' is none of them"
    raise start_string_error(where, found, "Name one of its columns; a CSV file begins with the names.")


def _text(value: Any, where: str) -> str:
    """Return a value of the column as text."""
    if value is None:
        return ""
    if isinstance(value, str | int) and not isinstance(value, bool):
        return str(value)
    raise start_string_error(where, f"a start string is of type {type(value).__name__}", "Give a column of texts.")
