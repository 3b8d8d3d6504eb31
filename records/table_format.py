"""Tables as text records: the columns of a data frame that a model was trained on, kept with the model as `table.json`.

The columns' names and types are kept, and of categories their values. Where a model has such a file, a record is valid only if
every field can be decoded, and the sampler is steered by the columns' types.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Sequence
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any, Literal, get_args

from linesmith.records.fields import FieldFormat
from linesmith.records.output.avro_names import avro_record_schema
from linesmith.records.sources.shape import TableSource, parse_source, source_fault
from linesmith.records.sources.source_projection import projected_source
from linesmith.records.table_columns import UNIT_DIGITS, Kind, TableColumn, escape_text
from linesmith.records.table_masks import column_mask

Frame = Literal["pandas", "polars", "arrow"]
TABLE_FIELDS = FieldFormat(",", quoted=True)  # how a row of a table in memory is written
TABLE_SETTINGS: dict[str, Any] = {"field_delimiter": ",", "quoted": True, "header": True, "encoding": "utf-8"}
_MOST_DIGITS = 76  # of a decimal of 256 bits


@dataclass(frozen=True)
class TableFormat:
    """How the rows of a table are written as records.

    Attributes:
        frame: what the table was: a pandas or a polars data frame, or any other Arrow table.
        columns: in order.
        source: the files that it was read from; None: it was a table in memory.
    """

    frame: Frame
    columns: tuple[TableColumn, ...]
    source: TableSource | None = None

    @property
    def fields(self) -> FieldFormat:
        """How a row is written as a record."""
        return TABLE_FIELDS if self.source is None else FieldFormat(self.source.delimiter, quoted=True)

    @cached_property
    def field_names(self) -> tuple[str, ...]:
        """Names of the columns as a header line holds them: line ends are escaped."""
        return tuple(escape_text(column.name) for column in self.columns)

    def without(self, fields: Collection[str]) -> TableFormat:
        """Return the format without the columns whose names in a header line are among `fields`.

        A struct whose column of presence stays may be left without fields.
        """
        if self.source is not None:
            keep = {number for number, name in enumerate(self.field_names) if name not in fields}
            source, numbers = projected_source(self.source, keep)
            return replace(self, columns=tuple(self.columns[number] for number in numbers), source=source)
        kept = (
            column for column, name in zip(self.columns, self.field_names, strict=True) if name.strip() not in fields
        )
        return replace(self, columns=tuple(kept))

    def field_name(self, name: str) -> str:
        """Return a column's name as a header line holds it; a name that no column has unchanged."""
        return next(
            (field for field, column in zip(self.field_names, self.columns, strict=True) if column.name == name), name
        )

    def column(self, name: str) -> TableColumn | None:
        """Return the column of a name; None where there is none."""
        return next((column for column in self.columns if column.name == name), None)

    def fault(self, fields: Sequence[str]) -> tuple[str, str, str] | None:
        """Return name and kind of the first field that is no value of its column, and why; None if all are.

        Args:
            fields: of a record, without quotes, as many as there are columns.
        """
        values = []
        for column, text in zip(self.columns, fields, strict=True):
            try:
                values.append(column.decode(text))
            except ValueError as error:
                return column.name, column.kind, str(error)
        number = None if self.source is None else source_fault(self.source.nodes, self.columns, values)
        if number is None:
            return None
        return (
            self.columns[number].name,
            self.columns[number].kind,
            "missing where the schema demands it, or the reverse",
        )

    @property
    def mask_schema(self) -> str:
        """An Avro schema by which the sampler is steered, as JSON."""
        masks = [column_mask(column) for column in self.columns]
        schema = avro_record_schema([column.name for column in self.columns], [column_type for column_type, _ in masks])
        for field, (_, limits) in zip(schema["fields"], masks, strict=True):
            field.update(limits)
        return json.dumps(schema, ensure_ascii=False)

    def as_dict(self) -> dict[str, Any]:
        """Return the format as plain JSON types; `parse_table_format` reads them."""
        plain = TableColumn("", "text")
        described = [
            {
                key: value
                for key, value in asdict(column).items()
                if key in ("name", "kind") or value != getattr(plain, key)
            }
            for column in self.columns
        ]
        plain_format = {"frame": self.frame, "columns": described}
        return plain_format if self.source is None else {**plain_format, "source": self.source.as_dict()}


def row_text(fields: Iterable[str]) -> str:
    """Return the record of a row, of its encoded fields; a single empty field is a pair of quotes, since no record is empty.

    Example:
        >>> row_text(["a,b", ""]), row_text([""])
        ('"a,b",', '""')
    """
    return TABLE_FIELDS.join(fields) or '""'


def read_table_format(path: str | Path) -> TableFormat | None:
    """Read the file in which a model keeps the columns of its table; None where there is no such file.

    Raises:
        DataError: LS214, it is damaged or foreign; LS202, a newer Linesmith wrote it.
    """
    from linesmith.core.artifacts.files import read_json
    from linesmith.core.artifacts.manifest import check_format_version
    from linesmith.core.errors import DataError

    if not Path(path).is_file():
        return None
    stored = read_json(path, "the columns of the table")
    try:
        check_format_version(stored["format_version"], str(path))
        return parse_table_format(stored)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        if isinstance(error, DataError):
            raise
        raise DataError("LS214", None, f"'{path}' does not describe the columns of a table", "Train again.") from None


def write_table_format(path: str | Path, table: TableFormat) -> None:
    """Write the file that `read_table_format` reads, atomically."""
    from linesmith.core.artifacts.files import write_json
    from linesmith.core.artifacts.manifest import FORMAT_VERSION

    write_json(path, {"format_version": FORMAT_VERSION, **table.as_dict()})


def parse_table_format(described: Any) -> TableFormat:
    """Return the format that `TableFormat.as_dict` described. Whoever wrote the description may have written anything.

    Raises:
        ValueError, TypeError, KeyError, AttributeError: it is none.
    """
    if described["frame"] not in get_args(Frame) or not described["columns"]:
        raise ValueError("no table")
    columns = tuple(map(_parse_column, described["columns"]))
    source = described.get("source")
    return TableFormat(described["frame"], columns, None if source is None else parse_source(source, len(columns)))


def _parse_column(described: dict[str, Any]) -> TableColumn:
    if not all(
        isinstance(described.get(key, ""), str) for key in ("name", "kind", "unit", "arrow", "dtype", "list_arrow")
    ):
        raise TypeError("a word is no text")
    plain = replace(TableColumn("", "text"), **{key: value for key, value in described.items() if key != "categories"})
    numbers = (
        plain.bits,
        plain.precision,
        plain.scale,
        0 if plain.digits is None else plain.digits,
        plain.most_items or 0,
    )
    switches = (plain.nullable, plain.signed, plain.zoned, plain.item_nullable)
    if not all(type(number) is int for number in numbers) or not all(type(switch) is bool for switch in switches):
        raise TypeError("no number or switch")
    if plain.kind not in get_args(Kind) or plain.unit not in UNIT_DIGITS or plain.bits not in (8, 16, 32, 64):
        raise ValueError("no kind, unit or width")
    if not 0 <= plain.scale <= plain.precision <= _MOST_DIGITS:
        raise ValueError("no digits of a decimal")
    if plain.digits is not None and not 0 <= plain.digits <= UNIT_DIGITS[plain.unit]:
        raise ValueError("no digits of a second")
    if (plain.most_items or 0) < 0 or plain.omitted not in ("never", "always", "marked"):
        raise ValueError("no list, or no mark of what is left out")
    categories = described.get("categories")
    if categories is not None and not all(isinstance(text, str) for text in categories):
        raise TypeError("a category is no text")
    return replace(plain, categories=None if categories is None else tuple(categories))
