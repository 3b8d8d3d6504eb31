"""The schema of typed output: read from an Avro schema file, or inferred from the statistics of the training data.

An inferred schema is written to RUN/model/record.avsc when training ends. It is in the format of a schema file, so a user
can read it, change it and pass it back. It holds types only, no values. Private training writes none: its types would be
learned from raw records. Without a schema every column is text.

A type is inferred if all training records fit and would be written back as they are (`linesmith.records.output.spellings`);
otherwise the column is text. A field that was empty in some record is nullable.

The name of a field is the name of the column in every format; `doc` is a comment.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from linesmith.core.errors import ParameterError
from linesmith.core.parsing import DocumentError, parse_json, read_text
from linesmith.records.output.avro_names import avro_record_schema
from linesmith.records.output.column_types import STRING, ColumnType
from linesmith.records.output.spellings import MAX_PRECISION, spelled_type
from linesmith.records.patterns.regex_parser import parse_regex

SCHEMA_OPTION = "--schema-file (schema_file)"
_LOGICAL = {
    "date": ("int", ColumnType("date")),
    "timestamp-millis": ("long", ColumnType("timestamp", unit="ms")),
    "timestamp-micros": ("long", ColumnType("timestamp", unit="us")),
    "local-timestamp-millis": ("long", ColumnType("local_timestamp", unit="ms")),
    "local-timestamp-micros": ("long", ColumnType("local_timestamp", unit="us")),
}
_PRIMITIVE = {"string", "int", "long", "float", "double", "boolean"}


@dataclass(frozen=True)
class ValueLimits:
    """Limits of a field's values beyond its type, from keys of a schema that Avro ignores.

    Attributes:
        pattern: a regular expression for the whole text, or None.
        minimum: smallest number, or None.
        maximum: largest number, or None.
    """

    pattern: str | None = None
    minimum: int | float | None = None
    maximum: int | float | None = None


@dataclass(frozen=True)
class RecordSchema:
    """Columns with their types, in the order of the fields.

    Attributes:
        names: names of the columns.
        types: one per column.
        declared_schema: the Avro record of the user, as JSON; None for an inferred schema.
        limits: one per column; empty for an inferred schema.
    """

    names: tuple[str, ...]
    types: tuple[ColumnType, ...]
    declared_schema: str | None = None
    limits: tuple[ValueLimits, ...] = ()


def schema_text(path: str | Path, option: str = SCHEMA_OPTION) -> str:
    """Return the text of a schema file. It is read on the driver, so workers need not see the file.

    Raises:
        ParameterError: LS111, it cannot be read.
    """
    try:
        return read_text(path, "utf-8-sig")
    except OSError as error:
        raise _schema_error(f"{option} '{path}'", f"it cannot be read ({error.strerror})") from None
    except ValueError as error:
        raise _schema_error(f"{option} '{path}'", f"it is {error}") from None


def read_schema(path: str | Path, option: str = SCHEMA_OPTION) -> RecordSchema:
    """Read a schema file (see `parse_schema`).

    Raises:
        ParameterError: LS111, it cannot be read, or is refused by `parse_schema`.
    """
    return parse_schema(schema_text(path, option), f"{option} '{path}'")


def parse_schema(text: str, source: str = SCHEMA_OPTION) -> RecordSchema:
    """Parse an Avro schema: one record, whose fields have types of `column_types` or unions of one with null.

    Args:
        text: JSON.
        source: subject of error messages: the option, and its value if that is known.

    Raises:
        ParameterError: LS111, it is not a schema, or has a type or a limit that a field of a record cannot have.
    """
    import fastavro

    try:
        declared = parse_json(text)
    except DocumentError as error:
        raise _schema_error(source, f"it is {error}") from None
    try:
        fastavro.parse_schema(declared)
    except Exception as error:
        raise _schema_error(source, f"it is no Avro schema ({type(error).__name__})") from None
    if not isinstance(declared, dict) or declared.get("type") != "record" or not declared.get("fields"):
        raise _schema_error(source, "it does not describe a record with fields")
    names: list[str] = []
    types: list[ColumnType] = []
    limits: list[ValueLimits] = []
    for field in declared["fields"]:
        if not isinstance(field["name"], str):
            raise _schema_error(source, "a field has a name that is no text")
        try:
            types.append(parse_type(field["type"]))
            limits.append(_parse_limits(field, types[-1]))
        except ValueError as error:
            raise _schema_error(source, f"field '{field['name']}' {error}") from None
        names.append(field["name"])
    return RecordSchema(tuple(names), tuple(types), json.dumps(declared, ensure_ascii=False), tuple(limits))


def _parse_limits(field: dict[str, Any], column_type: ColumnType) -> ValueLimits:
    pattern, least, most = field.get("pattern"), field.get("minimum"), field.get("maximum")
    if pattern is not None:
        if not isinstance(pattern, str):
            raise ValueError("has a pattern that is no text")
        try:
            parse_regex(pattern)
        except ValueError as error:
            raise ValueError(f"has a pattern that cannot be used: {error}") from None
    for bound in (least, most):
        is_number = isinstance(bound, int | float) and not isinstance(bound, bool)
        if bound is not None and (not is_number or (isinstance(bound, float) and not math.isfinite(bound))):
            raise ValueError("has a minimum or maximum that is no number")
        if bound is not None and not column_type.is_number:
            raise ValueError(f"has a minimum or maximum, but is of type {column_type.type_name}")
    if least is not None and most is not None and least > most:
        raise ValueError(f"has a minimum of {least} above its maximum of {most}: no number fits")
    return ValueLimits(pattern, least, most)


def parse_type(declared: Any) -> ColumnType:
    """Return the column type of an Avro type.

    Raises:
        ValueError: it is not supported; the message continues "field F …".

    Example:
        >>> parse_type(["null", {"type": "bytes", "logicalType": "decimal", "precision": 5, "scale": 2}])
        ColumnType(type_name='decimal', nullable=True, precision=5, scale=2, unit='us', symbols=())
    """
    if isinstance(declared, list):
        others = [part for part in declared if part != "null"]
        if len(others) != 1 or len(others) == len(declared):
            raise ValueError("is a union of something other than null and one type")
        inner = parse_type(others[0])
        return ColumnType(inner.type_name, True, inner.precision, inner.scale, inner.unit, inner.symbols)
    if isinstance(declared, str):
        declared = {"type": declared}
    avro_type, logical = declared.get("type"), declared.get("logicalType")
    if not isinstance(avro_type, str) or not (logical is None or isinstance(logical, str)):
        raise ValueError("has a type that is no name")
    if avro_type == "enum":
        return ColumnType("enum", symbols=tuple(declared["symbols"]))
    if logical == "decimal" and avro_type in ("bytes", "fixed"):
        precision, scale = declared.get("precision"), declared.get("scale", 0)
        if type(precision) is not int or type(scale) is not int or not 0 <= scale <= precision or not precision:
            raise ValueError("is a decimal without digits, or with more of them after the point than in all")
        if precision > MAX_PRECISION:
            raise ValueError(f"is a decimal of {precision} digits; {MAX_PRECISION} are the most")
        return ColumnType("decimal", precision=precision, scale=scale)
    if logical in _LOGICAL and _LOGICAL[logical][0] == avro_type:
        return _LOGICAL[logical][1]
    if logical is None and avro_type in _PRIMITIVE:
        return ColumnType(avro_type)
    raise ValueError(
        f"is of a type that is not supported ({logical or avro_type}); docs/generation.md lists those that are"
    )


def infer_schema(fields: Sequence[dict[str, Any]], names: Iterable[str]) -> RecordSchema:
    """Return the types that all values of the training data have.

    Args:
        fields: the `fields` of statistics.json, one per column; columns after the last of them are text.
        names: names of the columns.
    """
    columns = tuple(names)
    types = [_infer_type(field) for field in fields[: len(columns)]]
    return RecordSchema(columns, (*types, *[STRING] * (len(columns) - len(types))))


def _infer_type(field: dict[str, Any]) -> ColumnType:
    spelled = field.get("spellings")  # absent in statistics of an earlier version
    if spelled is None:
        return STRING
    found = spelled_type(spelled["names"], spelled["whole_digits"])
    return STRING if found is None else replace(found, nullable=spelled["empty"])


def write_schema(path: str | Path, schema: RecordSchema) -> None:
    """Write a schema as an Avro schema file; the file appears when it is complete."""
    from linesmith.core.artifacts.files import write_json

    write_json(path, avro_record_schema(schema.names, schema.types))


def _schema_error(source: str, found: str) -> ParameterError:
    return ParameterError("LS111", source, found, "Give an Avro schema (.avsc) of one record.")
