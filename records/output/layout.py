"""How a record becomes a row of typed output: named columns, or one column of text, and the start string of the record.

JSON Lines and Parquet keep the names of the columns; for Avro they are adapted (`linesmith.records.output.avro_names`).
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple

from linesmith.core.errors import ParameterError
from linesmith.records.fields import FREE_TEXT, FieldFormat
from linesmith.records.output.avro_names import avro_record_schema, unique_names
from linesmith.records.output.column_types import STRING, ColumnType
from linesmith.records.output.table_rows import plain_texts, typed_table
from linesmith.records.table_format import TableFormat

TEXT_COLUMN = "text"
SEED_COLUMN, START_COLUMN = "seed_id", "start_string"


class GeneratedRecord(NamedTuple):
    """A valid record.

    Attributes:
        text: the record, without a line end.
        start: its start string.
        seed_id: number of that among all start strings, from 0.
    """

    text: str
    start: str = ""
    seed_id: int = 0


@dataclass(frozen=True)
class RecordLayout:
    """How the text of a record becomes a row.

    Attributes:
        columns: names of the fields, in order; None: the whole record is one column, `text`.
        fields: how the text is split; needs a delimiter if there are columns.
        start_string_per_record: each record has a start string of its own, for which there are two more columns at the
            end, `seed_id` and `start_string`.
        types: types of the fields; None: all are text.
        declared_schema: the Avro record that the user gave for the fields, as JSON; None: one is made.
        header: first line of every text file; None: there is none.
        table: the columns of the source that the records were learned from; None: they were lines, or other types are asked for.
    """

    columns: tuple[str, ...] | None = None
    fields: FieldFormat = FREE_TEXT
    start_string_per_record: bool = False
    types: tuple[ColumnType, ...] | None = None
    declared_schema: str | None = None
    header: str | None = None
    table: TableFormat | None = None

    @cached_property
    def names(self) -> tuple[str, ...]:
        """The names of all columns, made unique.

        Example:
            >>> RecordLayout(("a", "a", "seed_id"), FieldFormat(","), start_string_per_record=True).names
            ('a', 'a_2', 'seed_id', 'seed_id_2', 'start_string')
        """
        columns = (TEXT_COLUMN,) if self.columns is None else self.columns
        return unique_names([*columns, *([SEED_COLUMN, START_COLUMN] if self.start_string_per_record else [])])

    @cached_property
    def column_types(self) -> tuple[ColumnType, ...]:
        """The types of all columns."""
        types = self.types
        if types is None:
            types = (STRING,) * (1 if self.columns is None else len(self.columns))
        return (*types, ColumnType("long"), STRING) if self.start_string_per_record else types

    def field_texts(self, text: str) -> list[str]:
        """Return the fields of a record, or the record itself if there are no columns.

        Raises:
            ValueError: the record has another number of fields. The record validator accepts none that has.
        """
        if self.columns is None or self.fields.delimiter is None:
            return [text]
        values = self.fields.split(text)
        if len(values) != len(self.columns):
            raise ValueError(f"a record has {len(values)} fields, the output {len(self.columns)} columns")
        return values

    @property
    def source_table(self) -> TableFormat | None:
        """The table whose types the output has; None: it has `types`."""
        return typed_table(self.table)

    def values(self, record: GeneratedRecord) -> list[Any]:
        """Return the row of a record, in the order of `names`.

        Raises:
            ValueError: as `field_texts`, or a field is not a value of its type.
        """
        row: list[Any] = self.field_texts(record.text)
        if self.table is not None:
            row = ["" if cell is None else cell for cell in plain_texts(self.table, row)]
        if self.types is not None:
            row = [column_type.parse(text) for column_type, text in zip(self.types, row, strict=True)]
        return [*row, record.seed_id, record.start] if self.start_string_per_record else row

    def avro_schema(self, exclude_column: str | None = None) -> dict[str, Any]:
        """Return the Avro schema of a row: the declared one, with the columns of the start string added, or a new one.

        Args:
            exclude_column: a column to leave out, or None.
        """
        schema = avro_record_schema(self.names, self.column_types)
        if self.declared_schema is not None:
            declared = json.loads(self.declared_schema)
            count = len(declared["fields"])
            schema = {**declared, "fields": [*declared["fields"], *schema["fields"][count:]]}
        if exclude_column is not None:
            excluded = self.names.index(exclude_column)
            schema["fields"] = [field for number, field in enumerate(schema["fields"]) if number != excluded]
        return schema


def resolve_column_names(
    names: Iterable[str] | None, header_names: Iterable[str] | None, field_count: int | None
) -> list[str] | None:
    """Return the columns of typed output: those requested, else those of the header, else numbered ones.

    Args:
        names: requested names, or None.
        header_names: names in the header of the training data, or None; ignored if their number is wrong.
        field_count: fields per record, or None if that is not fixed.

    Returns:
        Names of the columns, or None if the number of fields is not fixed: typed output is then one column of text.

    Raises:
        ParameterError: LS109, more or fewer names are requested than the records have fields.

    Example:
        >>> resolve_column_names(None, None, 2)
        ['field_0', 'field_1']
    """
    if names is not None:
        asked = list(names)
        if field_count is not None and len(asked) != field_count:
            raise ParameterError(
                "LS109",
                f"--columns (columns) '{','.join(asked)}'",
                f"{len(asked)} names, but the model's records have {field_count} fields",
                "Give one name per field, in order.",
            )
        return asked
    if field_count is None:
        return None
    header = None if header_names is None else list(header_names)
    if header is not None and len(header) == field_count:
        return header
    return [f"field_{number}" for number in range(field_count)]
