"""Tables of other libraries as Arrow columns, and rows of records as such tables: pandas, polars, and Arrow itself."""

from __future__ import annotations

import datetime as dt
import logging
import sys
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

from linesmith.api.columns import describe_column
from linesmith.api.cut_columns import describe_cut_column
from linesmith.core.config.column_roles import ColumnRole
from linesmith.core.errors import DataError, ParameterError, TooFewRecordsError
from linesmith.records.output.table_rows import arrow_rows
from linesmith.records.sources.arrow_texts import decode_texts, encode_values
from linesmith.records.sources.arrow_types import arrow_type, column_error
from linesmith.records.table_columns import TableColumn
from linesmith.records.table_format import Frame, TableFormat, row_text

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa

_log = logging.getLogger("linesmith")
_BATCH_ROWS = 1 << 16
Columns = dict[str, "pa.ChunkedArray"]


def frame_of(data: object) -> Frame | None:
    """Return what kind of table an object is; None for any other object."""
    for name in ("pandas", "polars"):
        library = sys.modules.get(name)
        if library is not None and isinstance(data, getattr(library, "DataFrame", ())):
            return name
    return "arrow" if hasattr(data, "__arrow_c_stream__") else None


def read_table(
    data: Any, private: bool = False, roles: Mapping[str, ColumnRole] | None = None
) -> tuple[TableFormat, Columns]:
    """Return the format of a table, and its columns.

    Args:
        data: a pandas or polars data frame, or anything with an Arrow C stream, such as a table of pyarrow.
        private: as for `describe_column`.
        roles: roles of columns that are not learned; the returned columns hold nothing of them but keys.

    Raises:
        DataError: LS232, a column cannot be learned; the message names it. LS207, there are no rows.
    """
    frame = frame_of(data)
    if frame is None:
        raise DataError("LS232", "data", f"a {type(data).__name__}", "Give a table.")
    columns, dtypes = _COLUMNS[frame](data)
    if not columns:
        raise DataError("LS232", "data", "a table without columns", "Give one with columns.")
    if not len(next(iter(columns.values()))):
        raise TooFewRecordsError("LS207", "data", "a table without rows", "Give rows to learn from.")
    described, roles = [], roles or {}
    for name, array in list(columns.items()):
        dtype = dtypes.get(name, "")
        if name in roles:
            column, columns[name] = describe_cut_column(name, array, dtype, roles[name], private)
        else:
            column = replace(describe_column(name, array, private), dtype=dtype)
        described.append(column)
    return TableFormat(frame, tuple(described)), columns


def row_texts(table: TableFormat, columns: Columns, fields: Sequence[str] | None = None) -> Iterator[str]:
    """Yield the record of each row.

    Args:
        table: how the values are written.
        columns: those of the table.
        fields: names of all fields of a record as a header line holds them; those that no column has are empty. None: those of
            the table.

    Raises:
        DataError: LS232, a value is none of its column.
    """
    length = len(next(iter(columns.values())))
    for start in range(0, length, _BATCH_ROWS):
        encoded = [encode_values(column, columns[column.name].slice(start, _BATCH_ROWS)) for column in table.columns]
        if fields is not None:
            known = dict(zip(table.field_names, encoded, strict=True))
            encoded = [known.get(name, [""] * len(encoded[0])) for name in fields]
        yield from map(row_text, zip(*encoded, strict=True))


def columns_like(table: TableFormat, data: Any) -> Columns:
    """Return the columns of a table that has to have those of another.

    Raises:
        DataError: LS232, it has others.
    """
    frame = frame_of(data)
    if frame is None:
        raise ParameterError(
            "LS101", "records", f"a {type(data).__name__}, not a table", "Give what the model was fitted to."
        )
    columns, _ = _COLUMNS[frame](data)
    for column in table.columns:
        if column.name not in columns:
            raise column_error(column.name, "missing", "Give the columns that the model was fitted to.")
    return {column.name: columns[column.name] for column in table.columns}


def build_table(table: TableFormat, texts: Sequence[str], frame: Frame | None = None) -> Any:
    """Return records as a table of the library that the training data came from, with the same types.

    Args:
        table: its format.
        texts: records, all of them valid.
        frame: another library.

    Raises:
        ParameterError: LS106, the library is not installed.
    """
    import pyarrow as pa

    rows = [table.fields.split(text) for text in texts]
    if table.source is not None:
        return _frame(table, arrow_rows(table, rows), frame or table.frame)
    fields: Sequence[Sequence[str]] = list(zip(*rows, strict=True)) if rows else [()] * len(table.columns)
    arrays = [decode_texts(column, field) for column, field in zip(table.columns, fields, strict=True)]
    schema = pa.schema([(column.name, arrow_type(column)) for column in table.columns])
    return _frame(table, pa.Table.from_arrays(arrays, schema=schema), frame or table.frame)


def _frame(table: TableFormat, made: pa.Table, frame: Frame) -> Any:
    if frame == "arrow":
        return made
    if find_spec(frame) is None:
        raise ParameterError(
            "LS106", None, f"the model was fitted to a data frame of {frame}, which is not installed", "Install it."
        )
    return _pandas_frame(table, made) if frame == "pandas" else _polars_frame(table, made)


def _check_names(names: Sequence[object]) -> None:
    """Refuse names that are no text, or that several columns have.

    Raises:
        DataError: LS232.
    """
    for name, count in Counter(names).items():
        if not isinstance(name, str):
            raise column_error(name, f"a name of type {type(name).__name__}", "Give every column a name that is text.")
        if any("\ud800" <= character <= "\udfff" for character in name):
            raise column_error(name, "a name with half of a surrogate pair", "Give it another name.")
        if count > 1:
            raise column_error(name, f"{count} columns have this name", "Give every column a name of its own.")


# -- pandas


def _pandas_columns(data: pd.DataFrame) -> tuple[Columns, dict[str, str]]:
    import pandas as pd

    _check_names(list(data.columns))
    if not isinstance(data.index, pd.RangeIndex):
        _log.warning("the index of the data frame is left out; reset_index makes a column of it")
    columns, dtypes = {}, {}
    for position, name in enumerate(data.columns):
        series = data.iloc[:, position]
        columns[name] = _pandas_array(name, series)
        dtypes[name] = _pandas_dtype(series.dtype)
        if isinstance(series.dtype, pd.DatetimeTZDtype):
            _check_zone(name, dtypes[name])
    return columns, dtypes


def _pandas_array(name: str, series: pd.Series) -> pa.ChunkedArray:
    import pandas as pd
    import pyarrow as pa

    if series.dtype == object:
        kinds = sorted({_kind(value) for value in series if not pd.api.types.is_scalar(value) or not pd.isna(value)})
        if len(kinds) > 1:
            raise column_error(name, f"values of several types ({', '.join(kinds[:5])})", "Make all of them one type.")
    try:
        array = pa.array(series, from_pandas=True)
    except (pa.ArrowException, TypeError, ValueError, OverflowError, UnicodeError):
        raise column_error(
            name, f"values of type {series.dtype} that Arrow cannot hold", "Convert them, or leave the column out."
        ) from None
    return array if isinstance(array, pa.ChunkedArray) else pa.chunked_array([array])


def _check_zone(name: str, words: str) -> None:
    """Refuse a time zone that cannot be named, such as one of dateutil.

    Raises:
        DataError: LS232.
    """
    import pandas as pd

    try:
        pd.api.types.pandas_dtype(words)
    except (TypeError, ValueError):
        raise column_error(name, "a time zone without a name", "Convert it, for example tz_convert('UTC').") from None


def _kind(value: object) -> str:
    """Return the name of the type of an object; types whose values Arrow takes for those of another have its name."""
    if isinstance(value, dt.datetime):  # one without a zone would be taken for one in UTC beside others
        return "datetime" if value.tzinfo is None else "datetime with a time zone"
    return "str" if isinstance(value, str) else type(value).__name__


def _pandas_dtype(dtype: Any) -> str:
    import pandas as pd

    if isinstance(dtype, pd.ArrowDtype):
        return "arrow"
    if isinstance(dtype, pd.StringDtype):
        return f"string {dtype.storage} {'nan' if dtype.na_value is not pd.NA else 'na'}"
    if isinstance(dtype, pd.CategoricalDtype):
        return f"category {_pandas_dtype(dtype.categories.dtype)}"
    return str(dtype)


def _pandas_frame(table: TableFormat, made: pa.Table) -> pd.DataFrame:
    import pandas as pd

    series = {column.name: _pandas_series(column, made.column(column.name)) for column in table.columns}
    return pd.DataFrame(series, index=pd.RangeIndex(made.num_rows), columns=list(series))


def _pandas_series(column: TableColumn, array: pa.ChunkedArray) -> pd.Series:
    import pandas as pd

    words = column.dtype
    if words == "object":
        return pd.Series(array.to_pylist(), dtype=object)
    if words == "arrow":
        dtype: Any = pd.ArrowDtype(array.type)
        return pd.Series(dtype.__from_arrow__(array))
    if words.startswith("string "):
        storage: Any
        _, storage, missing = words.split(" ")
        options: dict[str, Any] = {"na_value": float("nan")} if missing == "nan" else {}
        return pd.Series(array.to_pylist(), dtype=pd.StringDtype(storage, **options))
    if words.startswith("category "):
        combined = array.combine_chunks()
        combined = combined if hasattr(combined, "dictionary") else combined.chunk(0)
        inner = replace(column, dtype=words.partition(" ")[2])
        values = pd.Index(_pandas_series(inner, combined.dictionary))
        codes = [-1 if index is None else index for index in combined.indices.to_pylist()]
        return pd.Series(pd.Categorical.from_codes(codes, dtype=pd.CategoricalDtype(values, array.type.ordered)))
    dtype = pd.api.types.pandas_dtype(words)
    if hasattr(dtype, "__from_arrow__") and not isinstance(dtype, pd.DatetimeTZDtype):
        return pd.Series(dtype.__from_arrow__(array))
    return pd.Series(array.to_pandas(), dtype=dtype)


# -- polars


def _polars_columns(data: Any) -> tuple[Columns, dict[str, str]]:
    import polars as pl
    import pyarrow as pa

    columns, dtypes = {}, {}
    for series in data.get_columns():
        dtypes[series.name] = "enum" if isinstance(series.dtype, pl.Enum) else ""
        if series.dtype == pl.Object:
            raise column_error(series.name, "Python objects", "Convert them, or leave the column out.")
        try:
            array = series.to_arrow()
        except pa.ArrowException:
            raise column_error(
                series.name, f"values of type {series.dtype}, which Arrow cannot hold", "Cast them to another type."
            ) from None
        columns[series.name] = array if isinstance(array, pa.ChunkedArray) else pa.chunked_array([array])
    return columns, dtypes


def _polars_frame(table: TableFormat, made: pa.Table) -> Any:
    import polars as pl

    frame: Any = pl.from_arrow(made)
    enums = [column for column in table.columns if column.dtype == "enum"]
    types = {column.name: pl.Enum([str(column.decode(text)) for text in column.categories or ()]) for column in enums}
    return frame.cast(types) if types else frame


# -- Arrow


def _arrow_columns(data: Any) -> tuple[Columns, dict[str, str]]:
    import pyarrow as pa

    try:
        table = data if isinstance(data, pa.Table) else pa.table(data)
    except (pa.ArrowException, TypeError, ValueError):  # a single column has such a stream, too
        raise DataError("LS232", "data", f"a {type(data).__name__}, which is no table", "Give a table.") from None
    _check_names(table.column_names)
    return {name: table.column(position) for position, name in enumerate(table.column_names)}, {}


_COLUMNS: dict[str, Any] = {"pandas": _pandas_columns, "polars": _polars_columns, "arrow": _arrow_columns}
