"""The schema of typed output: given as an Avro schema file, or inferred from the statistics of the training data.

An inferred schema is written to RUN/model/record.avsc when training ends, in the same format as a given one, so that it can
be read, changed and given back. It holds types only, no values. Private training writes none: its types would be learnt
from raw records. Without a schema every column is text.

Inferred, if all training records fit: date; timestamp, local where no offset was seen; boolean; whole numbers; decimals
with the most digits seen after the point; double. A number with leading zeros or a plus sign stays text: it is a code, and
its spelling would be lost. A field that was empty somewhere is nullable.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from linesmith.core.errors import ParameterError
from linesmith.records.output.avro_names import avro_name, avro_record_schema
from linesmith.records.output.column_types import STRING, ColumnType
from linesmith.records.patterns.regex_parser import parse

OPTION = "--schema-file (schema_file)"
_LOGICAL = {
    "date": ("int", ColumnType("date")),
    "timestamp-millis": ("long", ColumnType("timestamp", unit="ms")),
    "timestamp-micros": ("long", ColumnType("timestamp", unit="us")),
    "local-timestamp-millis": ("long", ColumnType("local_timestamp", unit="ms")),
    "local-timestamp-micros": ("long", ColumnType("local_timestamp", unit="us")),
}
_PRIMITIVE = {"string", "int", "long", "float", "double", "boolean"}
_MAX_PRECISION = 38  # of Arrow's decimal128, of Parquet and of Iceberg


@dataclass(frozen=True)
class Limits:
    """What a schema says of a field's values beside its type, in words of ours that Avro lets pass.

    Attributes:
        pattern: a regular expression for the whole text, or None.
        minimum, maximum: of a number; None leaves one open.
    """

    pattern: str | None = None
    minimum: int | float | None = None
    maximum: int | float | None = None


@dataclass(frozen=True)
class RecordSchema:
    """Columns with their types, in the order of the fields.

    Attributes:
        names: of the columns.
        types: one a column.
        declared: the Avro record as it was given; None for an inferred schema.
        limits: one a column; empty for an inferred schema.
    """

    names: tuple[str, ...]
    types: tuple[ColumnType, ...]
    declared: str | None = None
    limits: tuple[Limits, ...] = ()


def schema_text(path: str | Path, option: str = OPTION) -> str:
    """The text of a schema file, read once: workers need not see the file.

    Raises:
        ParameterError: LS111, it cannot be read.
    """
    try:
        return Path(path).read_text("utf-8-sig")
    except OSError as error:
        raise _bad(f"{option} '{path}'", f"it cannot be read ({error.strerror})") from None
    except UnicodeDecodeError:
        raise _bad(f"{option} '{path}'", "it is not UTF-8 text") from None


def read_schema(path: str | Path, option: str = OPTION) -> RecordSchema:
    """`parse_schema` of a file.

    Raises:
        ParameterError: LS111, it cannot be read, or as `parse_schema`.
    """
    return parse_schema(schema_text(path, option), f"{option} '{path}'")


def parse_schema(text: str, source: str = OPTION) -> RecordSchema:
    """An Avro schema: one record of fields of the kinds in `column_types`, or of a union of one with null.

    Args:
        text: JSON.
        source: what an error is about: the option, and its value where that is known.

    Raises:
        ParameterError: LS111, it is no schema, or has a type or a limit that a field of a record cannot have.
    """
    import fastavro

    try:
        declared = json.loads(text)
    except ValueError:
        raise _bad(source, "it is not JSON") from None
    try:
        fastavro.parse_schema(declared)
    except Exception as error:
        raise _bad(source, f"it is no Avro schema ({type(error).__name__})") from None
    if not isinstance(declared, dict) or declared.get("type") != "record" or not declared.get("fields"):
        raise _bad(source, "it does not describe a record with fields")
    names: list[str] = []
    types: list[ColumnType] = []
    limits: list[Limits] = []
    for field in declared["fields"]:
        try:
            types.append(_type_of(field["type"]))
            limits.append(_limits_of(field, types[-1]))
        except ValueError as error:
            raise _bad(source, f"field '{field['name']}' {error}") from None
        name = field["name"]
        # What `write_schema` had to rename has its own name in `doc`.
        own = field.get("doc")
        names.append(own if isinstance(own, str) and avro_name(own, len(names)) == name else name)
    return RecordSchema(tuple(names), tuple(types), json.dumps(declared, ensure_ascii=False), tuple(limits))


def _limits_of(field: dict[str, Any], kind: ColumnType) -> Limits:
    pattern, least, most = field.get("pattern"), field.get("minimum"), field.get("maximum")
    if pattern is not None:
        if not isinstance(pattern, str):
            raise ValueError("has a pattern that is no text")
        try:
            parse(pattern)
        except ValueError as error:
            raise ValueError(f"has a pattern that cannot be used: {error}") from None
    for bound in (least, most):
        if bound is not None and (isinstance(bound, bool) or not isinstance(bound, int | float)):
            raise ValueError("has a minimum or maximum that is no number")
        if bound is not None and not kind.is_number:
            raise ValueError(f"has a minimum or maximum, but is of type {kind.kind}")
    if least is not None and most is not None and least > most:
        raise ValueError(f"has a minimum of {least} above its maximum of {most}: no number fits")
    return Limits(pattern, least, most)


def _type_of(declared: Any) -> ColumnType:
    """
    >>> _type_of(["null", {"type": "bytes", "logicalType": "decimal", "precision": 5, "scale": 2}])
    ColumnType(kind='decimal', nullable=True, precision=5, scale=2, unit='us', symbols=())
    """
    if isinstance(declared, list):
        others = [part for part in declared if part != "null"]
        if len(others) != 1 or len(others) == len(declared):
            raise ValueError("is a union of something other than null and one type")
        inner = _type_of(others[0])
        return ColumnType(inner.kind, True, inner.precision, inner.scale, inner.unit, inner.symbols)
    if isinstance(declared, str):
        declared = {"type": declared}
    kind, logical = declared.get("type"), declared.get("logicalType")
    if kind == "enum":
        return ColumnType("enum", symbols=tuple(declared["symbols"]))
    if logical == "decimal" and kind in ("bytes", "fixed"):
        precision, scale = declared["precision"], declared.get("scale", 0)
        if precision > _MAX_PRECISION:
            raise ValueError(f"is a decimal of {precision} digits; {_MAX_PRECISION} are the most")
        return ColumnType("decimal", precision=precision, scale=scale)
    if logical in _LOGICAL and _LOGICAL[logical][0] == kind:
        return _LOGICAL[logical][1]
    if logical is None and kind in _PRIMITIVE:
        return ColumnType(kind)
    raise ValueError(f"is of a type that is not supported ({logical or kind}); docs/generation.md lists those that are")


def infer_schema(fields: Sequence[dict[str, Any]], names: Iterable[str]) -> RecordSchema:
    """The types that all values of the training data have.

    Args:
        fields: the `fields` of statistics.json, one a column.
        names: of the columns.
    """
    return RecordSchema(tuple(names), tuple(_inferred(field) for field in fields))


def _inferred(field: dict[str, Any]) -> ColumnType:
    kinds, shapes = field.get("kinds", {}), field.get("shapes")
    if shapes is None:  # statistics of an earlier version
        return STRING
    filled = sum(number for kind, number in kinds.items() if kind != "empty")
    nullable = kinds.get("empty", 0) > 0
    if not filled:
        return STRING
    for shape in ("date", "timestamp", "local_timestamp", "boolean"):
        if shapes.get(shape, 0) == filled:
            return ColumnType(shape, nullable)
    if shapes.get("whole", 0) == filled:
        return ColumnType("long", nullable)
    return _inferred_number(field, filled, nullable)


def _inferred_number(field: dict[str, Any], filled: int, nullable: bool) -> ColumnType:
    shapes = field["shapes"]
    if shapes.get("whole", 0) + shapes.get("decimal", 0) == filled:
        digits, scale = field["whole_digits"], field["scale"]
        # Two digits of room before the point: a new record may be a little larger than all that were seen.
        for precision in (18, _MAX_PRECISION):
            if digits + scale + 2 <= precision:
                return ColumnType("decimal", nullable, precision, scale)
        return ColumnType("double", nullable)
    if shapes.get("whole", 0) + shapes.get("decimal", 0) + shapes.get("exponent", 0) == filled:
        return ColumnType("double", nullable)
    return STRING


def write_schema(path: str | Path, schema: RecordSchema) -> None:
    """Write a schema as an Avro schema file, atomically."""
    from linesmith.core.artifacts.files import write_json

    write_json(path, avro_record_schema(schema.names, schema.types))


def _bad(source: str, found: str) -> ParameterError:
    return ParameterError(f"LS111: {source}: {found}. Give an Avro schema (.avsc) of one record.", code="LS111")
