"""Columns of an output, as its manifest describes them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

_WORDS = {"string": "text", "enum": "text", "int": "whole number", "long": "whole number", "float": "number",
          "double": "number", "boolean": "true or false", "decimal": "decimal number", "date": "date",
          "timestamp": "point in time, UTC", "local-timestamp": "point in time", "null": "no value"}  # fmt: skip
_CROISSANT = {"int": "sc:Integer", "long": "sc:Integer", "float": "sc:Float", "double": "sc:Float", "decimal": "sc:Float",
              "boolean": "sc:Boolean", "date": "sc:Date", "timestamp": "sc:DateTime",
              "local-timestamp": "sc:DateTime"}  # fmt: skip


@dataclass(frozen=True)
class Column:
    """A column of an output.

    Attributes:
        name: its name.
        kind: its type: the Avro type, or the logical type without its unit.
        nullable: whether a value may be missing.
    """

    name: str
    kind: str
    nullable: bool

    @property
    def described(self) -> str:
        """The type in plain words."""
        return _WORDS.get(self.kind, self.kind)

    @property
    def croissant_type(self) -> str:
        """The type as Croissant names it."""
        return _CROISSANT.get(self.kind, "sc:Text")


def columns_of(manifest: Mapping[str, Any]) -> list[Column]:
    """Return the columns of an output.

    Args:
        manifest: that of the output; `types` has a name and an Avro type for each column.

    Example:
        >>> columns_of({"types": [{"name": "a", "type": ["null", {"type": "int", "logicalType": "date"}]}]})
        [Column(name='a', kind='date', nullable=True)]
    """
    found = []
    for described in manifest.get("types", []):
        avro: Any = described["type"]
        nullable = isinstance(avro, list) or avro == "null"
        kind: Any = next((one for one in avro if one != "null"), "null") if isinstance(avro, list) else avro
        if isinstance(kind, dict):
            kind = kind.get("logicalType", kind["type"])
        for unit in ("-millis", "-micros", "-nanos"):
            kind = kind.removesuffix(unit)
        found.append(Column(described["name"], kind, nullable))
    return found
