"""What a record looks like in typed output: named columns, or one column of text; and the start string it belongs to.

JSON Lines and Parquet keep the columns' own names; Avro's are made fit (`linesmith.records.output.avro_names`).
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple

from linesmith.core.errors import ParameterError
from linesmith.records.fields import split_fields
from linesmith.records.output.avro_names import avro_record_schema, distinct
from linesmith.records.output.column_types import STRING, ColumnType

TEXT_COLUMN = "text"
SEED_COLUMN, START_COLUMN = "seed_id", "start_string"


class Record(NamedTuple):
    """A valid record: its text, its start string, and the number of that among all start strings, from 0."""

    text: str
    start: str = ""
    seed_id: int = 0


@dataclass(frozen=True)
class RecordLayout:
    """How the text of a record becomes a row.

    Attributes:
        columns: names of the fields, in order; None: the whole record is one column, `text`.
        delimiter, quoted: how fields are separated; needed where there are columns.
        paired: each record has a start string of its own, which gets two last columns, `seed_id` and `start_string`.
        types: of the fields; None: all are text.
        declared: the Avro record that was given for the fields, as JSON; None makes one.
    """

    columns: tuple[str, ...] | None = None
    delimiter: str | None = None
    quoted: bool = False
    paired: bool = False
    types: tuple[ColumnType, ...] | None = None
    declared: str | None = None

    @cached_property
    def names(self) -> tuple[str, ...]:
        """Names of all columns, all different.

        Example:
            >>> RecordLayout(("a", "a", "seed_id"), ",", paired=True).names
            ('a', 'a_2', 'seed_id', 'seed_id_2', 'start_string')
        """
        own = (TEXT_COLUMN,) if self.columns is None else self.columns
        return distinct([*own, *([SEED_COLUMN, START_COLUMN] if self.paired else [])])

    @cached_property
    def column_types(self) -> tuple[ColumnType, ...]:
        """Types of all columns."""
        own = self.types
        if own is None:
            own = (STRING,) * (1 if self.columns is None else len(self.columns))
        return (*own, ColumnType("long"), STRING) if self.paired else own

    def texts(self, text: str) -> list[str]:
        """The fields of a record, or the record where there are no columns.

        Raises:
            ValueError: the record has another number of fields; the judge lets none through that has.
        """
        if self.columns is None or self.delimiter is None:
            return [text]
        own = split_fields(text, self.delimiter, self.quoted)
        if len(own) != len(self.columns):
            raise ValueError(f"a record has {len(own)} fields, the output {len(self.columns)} columns")
        return own

    def values(self, record: Record) -> list[Any]:
        """The row of a record, in the order of `names`.

        Raises:
            ValueError: as `texts`, or a field is no value of its type.
        """
        own: list[Any] = self.texts(record.text)
        if self.types is not None:
            own = [kind.parse(text) for kind, text in zip(self.types, own, strict=True)]
        return [*own, record.seed_id, record.start] if self.paired else own

    def avro_schema(self, without: str | None = None) -> dict[str, Any]:
        """The Avro record of a row: the declared one, with the columns of a seed behind it, or one that is made.

        Args:
            without: a column that is left out.
        """
        schema = avro_record_schema(self.names, self.column_types)
        if self.declared is not None:
            declared = json.loads(self.declared)
            own = len(declared["fields"])
            schema = {**declared, "fields": [*declared["fields"], *schema["fields"][own:]]}
        if without is not None:
            place = self.names.index(without)
            schema["fields"] = [field for number, field in enumerate(schema["fields"]) if number != place]
        return schema


def resolve_column_names(
    names: Iterable[str] | None, learnt: Iterable[str] | None, field_count: int | None
) -> list[str] | None:
    """The columns of typed output: those asked for, else those of the training data's header, else numbered ones.

    Returns None where nothing says how many fields there are: typed output is then one column of text.

    Raises:
        ParameterError: more or fewer names are asked for than the records have fields.

    Example:
        >>> resolve_column_names(None, None, 2)
        ['field_0', 'field_1']
    """
    if names is not None:
        asked = list(names)
        if field_count is not None and len(asked) != field_count:
            raise ParameterError(
                f"LS109: --columns (columns) gives {len(asked)} names ({', '.join(asked)}), but the model's records have "
                f"{field_count} fields. Give one name a field, in order.",
                code="LS109",
            )
        return asked
    if field_count is None:
        return None
    header = None if learnt is None else list(learnt)
    if header is not None and len(header) == field_count:
        return header
    return [f"field_{number}" for number in range(field_count)]
