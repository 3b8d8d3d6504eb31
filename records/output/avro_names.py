"""Avro's names and record schemas: names are made fit where Avro does not allow them, and their own stand in `doc`.

Avro allows only letters, digits and underscores. Names that would meet get a number: `a`, `a_2`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import Any

from linesmith.records.output.column_types import ColumnType


def avro_record_schema(names: Sequence[str], types: Sequence[ColumnType]) -> dict[str, Any]:
    """An Avro record; names that Avro does not allow are made fit, and stand in `doc`."""
    fit = distinct([avro_name(name, number) for number, name in enumerate(names)])
    fields = []
    for avro, name, kind in zip(fit, names, types, strict=True):
        fields.append({"name": avro, "type": _avro_type(avro, kind), **({} if avro == name else {"doc": name})})
    return {"type": "record", "name": "Record", "namespace": "linesmith", "fields": fields}


def _avro_type(name: str, kind: ColumnType) -> Any:
    if kind.kind != "enum":
        return kind.avro
    plain = {"type": "enum", "name": f"{name}_values", "symbols": list(kind.symbols)}
    return ["null", plain] if kind.nullable else plain


def avro_name(name: str, number: int) -> str:
    """A name that Avro allows.

    Example:
        >>> avro_name("2nd field", 1), avro_name("", 3)
        ('_2nd_field', 'field_3')
    """
    fit = re.sub(r"[^A-Za-z0-9_]", "_", name)
    if not fit.strip("_"):
        return f"field_{number}"
    return f"_{fit}" if fit[0].isdigit() else fit


def distinct(names: Iterable[str]) -> tuple[str, ...]:
    """The names with a number added to each that is already taken, by an earlier or a later name of the list."""
    given = list(names)
    taken = set(given)
    seen: set[str] = set()
    result = []
    for name in given:
        unique, number = name, 2
        while unique in seen or (unique != name and unique in taken):
            unique, number = f"{name}_{number}", number + 1
        seen.add(unique)
        result.append(unique)
    return tuple(result)
