"""Rows of an Iceberg table: the data files of its newest snapshot, which is pinned, and their rows without deleted ones."""

from __future__ import annotations

import hashlib
from collections.abc import Container, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from linesmith.core.config.input_format import ICEBERG, PARQUET
from linesmith.core.config.setting_field import shortened
from linesmith.core.errors import DataError, ParameterError, TooFewRecordsError
from linesmith.records.input.input_files import InputFile
from linesmith.records.input.typed_files import format_errors
from linesmith.records.output.iceberg_target import CATALOG, ELSEWHERE, resolve_table_target
from linesmith.records.sources.arrow_rows import describe_schema
from linesmith.records.sources.batches import batch_rows, with_columns_of
from linesmith.records.sources.chosen_columns import is_wanted
from linesmith.records.sources.rows import SourceRow
from linesmith.records.table_format import TableFormat

if TYPE_CHECKING:
    import pyarrow as pa

_REMEDY = "Check --input-catalog. " + ELSEWHERE


@dataclass(frozen=True)
class IcebergOrigin:
    """Where a data file belongs.

    Attributes:
        metadata: address of the table's metadata.
        snapshot: id of the snapshot.
        fields: the fields to read.
        digest: of table, snapshot and filter.
        row_filter: expression that holds for the rows to read; empty: all are read.
    """

    metadata: str
    snapshot: int
    fields: tuple[str, ...]
    digest: str
    row_filter: str = ""


def iceberg_files(
    tables: Sequence[str],
    catalog: Sequence[str] | None,
    wanted: Sequence[str] | None,
    row_filter: str | None = None,
) -> list[InputFile]:
    """Return the data files of the newest snapshots of tables, sorted by name.

    Args:
        tables: namespace.name of each, or the path of its metadata, which ends in .json.
        catalog: of the tables, as `--iceberg-catalog` takes one; None: that of pyiceberg's configuration.
        wanted: names of the columns to learn; None: all.
        row_filter: expression that holds for the rows to read; None: all are read.

    Raises:
        ParameterError: LS106, pyiceberg is missing; LS114, no catalog is given, or it cannot be used; LS141, the same of
            the filter.
        DataError: LS211, a table is missing, or cannot be read.
        TooFewRecordsError: LS207, a table is empty.
    """
    found = [file for name in tables for file in _files_of(name, _load(name, catalog), wanted, row_filter)]
    return sorted(found, key=lambda file: file.name)


def _load(name: str, catalog: Sequence[str] | None) -> Any:
    target = resolve_table_target(name, catalog, Path(), "--input")
    if not name.endswith(".json") and target.is_default:
        raise ParameterError(
            "LS114",
            f"--input '{name}'",
            "no catalog is given in which the table could be",
            f"Give --input-catalog, or the path of the table's metadata (…/metadata.json). {ELSEWHERE}",
        )
    from pyiceberg.catalog import load_catalog
    from pyiceberg.table import StaticTable

    try:
        if name.endswith(".json"):
            return StaticTable.from_metadata(name, dict(target.properties))
        return load_catalog(CATALOG, **target.properties).load_table(name)
    except Exception as error:  # of pyiceberg, of the catalog's driver, and of the store
        raise _unreadable(name, f"the table cannot be loaded ({type(error).__name__})", _REMEDY) from None


def _files_of(name: str, table: Any, wanted: Sequence[str] | None, row_filter: str | None) -> list[InputFile]:
    snapshot = table.current_snapshot()
    fields = tuple(field.name for field in table.schema().fields if is_wanted(field.name, wanted))
    if snapshot is None or not fields:
        found = "the table is empty" if snapshot is None else "it has none of --columns"
        raise TooFewRecordsError("LS207", f"--input '{name}'", found, "Give a table with records.")
    digest = f"iceberg:{table.metadata.table_uuid}:{snapshot.snapshot_id}"
    expression = None
    if row_filter is not None:
        expression = _checked_filter(row_filter, table.scan(snapshot_id=snapshot.snapshot_id).projection())
        digest += f":rows:{hashlib.sha256(row_filter.encode()).hexdigest()}"
    origin = IcebergOrigin(table.metadata_location, snapshot.snapshot_id, fields, digest, row_filter or "")
    try:
        tasks = list(_scan_of(table, origin, expression).plan_files())
    except Exception as error:
        found = f"its files cannot be listed ({type(error).__name__})"
        raise _unreadable(name, found, "Rewrite the table without equality deletes, if it has some.") from None
    if not tasks:
        found = "the table is empty" if expression is None else "no file of the table has a row for --input-row-filter"
        raise TooFewRecordsError("LS207", f"--input '{name}'", found, "Give a table with records.")
    return [
        InputFile(
            _local(task.file.file_path), f"{name}/{task.file.file_path.rpartition('/')[2]}", task.file.file_size_in_bytes,
            None, "utf-8", 0, format_name=ICEBERG, cuts=(0,), origin=origin,
        )
        for task in tasks
    ]  # fmt: skip


def _checked_filter(text: str, schema: Any) -> Any:
    """Return the expression of a filter.

    Args:
        text: the filter.
        schema: of the snapshot.

    Raises:
        ParameterError: LS141.
    """
    from pyiceberg.expressions.parser import parse
    from pyiceberg.expressions.visitors import bind
    from pyparsing import ParseBaseException

    option = f"--input-row-filter {shortened(repr(text))}"
    try:
        expression = parse(text)
    except ParseBaseException as error:
        found = f"no expression: it cannot be read from character {error.loc + 1} on"
        remedy = "Write comparisons of columns with values, joined by and, or, not: country = 'IT' and year >= 2020."
        raise ParameterError("LS141", option, found, remedy) from None
    try:
        bind(schema, expression, case_sensitive=True)
    except (ValueError, TypeError) as error:  # of a column that is not there, or a value of another type
        found = " ".join(str(error).split())
        columns = ", ".join(schema.column_names)
        raise ParameterError(
            "LS141", option, found, f"The columns are {columns}; texts are in single quotes."
        ) from None
    return expression


def _scan_of(table: Any, origin: IcebergOrigin, expression: Any) -> Any:
    """Return the scan of a snapshot, of the rows for which an expression holds; None: of all."""
    from pyiceberg.expressions import AlwaysTrue

    rows = AlwaysTrue() if expression is None else expression
    return table.scan(row_filter=rows, selected_fields=origin.fields, snapshot_id=origin.snapshot)


def _local(address: str) -> str:
    return address.removeprefix("file://")


def _unreadable(name: str, found: str, remedy: str) -> DataError:
    return DataError("LS211", f"--input '{name}'", found, remedy)


@lru_cache(maxsize=4)
def _scan(origin: IcebergOrigin) -> tuple[Any, Any, dict[str, Any]]:
    """Return the table of an origin, the scan of its snapshot, and the tasks of the scan by the path of their files."""
    from pyiceberg.table import StaticTable

    target = resolve_table_target("the.table", None, Path(), "--input")
    table = StaticTable.from_metadata(origin.metadata, {} if target.is_default else dict(target.properties))
    scan = _scan_of(table, origin, origin.row_filter or None)
    return table, scan, {_local(task.file.file_path): task for task in scan.plan_files()}


def _origin(file: InputFile) -> IcebergOrigin:
    if not isinstance(file.origin, IcebergOrigin):
        raise ValueError("a file of no Iceberg table")
    return file.origin


def iceberg_table(file: InputFile, wanted: Sequence[str] | None = None, cut: Container[str] = ()) -> TableFormat:
    """Return how the rows of a table are written, by the schema of its snapshot alone.

    Raises:
        DataError: LS235, a column cannot be learned.
    """
    from pyiceberg.io.pyarrow import schema_to_pyarrow

    schema = schema_to_pyarrow(_scan(_origin(file))[1].projection(), include_field_ids=False)
    return describe_schema(_plain_schema(schema), ICEBERG, wanted, cut)


def _plain_schema(schema: pa.Schema) -> pa.Schema:
    """Return a schema with the short types of texts, bytes and lists, which hold the same values."""
    import pyarrow as pa

    return pa.schema([pa.field(field.name, _plain_type(field.type), field.nullable) for field in schema])


def _plain_type(arrow: pa.DataType) -> pa.DataType:
    import pyarrow as pa
    from pyarrow import types

    if types.is_struct(arrow):
        fields = [arrow.field(number) for number in range(arrow.num_fields)]
        return pa.struct([pa.field(field.name, _plain_type(field.type), field.nullable) for field in fields])
    if types.is_list(arrow) or types.is_large_list(arrow):
        return pa.list_(pa.field("item", _plain_type(arrow.value_type), arrow.value_field.nullable))
    if types.is_large_string(arrow):
        return pa.string()
    return pa.binary() if types.is_large_binary(arrow) else arrow


def iceberg_rows(file: InputFile, table: TableFormat) -> Iterator[SourceRow]:
    """Yield the rows of a data file that are not deleted; their positions are numbers among these.

    Raises:
        TypedFileError: the file is missing or damaged.
    """
    position = 0
    for batch in iceberg_batches(file, table):
        yield from batch_rows(table, batch, position)
        position += batch.num_rows


def iceberg_batches(file: InputFile, table: TableFormat) -> Iterator[pa.RecordBatch]:
    """Yield the rows of a data file that are not deleted, as batches with the columns of the table in their order.

    Raises:
        TypedFileError: the file is missing or damaged.
    """
    from pyiceberg.io.pyarrow import ArrowScan

    with format_errors(PARQUET):
        origin, scan, tasks = _scan(_origin(file))
        reader = ArrowScan(origin.metadata, origin.io, scan.projection(), scan.row_filter)
        for batch in reader.to_record_batches([tasks[file.path]]):
            if batch.num_rows:
                yield with_columns_of(table, batch)
