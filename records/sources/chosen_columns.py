"""Choose columns of a source by name: of structs what the chosen ones need."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace

from linesmith.core.errors import DataError
from linesmith.records.sources.source_projection import moved_node, projected_source
from linesmith.records.table_columns import TableColumn
from linesmith.records.table_format import TableFormat


def type_error(name: str, found: str) -> DataError:
    """Return the error for a column of the input that cannot be learned."""
    return DataError(
        "LS235",
        f"--input: column '{name}'",
        found,
        "Name the columns to learn with --columns, or change this one where the files are written.",
    )


def cut_column(name: str, describe: Callable[[], TableColumn]) -> TableColumn:
    """Return the description of a column that is not learned; one without values where its type cannot be written.

    Args:
        name: its name.
        describe: describes it, and raises a DataError for a type that cannot be learned.
    """
    try:
        return describe()
    except DataError:
        return no_values(name)


def no_values(name: str) -> TableColumn:
    """Return a column that can only be left out of an output."""
    return TableColumn(name, "null", arrow="null")


def is_wanted(name: str, wanted: Sequence[str] | None) -> bool:
    """Return whether a field, or one inside of it, is one of the columns to learn."""
    return wanted is None or any(column == name or column.startswith(f"{name}.") for column in wanted)


def checked_columns(table: TableFormat, wanted: Sequence[str] | None, names: Sequence[str]) -> TableFormat:
    """Return the table with the columns to learn.

    Args:
        table: it has a source.
        wanted: names of columns, in the order in which they are learned; None: all.
        names: of all fields of the source, for a message.

    Raises:
        DataError: LS235, two columns have one name, or there is no column of a name.
    """
    known = [column.name for column in table.columns]
    twice = next((name for name, count in Counter(known).items() if count > 1), None)
    if twice is not None:
        raise type_error(twice, "another column has this name")
    if wanted is None:
        return table
    unknown = next((name for name in wanted if name not in known), None)
    if unknown is not None:
        found, there = f"the input has no column '{unknown}'", dict.fromkeys([*known, *names])
        raise DataError("LS235", f"--columns '{','.join(wanted)}'", found, f"There are {', '.join(there)}.")
    kept = keep_columns(table, {number for number, name in enumerate(known) if name in wanted})
    return _in_order(kept, [[column.name for column in kept.columns].index(name) for name in wanted])


def _in_order(table: TableFormat, order: Sequence[int]) -> TableFormat:
    """Return the table with its columns in another order; the nodes keep theirs."""
    moved = {number: position for position, number in enumerate(order)}
    nodes = () if table.source is None else tuple(moved_node(node, moved) for node in table.source.nodes)
    columns = tuple(table.columns[number] for number in order)
    return replace(table, columns=columns, source=table.source and replace(table.source, nodes=nodes))


def keep_columns(table: TableFormat, keep: set[int]) -> TableFormat:
    """Return the table with the columns of some numbers (`linesmith.records.sources.source_projection`)."""
    if table.source is None:
        raise ValueError("a table without a source")
    source, numbers = projected_source(table.source, keep)
    return replace(table, columns=tuple(table.columns[number] for number in numbers), source=source)
