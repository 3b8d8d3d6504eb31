"""Rows of generated records in the shape of the source, as the writers of each format take them; and lines of CSV."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from itertools import islice
from typing import TYPE_CHECKING, Any

from linesmith.records.output.layout import GeneratedRecord, RecordLayout
from linesmith.records.output.table_rows import arrow_rows, avro_row, avro_schema, iceberg_schema, json_row, plain_texts
from linesmith.records.table_format import TableFormat

if TYPE_CHECKING:
    import pyarrow as pa


def csv_lines(records: Iterable[GeneratedRecord], layout: RecordLayout) -> Iterator[str]:
    """Yield the lines of CSV of records, which may hold line ends inside quotes."""
    delimiter = layout.fields.delimiter or ","
    has_nulls = layout.source_table is not None
    for record in records:
        fields = layout.field_texts(record.text)
        cells: list[str | None] = [*fields] if layout.table is None else plain_texts(layout.table, fields)
        if layout.start_string_per_record:
            cells += [str(record.seed_id), record.start]
        yield delimiter.join(_csv_cell(cell, delimiter, has_nulls) for cell in cells) or '""'


def _csv_cell(cell: str | None, delimiter: str, has_nulls: bool) -> str:
    """Return a cell as RFC 4180 writes it; where nulls and empty texts are two things, the latter are a pair of quotes."""
    if not cell:
        return '""' if has_nulls and cell is not None else ""
    if not any(character in cell for character in (delimiter, '"', "\n", "\r")):
        return cell
    return f'"{cell.replace(chr(34), chr(34) * 2)}"'


def source_json(
    record: GeneratedRecord, layout: RecordLayout, table: TableFormat, exclude_column: str | None = None
) -> str:
    """Return a record as an object of JSON, with its start string where each record has one."""
    row = json_row(table, layout.field_texts(record.text), exclude_column)
    if not layout.start_string_per_record:
        return row
    seed, start = (json.dumps(name, ensure_ascii=False) for name in layout.names[-2:])
    own = f"{seed}: {record.seed_id}, {start}: {json.dumps(record.start, ensure_ascii=False)}}}"
    return f"{{{own}" if row == "{}" else f"{row[:-1]}, {own}"


def source_avro(
    records: Iterable[GeneratedRecord], layout: RecordLayout, table: TableFormat, exclude_column: str | None = None
) -> tuple[dict[str, Any], Iterator[dict[str, Any]]]:
    """Return the Avro schema of the source, with the columns of start strings where there are some, and the rows."""
    schema = avro_schema(table)
    fields = [field for field in schema["fields"] if field.get("doc", field["name"]) != exclude_column]
    names = list(layout.names[-2:]) if layout.start_string_per_record else []
    fields += [{"name": name, "type": kind} for name, kind in zip(names, ("long", "string"), strict=False)]
    rows = (
        avro_row(table, layout.field_texts(record.text))
        | dict(zip(names, (record.seed_id, record.start), strict=False))
        for record in records
    )
    return {**schema, "fields": fields}, rows


def source_schema(layout: RecordLayout, table: TableFormat, exclude_column: str | None, for_iceberg: bool) -> pa.Schema:
    """Return the Arrow schema of the source, with the columns of start strings where there are some."""
    import pyarrow as pa

    from linesmith.records.sources.arrow_rows import arrow_schema

    fields = [field for field in arrow_schema(table) if field.name != exclude_column]
    if layout.start_string_per_record:
        fields += [pa.field(layout.names[-2], pa.int64(), False), pa.field(layout.names[-1], pa.string(), False)]
    return iceberg_schema(pa.schema(fields)) if for_iceberg else pa.schema(fields)


def source_tables(
    records: Iterable[GeneratedRecord], layout: RecordLayout, table: TableFormat, schema: pa.Schema, rows: int
) -> Iterator[pa.Table]:
    """Yield tables of a schema that `source_schema` returned.

    Args:
        records: iterated once.
        layout: how they are split.
        table: how their fields are written.
        schema: the schema.
        rows: most rows of a table.
    """
    import pyarrow as pa

    remaining = iter(records)
    while some := list(islice(remaining, rows)):
        made = arrow_rows(table, [layout.field_texts(record.text) for record in some])
        if layout.start_string_per_record:
            made = made.append_column(layout.names[-2], pa.array([record.seed_id for record in some], pa.int64()))
            made = made.append_column(layout.names[-1], pa.array([record.start for record in some], pa.string()))
        columns = [_cast(made.column(field.name), field.type) for field in schema]
        yield pa.Table.from_arrays(columns, schema=schema)


def _cast(column: pa.ChunkedArray, arrow: pa.DataType) -> pa.ChunkedArray:
    import pyarrow as pa

    # Iceberg has microseconds at most: smaller parts of a second are dropped.
    return column if column.type == arrow else column.cast(arrow, safe=not pa.types.is_temporal(arrow))
