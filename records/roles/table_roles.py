"""Roles of the columns of typed sources: which of them can be, and what a table is without the columns that are not learned."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass

from linesmith.core.config.key_pattern import KeyPattern
from linesmith.records.sources.shape import Node, is_absent
from linesmith.records.table_columns import TableColumn, escape_text, integer_range
from linesmith.records.table_format import TableFormat


def hollow_structs(table: TableFormat, names: Collection[str]) -> list[str]:
    """Return the names of the columns of presence of structs none of whose values would be left.

    Args:
        table: it has a source.
        names: columns, by their names in a header line, that are left out.
    """
    left_out = {number for number, name in enumerate(table.field_names) if name in names}
    found: list[str] = []

    def visit(nodes: Sequence[Node]) -> bool:
        """Note such structs; return whether all nodes are left out."""
        hollow = [visit(node.children) if node.column is None else node.column in left_out for node in nodes]
        found.extend(
            table.field_names[node.presence]
            for node, empty in zip(nodes, hollow, strict=True)
            if empty and node.presence is not None
        )
        return all(hollow)

    visit(() if table.source is None else table.source.nodes)
    return found


def optional_columns(table: TableFormat) -> set[int]:
    """Return the numbers of the columns inside of structs that may be missing."""

    def inside(nodes: Iterable[Node], optional: bool) -> Iterable[int]:
        for node in nodes:
            if node.column is not None:
                yield from [node.column] if optional else []
            else:
                may_be_missing = node.presence is not None or node.absence != "never"
                yield from inside(node.children, optional or may_be_missing)

    return set(inside(() if table.source is None else table.source.nodes, False))


def column_text(column: TableColumn, value: str) -> str:
    """Return the text of a value that is given as text: of texts the value itself, of other kinds how the column writes it.

    Raises:
        ValueError: the column cannot hold it. The message quotes no value.

    Example:
        >>> column_text(TableColumn("n", "integer", bits=8), "12"), column_text(TableColumn("t", "text"), "a\\nb")
        ('12', 'a\\\\nb')
    """
    text = escape_text(value) if column.kind == "text" and column.most_items is None else value
    column.decode(text)
    return text


def is_number_of_keys(column: TableColumn) -> bool:
    """Return whether the keys of a column are whole numbers."""
    if column.most_items is not None or column.categories is not None:
        return False
    return (column.kind == "integer" and column.arrow != "duration") or (column.kind == "decimal" and not column.scale)


def largest_key(column: TableColumn) -> int | None:
    """Return the largest whole number that a column of keys can hold; None where its keys are texts."""
    if not is_number_of_keys(column):
        return None
    if column.kind == "decimal":
        return int(10**column.precision) - 1
    return integer_range(column.bits, column.signed)[1]


def key_fault(column: TableColumn, pattern: KeyPattern | None = None) -> str | None:
    """Return why a column cannot hold keys; None if it can.

    Args:
        column: the column.
        pattern: of the keys; None: it is found out from the source.
    """
    if not is_number_of_keys(column):
        is_text = column.kind == "text" and column.most_items is None and column.categories is None
        return None if is_text else f"keys are texts or whole numbers, and the column holds {type_words(column)}"
    if pattern is None:
        return None
    limits = pattern.limits
    if limits is None:
        return f"the column holds {type_words(column)}, and the pattern describes texts; give one such as key:1..99999"
    low, high = integer_range(column.bits, column.signed)
    if column.kind == "decimal":
        low, high = 1 - 10**column.precision, 10**column.precision - 1
    return None if low <= limits[0] and limits[1] <= high else f"the column holds {type_words(column)} only"


def type_words(column: TableColumn) -> str:
    """Return what a column holds, for a message.

    Example:
        >>> type_words(TableColumn("n", "integer", arrow="int32")), type_words(TableColumn("d", "null", arrow="null"))
        ('values of type int32', 'values that can only be left out')
    """
    if column.kind == "null":
        return "values that can only be left out"
    from linesmith.records.sources.arrow_types import arrow_type

    return f"values of type {arrow_type(column)}"


@dataclass(frozen=True)
class OptionalStruct:
    """A struct that may be missing, and what stands in it beside the values that a model draws.

    Attributes:
        node: the struct, with the columns that are learned.
        columns: those columns, by their positions in what the model draws.
        filled: positions in the output of the other columns in the struct.
    """

    node: Node
    columns: Mapping[int, TableColumn]
    filled: tuple[int, ...]

    def is_missing(self, drawn: Sequence[str]) -> bool:
        """Return whether a record lacks the struct, by the fields that the model drew, without quotes."""
        values = {number: column.decode(drawn[number]) for number, column in self.columns.items()}
        return is_absent(self.node, values)  # type: ignore[arg-type]


def optional_structs(written: TableFormat, learned: TableFormat, filled: Collection[str]) -> tuple[OptionalStruct, ...]:
    """Return the structs that may be missing and hold columns that no model draws.

    Args:
        written: the columns of the output.
        learned: those that the model draws.
        filled: names in a header line of the columns that it does not draw.
    """
    positions = {number for number, name in enumerate(written.field_names) if name in filled}
    found: list[OptionalStruct] = []

    def visit(nodes: Iterable[Node], drawn: Iterable[Node]) -> None:
        by_name = {node.name: node for node in drawn}
        for node in nodes:
            known = by_name.get(node.name)
            if node.column is not None or known is None or known.column is not None:
                continue
            inside = tuple(sorted(positions.intersection(node.columns())))
            if inside and (known.presence is not None or known.absence != "never"):
                numbers = [known.presence] if known.presence is not None else list(known.columns())
                columns = {number: learned.columns[number] for number in numbers}
                found.append(OptionalStruct(known, columns, inside))
            visit(node.children, known.children)

    if written.source is not None and learned.source is not None:
        visit(written.source.nodes, learned.source.nodes)
    return tuple(found)
