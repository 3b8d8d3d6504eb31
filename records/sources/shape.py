"""The shape of a source: its format, and how the columns of a table format are nested in its rows."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, get_args

from linesmith.core.config.input_format import InputFormat
from linesmith.core.parsing import MAX_DEPTH, parse_json
from linesmith.records.table_columns import OMITTED, TableColumn

Absence = Literal["never", "null", "omitted", "object"]
PRESENT = "{}"  # text of the column that says that a struct is there


@dataclass(frozen=True)
class Node:
    """A field of a source's rows.

    Attributes:
        name: its name among its neighbors.
        column: number of the column that holds its value; None: it is a struct, an object of fields.
        nullable: whether the source's schema allows a null.
        children: the fields of a struct.
        presence: number of the column that says whether a struct is there; None: `absence` says it.
        absence: what it means that all values of a struct are missing, where no column says it: never (that they are), a null
            in place of the struct, or that it is left out. In objects of JSON, whose values are left out where they are missing
            (null is a value), object is the word for a null in place of the struct.
    """

    name: str
    column: int | None = None
    nullable: bool = True
    children: tuple[Node, ...] = ()
    presence: int | None = None
    absence: Absence = "never"

    def columns(self) -> Iterator[int]:
        """Yield the numbers of the columns of this field and of those inside of it."""
        if self.presence is not None:
            yield self.presence
        if self.column is not None:
            yield self.column
        for child in self.children:
            yield from child.columns()


@dataclass(frozen=True)
class TableSource:
    """What a table was read from.

    Attributes:
        format_name: its format.
        nodes: the fields of its rows, in order.
        avro_schema: the schema of Avro files, as JSON; empty for other formats.
        delimiter: what separates the fields of a record.
    """

    format_name: InputFormat
    nodes: tuple[Node, ...]
    avro_schema: str = ""
    delimiter: str = ","

    @property
    def is_nested(self) -> bool:
        """Whether a row has structs."""
        return any(node.column is None for node in self.nodes)

    def as_dict(self) -> dict[str, Any]:
        """Return plain JSON types, which `parse_source` reads."""
        described: dict[str, Any] = {"format": self.format_name, "nodes": [_described(node) for node in self.nodes]}
        if self.avro_schema:
            described["avro_schema"] = self.avro_schema
        return described if self.delimiter == "," else {**described, "delimiter": self.delimiter}


def row_object(nodes: Sequence[Node], values: Sequence[Any]) -> dict[str, Any]:
    """Return a row as nested dictionaries.

    Args:
        nodes: its fields.
        values: of all columns, as `TableColumn.decode` returns them.

    Example:
        >>> geo = Node("geo", children=(Node("lat", 0), Node("lon", 1)), absence="null")
        >>> row_object([geo, Node("n", 2)], [None, None, 5]), row_object([geo], [1.5, OMITTED])
        ({'geo': None, 'n': 5}, {'geo': {'lat': 1.5}})
    """
    row: dict[str, Any] = {}
    for node in nodes:
        value = values[node.column] if node.column is not None else _struct(node, values)
        if value is not OMITTED:
            row[node.name] = value
    return row


def _struct(node: Node, values: Sequence[Any]) -> Any:
    if is_absent(node, values):
        if node.presence is not None:
            return values[node.presence]
        return OMITTED if node.absence == "omitted" else None
    return row_object(node.children, values)


def is_absent(node: Node, values: Sequence[Any]) -> bool:
    """Return whether a struct is missing from a row, by the values of the columns."""
    if node.presence is not None:
        return values[node.presence] is None or values[node.presence] is OMITTED
    missing = None if node.absence == "null" else OMITTED
    return node.absence != "never" and all(values[number] is missing for number in node.columns())


def source_fault(nodes: Sequence[Node], columns: Sequence[TableColumn], values: Sequence[Any]) -> int | None:
    """Return the number of the first column that lacks a value which the schema demands; None where there is none.

    A column inside of a struct that may be missing allows a missing value, even if the struct does not where it is there.
    """
    for node in nodes:
        if node.column is not None:
            if values[node.column] is None and not node.nullable:
                return node.column
        elif is_absent(node, values):
            given = [
                number for number in node.columns() if values[number] is not None and values[number] is not OMITTED
            ]
            if given:
                return given[0]
        elif (found := source_fault(node.children, columns, values)) is not None:
            return found
    return None


def _described(node: Node) -> dict[str, Any]:
    described: dict[str, Any] = {"name": node.name}
    if node.column is not None:
        described["column"] = node.column
    else:
        described |= {"children": [_described(child) for child in node.children], "absence": node.absence}
    if node.presence is not None:
        described["presence"] = node.presence
    return described if node.nullable else {**described, "nullable": False}


def parse_source(described: Mapping[str, Any], columns: int) -> TableSource:
    """Return the source that `TableSource.as_dict` described. Whoever wrote the description may have written anything.

    Args:
        described: the description.
        columns: number of the table's columns.

    Raises:
        ValueError, TypeError, KeyError, AttributeError: it is none.
    """
    nodes = tuple(_parse_node(node, 0) for node in described["nodes"])
    source = TableSource(described["format"], nodes, described.get("avro_schema", ""), described.get("delimiter", ","))
    if source.format_name not in get_args(InputFormat) or not isinstance(source.avro_schema, str):
        raise ValueError("no format of a source")
    if source.avro_schema and not isinstance(parse_json(source.avro_schema)["fields"], list):
        raise ValueError("no schema of a record")
    if not isinstance(source.delimiter, str) or len(source.delimiter) != 1 or source.delimiter in "\n\r":
        raise ValueError("no delimiter of one character")
    if sorted(number for node in nodes for number in node.columns()) != list(range(columns)):
        raise ValueError("not every column has one place in a row")
    return source


def _parse_node(described: Mapping[str, Any], depth: int) -> Node:
    children = tuple(_parse_node(child, depth + 1) for child in described.get("children", ()))
    node = Node(
        described["name"],
        described.get("column"),
        described.get("nullable", True),
        children,
        described.get("presence"),
        described.get("absence", "never"),
    )
    numbers = [number for number in (node.column, node.presence) if number is not None]
    if depth > MAX_DEPTH or not isinstance(node.name, str) or type(node.nullable) is not bool:
        raise TypeError("no field of a row")
    if not all(type(number) is int for number in numbers) or node.absence not in get_args(Absence):
        raise TypeError("no field of a row")
    if (node.column is None) != bool(children):
        raise ValueError("neither a value nor a struct")
    return node
