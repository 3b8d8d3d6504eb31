"""What `fit` is given, as files and settings of a run: paths as they are, rows of a table and lines as a temporary file."""

from __future__ import annotations

import logging
import os
import tempfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

from linesmith.api.cut_columns import cut_roles, roles_of
from linesmith.core.errors import DataError, ParameterError, TooFewRecordsError
from linesmith.records.table_format import TABLE_SETTINGS, TableFormat

_log = logging.getLogger("linesmith")
_DEFAULT_LINE_LENGTH = 2048


@runtime_checkable
class ArrowTable(Protocol):
    """Anything with an Arrow C stream: data frames of pandas and polars, tables of pyarrow, relations of DuckDB and others."""

    def __arrow_c_stream__(self, requested_schema: object | None = None) -> object:
        """Return the stream, as the Arrow PyCapsule interface defines it."""
        ...


Data = str | os.PathLike[str] | ArrowTable | Iterable[str]


@dataclass
class FitInput:
    """Input of a training.

    Attributes:
        settings: settings that name it and say how it is written.
        table: the columns, where it is a table.
    """

    settings: dict[str, Any] = field(default_factory=dict)
    table: TableFormat | None = None


@contextmanager
def fit_input(data: Any, settings: dict[str, Any]) -> Iterator[FitInput]:
    """Yield the input of a training; files that were written for it are deleted when the block ends.

    Args:
        data: as `fit` takes it.
        settings: the settings that the caller gave.

    Raises:
        DataError: LS232, LS207: the data cannot be learned.
        ParameterError: LS101, a setting contradicts a table.
    """
    from linesmith.api.frames import frame_of

    if isinstance(data, str | os.PathLike):
        yield FitInput({"input_data_path": os.fspath(data)})
        return
    with tempfile.TemporaryDirectory(prefix="linesmith-input-") as scratch:
        if frame_of(data) is not None:
            yield _table_input(data, settings, Path(scratch) / "rows.csv")
            return
        if not isinstance(data, Iterable) or isinstance(data, bytes | dict):
            raise _no_data(data)
        items = list(data)
        if items and all(isinstance(item, os.PathLike) for item in items):
            yield FitInput({"input_data_path": [os.fspath(item) for item in items]})
            return
        path = Path(scratch) / "lines.txt"
        write_lines(path, items, str(settings.get("encoding", "utf-8")))
        yield FitInput({"input_data_path": str(path)})


def _no_data(data: object) -> DataError:
    return DataError(
        "LS232",
        "data",
        f"a {type(data).__name__}",
        "Give a path or a glob, a pandas or polars DataFrame, a pyarrow Table, or lines of text.",
    )


def _table_input(data: Any, settings: dict[str, Any], path: Path) -> FitInput:
    from linesmith.api.frames import read_table, row_texts

    for name in (*TABLE_SETTINGS, "columns", "schema_file", "input_data_path", "column_pattern"):
        if settings.get(name) is not None:
            raise ParameterError(
                "LS101", f"{name} {settings[name]!r}", "decided by the data frame itself", "Leave it out."
            )
    private = bool(settings.get("dp"))
    roles = roles_of(settings.get("column_role"))
    table, columns = read_table(data, private, cut_roles(roles))
    derived = {**TABLE_SETTINGS, "input_data_path": str(path)}
    longest = _write(path, table.field_names, row_texts(table, columns))
    if private:
        derived["columns"] = [_listed_name(table, column.name, "dp=True") for column in table.columns]
        _log.warning(
            "dp: the names and types of the columns, and the values of categories, are taken as public, as a schema's would be"
        )
    elif "max_line_len" not in settings:
        derived["max_line_len"] = max(_DEFAULT_LINE_LENGTH, longest)
    if (conditions := settings.get("condition_on")) is not None:
        names = [conditions] if isinstance(conditions, str) else list(conditions)
        derived["condition_on"] = [_condition_name(table, name) for name in names]
    if roles:
        derived["column_role"] = {table.field_name(name): text for name, text in roles.items()}
    return FitInput(derived, table.without([name for name, text in roles.items() if text == "drop"]))


def _condition_name(table: TableFormat, name: str) -> str:
    if table.column(name) is None:
        raise ParameterError(
            "LS131", f"condition_on {name!r}", "the data frame has no such column", "Give names of its columns."
        )
    return _listed_name(table, name, "condition_on")


def _listed_name(table: TableFormat, name: str, purpose: str) -> str:
    """Return a name for a setting that is a list of names, in which a comma would separate two."""
    from linesmith.records.sources.arrow_types import column_error

    field_name = table.field_name(name)
    if "," in name or field_name != name or name.strip() != name or not name:
        raise column_error(
            name, f"a name that {purpose} cannot use", "Rename it without commas, line ends and outer spaces."
        )
    return name


def _write(path: Path, fields: Sequence[str], rows: Iterable[str]) -> int:
    """Write a header and the rows; return the length of the longest row, in characters."""
    from linesmith.records.table_format import row_text

    longest = 0
    with open(path, "w", encoding="utf-8", newline="") as out:
        out.write(row_text(fields) + "\n")
        for row in rows:
            longest = max(longest, len(row))
            out.write(row + "\n")
    return longest


def write_rows(path: Path, table: TableFormat, data: Any, fields: Sequence[str] | None = None) -> None:
    """Write a table with the columns of another as `fit` wrote that: a header, then the rows.

    Args:
        path: of the file.
        table: the format of the other.
        data: the table.
        fields: as for `row_texts`.

    Raises:
        DataError: LS232, it has other columns, or values that those cannot hold.
    """
    from linesmith.api.frames import columns_like, row_texts

    rows = row_texts(table, columns_like(table, data), fields)
    _write(path, fields or table.field_names, rows)


def write_lines(path: Path, lines: Iterable[Any], encoding: str = "utf-8") -> None:
    """Write lines of text to a file.

    Raises:
        DataError: LS232, one is no line of text. LS207, there is none.
    """
    count = 0
    with open(path, "w", encoding=encoding, newline="") as out:
        for line in checked_lines(lines):
            out.write(line + "\n")
            count += 1
    if not count:
        raise TooFewRecordsError("LS207", "data", "no line at all", "Give lines to learn from.")


def checked_lines(lines: Iterable[Any]) -> Iterator[str]:
    """Yield lines, each of which is text without a line end.

    Raises:
        DataError: LS232, one is not.
    """
    problems: list[tuple[str, Callable[[Any], bool]]] = [
        ("is not text", lambda line: not isinstance(line, str)),
        ("holds a line end", lambda line: "\n" in line or "\r" in line),
        (
            "holds half of a surrogate pair",
            lambda line: not line.isascii() and any("\ud800" <= c <= "\udfff" for c in line),
        ),
    ]
    for number, line in enumerate(lines, 1):
        for found, has_problem in problems:
            if has_problem(line):
                raise DataError(
                    "LS232",
                    "data",
                    f"record {number:,} {found}",
                    "Give strings, one per record; a data frame may hold more.",
                )
        yield line
