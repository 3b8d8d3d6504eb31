"""Names and record schemas of Avro, which allows only letters, digits and underscores in names.

Other names are adapted, and `doc` holds the original. Names that would be equal get a number: `a`, `a_2`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import Any

from linesmith.records.output.column_types import ColumnType


def avro_record_schema(names: Sequence[str], types: Sequence[ColumnType]) -> dict[str, Any]:
    """Return the schema of an Avro record with the given columns."""
    avro_names = unique_avro_names(names)
    fields = []
    for avro, name, column_type in zip(avro_names, names, types, strict=True):
        fields.append({"name": avro, "type": _avro_type(avro, column_type), **({} if avro == name else {"doc": name})})
    return {"type": "record", "name": "Record", "namespace": "linesmith", "fields": fields}


def _avro_type(name: str, column_type: ColumnType) -> Any:
    if column_type.type_name != "enum":
        return column_type.avro
    plain = {"type": "enum", "name": f"{name}_values", "symbols": list(column_type.symbols)}
    return ["null", plain] if column_type.nullable else plain


def avro_name(name: str, number: int) -> str:
    """Return a name that Avro allows.

    Args:
        name: the name of a column.
        number: its number, used if the name holds no letter or digit at all.

    Example:
        >>> avro_name("2nd field", 1), avro_name("", 3)
        ('_2nd_field', 'field_3')
    """
    allowed = re.sub(r"[^A-Za-z0-9_]", "_", name)
    if not allowed.strip("_"):
        return f"field_{number}"
    return f"_{allowed}" if allowed[0].isdigit() else allowed


def unique_avro_names(names: Iterable[str]) -> tuple[str, ...]:
    """Return the names of columns as they are in Avro files.

    Example:
        >>> unique_avro_names(["a b", "a_b"])
        ('a_b', 'a_b_2')
    """
    return unique_names([avro_name(name, number) for number, name in enumerate(names)])


def unique_names(names: Iterable[str]) -> tuple[str, ...]:
    """Return the names, with a number added to each that repeats an earlier one; no added number gives a name of the list."""
    names = list(names)
    taken = set(names)
    seen: set[str] = set()
    result = []
    for name in names:
        unique, number = name, 2
        while unique in seen or (unique != name and unique in taken):
            unique, number = f"{name}_{number}", number + 1
        seen.add(unique)
        result.append(unique)
    return tuple(result)
