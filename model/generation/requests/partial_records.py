"""Read files of partial records: some of the columns, by name. They are read one by one, and the suffix gives the format.

| suffix           | a record is                                                     |
|------------------|-----------------------------------------------------------------|
| .csv, .tsv       | a row below the header                                          |
| .jsonl, .ndjson  | an object                                                       |
| .avro            | a record                                                        |
| .parquet, .pq    | a row                                                           |
| .metadata.json   | a row of the Iceberg table that has this metadata               |

Text formats may be compressed (.gz). A value that is null, empty or missing is not given. For a model of a data frame or of typed
files, values are what the columns hold: texts may have line ends, and columns inside of structs are named with points.
"""

from __future__ import annotations

import csv
import gzip
import zlib
from collections.abc import Callable, Collection, Iterator, Sequence
from functools import partial
from typing import IO, Any, cast

from linesmith.core.config.setting_field import shortened
from linesmith.core.errors import ParameterError
from linesmith.core.parsing import DocumentError, parse_json
from linesmith.model.generation.requests.start_string_files import Opener, bounded_lines, open_local
from linesmith.model.generation.requests.table_partial_records import ColumnCheck, cell_text, object_fields, table_rows
from linesmith.records.input.typed_files import TypedFileError
from linesmith.records.input.value_text import plain_text
from linesmith.records.sources.file_rows import row_format
from linesmith.records.table_format import TableFormat


def condition_error(option: str, found: str, remedy: str) -> ParameterError:
    """Return the error for a condition that cannot be used."""
    return ParameterError("LS132", option, found, remedy)


def iter_partial_records(
    path: str,
    option: str,
    columns: Sequence[str],
    delimiter: str | None = None,
    opener: Opener = open_local,
    table: TableFormat | None = None,
) -> Iterator[dict[str, str]]:
    """Yield the given values of each record of a file, in order, by column.

    Args:
        path: the file.
        option: the option that named it, for messages.
        columns: columns that it may have.
        delimiter: of the fields of the model's records: CSV may use it in place of the comma. None: only the comma.
        opener: opens it.
        table: the columns that the model learned, of a data frame or of files with types; None: it learned lines of text.

    Raises:
        ParameterError: LS132, it is missing, damaged, of another format than its suffix says, or has another column.
    """
    suffix = path.lower().removesuffix(".gz").rpartition(".")[2]
    reader = _READERS.get(suffix)
    typed = row_format(path) if table is not None else None
    if reader is None and typed is None:
        raise condition_error(
            option, "its name says no format with columns", "Give a .csv, .tsv, .jsonl, .avro or .parquet file."
        )

    def check(names: Collection[str]) -> None:
        unknown = next((name for name in names if name not in columns), None)
        if unknown is not None:
            # Where no name is known, they may be the fields of a record in a file without a header, which no message shows.
            none = set(names).isdisjoint(columns)
            raise condition_error(
                option,
                "none of its columns can be given" if none else f"its column '{shortened(unknown)}' cannot be given",
                f"The columns that can are {', '.join(columns)}. Leave the others out; a CSV file begins with the names.",
            )

    try:
        with opener(path) as stored:
            content = cast("IO[bytes]", gzip.GzipFile(fileobj=stored)) if path.lower().endswith(".gz") else stored
            if table is not None:
                rows = _of_table(path, content, option, check, columns, delimiter, table)
            else:
                rows = _READERS[suffix](content, option, check, columns, delimiter)
            for row in rows:
                yield {name: text for name, text in row.items() if text != ""}
    except UnicodeDecodeError:
        raise condition_error(option, "it is not UTF-8 text", "Write it again as UTF-8.") from None
    except (OSError, EOFError, zlib.error) as error:
        found = getattr(error, "strerror", None) or "it is cut off or of another kind"
        raise condition_error(option, f"it cannot be read ({found})", "Give a file you may read.") from None


def _of_table(
    path: str,
    content: IO[bytes],
    option: str,
    check: ColumnCheck,
    columns: Sequence[str],
    delimiter: str | None,
    table: TableFormat,
) -> Iterator[dict[str, str]]:
    """Yield what a file gives, as texts of the columns of a table."""
    if row_format(path) is not None:
        try:
            yield from table_rows(path, content, table, columns, check)
        except TypedFileError as error:
            raise condition_error(option, str(error), "Write it again.") from None
        return
    suffix = path.lower().removesuffix(".gz").rpartition(".")[2]
    if suffix in ("jsonl", "ndjson"):
        for row in _objects(content, option):
            fields = object_fields(table, row, columns)
            check(fields)
            yield fields
        return
    known = dict(zip(table.field_names, table.columns, strict=True))
    for cells in _READERS[suffix](content, option, check, columns, delimiter):
        yield {name: cell_text(known[name], cell) for name, cell in cells.items()}


def _csv(
    content: IO[bytes],
    option: str,
    check: ColumnCheck,
    columns: Sequence[str],
    delimiter: str | None,
    default: str = ",",
) -> Iterator[dict[str, str]]:
    lines = bounded_lines(content, "", option, condition_error)
    first = next(lines, None)
    if first is None:
        return
    separators = dict.fromkeys([default, *([delimiter] if delimiter is not None and len(delimiter) == 1 else [])])
    number = 1
    try:
        headers = {mark: _names(first, mark) for mark in separators}
        mark = next((mark for mark, names in headers.items() if set(names) <= set(columns)), default)
        header = headers[mark]
        check(header)
        if len(set(header)) != len(header):
            raise condition_error(option, "two of its columns have the same name", "Give each column once.")
        for number, row in enumerate(csv.reader(lines, delimiter=mark, strict=True), 2):
            if not row:  # a blank line
                continue
            if len(row) != len(header):
                raise condition_error(
                    option, f"row {number} has {len(row)} fields instead of {len(header)}", "Mend the file there."
                )
            yield dict(zip(header, row, strict=True))
    except csv.Error:
        raise condition_error(option, f"row {number + 1} is no CSV", "Mend the file there.") from None


def _names(line: str, mark: str) -> list[str]:
    return [name.strip() for name in next(csv.reader([line], delimiter=mark), [])]


def _jsonl(
    content: IO[bytes], option: str, check: ColumnCheck, columns: Sequence[str], delimiter: str | None
) -> Iterator[dict[str, str]]:
    for value in _objects(content, option):
        check(value)
        yield {name: plain_text(part) for name, part in value.items()}


def _objects(content: IO[bytes], option: str) -> Iterator[dict[str, Any]]:
    """Yield the objects of JSON Lines."""
    for number, line in enumerate(bounded_lines(content, "\n", option, condition_error), 1):
        if not line.strip():
            continue
        try:
            value: Any = parse_json(line)
        except DocumentError:
            value = None
        if not isinstance(value, dict):
            raise condition_error(option, f"line {number} is no JSON object", "Mend the file there.")
        yield value


def _typed(
    content: IO[bytes],
    option: str,
    check: ColumnCheck,
    columns: Sequence[str],
    delimiter: str | None,
    format_name: str,
) -> Iterator[dict[str, str]]:
    from linesmith.records.input.typed_files import TypedFile

    try:
        file = TypedFile(content, format_name)
        check(file.columns)
        for rows in file.batches(8192):
            for row in rows:
                yield {name: plain_text(value) for name, value in row.items()}
    except TypedFileError as error:
        raise condition_error(option, str(error), "Write it again.") from None


_READERS: dict[str, Callable[..., Iterator[dict[str, str]]]] = {
    "csv": _csv,
    "tsv": partial(_csv, default="\t"),
    "jsonl": _jsonl,
    "ndjson": _jsonl,
    "avro": partial(_typed, format_name="avro"),
    "parquet": partial(_typed, format_name="parquet"),
    "pq": partial(_typed, format_name="parquet"),
}
