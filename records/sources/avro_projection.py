"""Schemas of Avro files without some of their fields."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from linesmith.core.parsing import parse_json
from linesmith.records.sources.shape import Node


def projected_schema(declared: str, nodes: Sequence[Node]) -> str:
    """Return the schema of Avro rows with the fields of some nodes only.

    Args:
        declared: the schema of the files, as JSON.
        nodes: the fields that are left.

    Returns:
        The schema as JSON; empty where what is left needs a type that is declared in what is left out.

    Example:
        >>> schema = '{"type": "record", "name": "R", "fields": [{"name": "a", "type": "int"}, {"name": "b", "type": "int"}]}'
        >>> projected_schema(schema, [Node("b", 0)])
        '{"type": "record", "name": "R", "fields": [{"name": "b", "type": "int"}]}'
    """
    import fastavro

    try:
        schema = _projected(parse_json(declared), nodes)
        fastavro.parse_schema(json.loads(json.dumps(schema)))
    except (fastavro.schema.SchemaParseException, fastavro.schema.UnknownType, KeyError):
        return ""
    return json.dumps(schema, ensure_ascii=False)


def _projected(record: Mapping[str, Any], nodes: Sequence[Node]) -> dict[str, Any]:
    wanted = {node.name: node for node in nodes}
    fields = [
        {**field, "type": _projected_type(field["type"], wanted[field["name"]])}
        for field in record["fields"]
        if field["name"] in wanted
    ]
    return {**record, "fields": fields}


def _projected_type(declared: Any, node: Node) -> Any:
    """Return the type of a field.

    Raises:
        KeyError: it is a record that is declared elsewhere, and may need other fields there.
    """
    if node.column is not None:
        return declared
    if isinstance(declared, list):
        return [part if part == "null" else _projected_type(part, node) for part in declared]
    if not isinstance(declared, dict):
        raise KeyError(declared)
    return _projected(declared, node.children)
