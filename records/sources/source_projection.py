"""Sources with some of their columns: their nodes, and the schemas of Avro files without the fields that are left out."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from linesmith.core.parsing import parse_json
from linesmith.records.sources.shape import Node, TableSource


def projected_source(source: TableSource, keep: set[int]) -> tuple[TableSource, list[int]]:
    """Return a source with some of its columns, and the numbers of those, in order.

    A struct of which the column of presence alone is kept has no fields then; one without that column is missing where all of its
    values are.

    Args:
        source: the source.
        keep: numbers of the columns.
    """
    nodes = tuple(_kept(source.nodes, keep))
    numbers = sorted(number for node in nodes for number in node.columns())
    moved = {number: position for position, number in enumerate(numbers)}
    declared = source.avro_schema
    if declared and _leaves(nodes) < _leaves(source.nodes):
        declared = projected_schema(declared, nodes)
    return replace(source, nodes=tuple(moved_node(node, moved) for node in nodes), avro_schema=declared), numbers


def _leaves(nodes: Sequence[Node]) -> int:
    return sum(_leaves(node.children) if node.column is None else 1 for node in nodes)


def _kept(nodes: Sequence[Node], keep: set[int]) -> list[Node]:
    kept = []
    for node in nodes:
        if node.column is not None:
            kept += [node] if node.column in keep else []
        elif (children := _kept(node.children, keep)) or node.presence in keep:
            kept.append(_with_presence(replace(node, children=tuple(children)), keep))
    return kept


def _with_presence(node: Node, keep: set[int]) -> Node:
    """Return a struct without its column of presence, if that is not kept."""
    if node.presence is None or node.presence in keep:
        return node
    return replace(node, presence=None, absence="null")


def moved_node(node: Node, moved: dict[int, int]) -> Node:
    """Return a node with other numbers of its columns."""
    changes: dict[str, Any] = {"children": tuple(moved_node(child, moved) for child in node.children)}
    if node.column is not None:
        changes["column"] = moved[node.column]
    if node.presence is not None:
        changes["presence"] = moved[node.presence]
    return replace(node, **changes)


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
