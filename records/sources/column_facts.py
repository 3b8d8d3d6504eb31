"""What the values of a source's columns need, found out over all of its rows: whether any are missing, digits, items, categories.

Facts of parts of the input are merged in any order. Their memory is bounded.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import TYPE_CHECKING, Any

from linesmith.records.sources.arrow_rows import column_arrays
from linesmith.records.sources.arrow_texts import encode_texts
from linesmith.records.sources.arrow_types import MIDNIGHTS, needed_digits
from linesmith.records.sources.chosen_columns import keep_columns
from linesmith.records.sources.shape import PRESENT, Node
from linesmith.records.table_columns import UNIT_DIGITS, TableColumn
from linesmith.records.table_format import TableFormat

if TYPE_CHECKING:
    import pyarrow as pa

_MOST_CATEGORIES = 1000
_MOST_ITEMS = 10_000  # of a list that can be learned


@dataclass
class ColumnFacts:
    """Facts of a column.

    Attributes:
        nulls: whether a value is missing; of a column of presence, whether its struct is.
        digits: most digits of a second that a value needs, as `needed_digits` has them; None: there is no value.
        items: most items of a list.
        categories: texts of a dictionary's values; None: too many.
        ambiguous: of a column of presence: a struct is there, and all of its values are missing.
    """

    nulls: bool = False
    digits: int | None = None
    items: int = 0
    categories: list[str] | None = field(default_factory=list)
    ambiguous: bool = False

    def merge(self, other: ColumnFacts) -> None:
        """Add the facts of other rows."""
        self.nulls |= other.nulls
        self.ambiguous |= other.ambiguous
        self.items = max(self.items, other.items)
        if other.digits is not None:
            self.digits = other.digits if self.digits is None else max(self.digits, other.digits)
        if self.categories is not None:
            found = None if other.categories is None else sorted({*self.categories, *other.categories})
            self.categories = None if found is None or len(found) > _MOST_CATEGORIES else found


class SourceFacts:
    """Facts of all columns of a table.

    Args:
        columns: one per column.
    """

    def __init__(self, columns: Sequence[ColumnFacts]) -> None:
        self.columns = list(columns)

    @classmethod
    def empty(cls, table: TableFormat) -> SourceFacts:
        """Return the facts of no rows."""
        return cls([ColumnFacts() for _ in table.columns])

    def merge(self, other: SourceFacts) -> None:
        """Add the facts of other rows."""
        for mine, theirs in zip(self.columns, other.columns, strict=True):
            mine.merge(theirs)

    def add_batch(self, table: TableFormat, batch: pa.RecordBatch) -> None:
        """Add the rows of a batch whose columns have the order of the source's nodes."""
        nodes = () if table.source is None else table.source.nodes
        for number, array in column_arrays(nodes, batch.columns):
            self.columns[number].merge(_facts(table.columns[number], array))
        for node, array in zip(nodes, batch.columns, strict=True):
            self._add_structs(table, node, array)

    def _add_structs(self, table: TableFormat, node: Node, array: pa.Array) -> None:
        import pyarrow.compute as pc

        if node.column is not None:
            return
        children = array.flatten() if node.children else []
        if node.presence is not None and array.null_count < len(array):
            empty = array.is_valid()
            for number, values in column_arrays(node.children, children):
                if table.columns[number].categories == (PRESENT,):
                    continue  # it may not be needed in the end
                empty = pc.and_(empty, values.is_null())
            self.columns[node.presence].ambiguous |= bool(pc.any(empty).as_py())
        for child, values in zip(node.children, children, strict=True):
            self._add_structs(table, child, values)

    def add_object(self, table: TableFormat, row: Mapping[str, Any]) -> None:
        """Add a row of Avro, with values as `TableColumn.encode` takes them."""
        self._add_fields(() if table.source is None else table.source.nodes, table.columns, row)

    def _add_fields(self, nodes: Sequence[Node], columns: Sequence[TableColumn], row: Mapping[str, Any] | None) -> bool:
        """Add the fields of a struct, None for one that is missing; return whether all of its values are."""
        hollow = True
        for node in nodes:
            value = None if row is None else row[node.name]
            if node.column is not None:
                hollow &= value is None
                self._add_value(node.column, columns[node.column], value)
                continue
            empty = self._add_fields(node.children, columns, value)
            hollow &= empty
            if node.presence is not None:
                self.columns[node.presence].nulls |= value is None
                self.columns[node.presence].ambiguous |= value is not None and empty
        return hollow

    def _add_value(self, number: int, column: TableColumn, value: Any) -> None:
        facts = self.columns[number]
        if value is None:
            facts.nulls = True
        elif column.most_items is not None:
            facts.items = max(facts.items, len(value))
            for item in value:
                if item is not None:
                    self._add_value(number, column.item, item)
        elif column.kind in ("time", "timestamp"):
            digits = _digits(column, value)
            facts.digits = digits if facts.digits is None else max(facts.digits, digits)

    def as_json(self) -> list[dict[str, Any]]:
        """Return plain JSON, which `from_json` reads."""
        return [asdict(column) for column in self.columns]

    @classmethod
    def from_json(cls, plain: Iterable[dict[str, Any]]) -> SourceFacts:
        """Return the facts that `as_json` described."""
        return cls([ColumnFacts(**column) for column in plain])


def _digits(column: TableColumn, ticks: int) -> int:
    """Return the fewest digits of a second that a time needs, as `needed_digits` does."""
    full = UNIT_DIGITS[column.unit]
    if column.kind == "timestamp" and not column.zoned and ticks % (86_400 * 10**full) == 0:
        return MIDNIGHTS
    return next(digits for digits in (0, 3, 6, 9) if digits >= full or ticks % 10 ** (full - digits) == 0)


def _facts(column: TableColumn, array: pa.Array) -> ColumnFacts:
    import pyarrow as pa
    import pyarrow.compute as pc

    facts = ColumnFacts(nulls=array.null_count > 0)
    if column.most_items is not None:
        facts.items = pc.max(pc.list_value_length(array)).as_py() or 0
        array, column = array.flatten(), column.item
    if column.kind in ("time", "timestamp"):
        facts.digits = needed_digits(column, array)
    if pa.types.is_dictionary(array.type) and column.arrow.startswith("dictionary "):
        used = array.dictionary.take(pc.unique(array.indices).drop_null())
        texts = encode_texts(replace(column, nullable=True), used) if len(used) <= _MOST_CATEGORIES else None
        facts.categories = None if texts is None else sorted(set(texts) - {""})
    return facts


def refine(table: TableFormat, facts: SourceFacts, learned: TableFormat | None = None) -> TableFormat:
    """Return the table with what its rows need, and no more.

    Args:
        table: as the schema describes it.
        facts: of all rows.
        learned: the table without columns of which nothing is to be known, if the facts are of its columns; None: they are of
            all columns.
    """
    if table.source is None:
        return table
    known = {column.name: found for column, found in zip((learned or table).columns, facts.columns, strict=True)}
    columns = tuple(
        _refined(column, known[column.name]) if column.name in known else column for column in table.columns
    )
    numbered = {number: known[column.name] for number, column in enumerate(table.columns) if column.name in known}
    nodes = tuple(_without_presence(node, numbered) for node in table.source.nodes)
    kept = replace(table, columns=columns, source=replace(table.source, nodes=nodes))
    return keep_columns(kept, {number for node in nodes for number in node.columns()})


def _refined(column: TableColumn, facts: ColumnFacts) -> TableColumn:
    changes: dict[str, Any] = {"nullable": facts.nulls}
    if facts.digits is not None:
        changes["digits"] = None if facts.digits == MIDNIGHTS else facts.digits
    if column.most_items is not None:
        changes["most_items"] = min(facts.items, _MOST_ITEMS)
    elif column.arrow.startswith("dictionary ") and facts.categories:
        changes["categories"] = tuple(facts.categories)
    return replace(column, **changes)


def _without_presence(node: Node, facts: Mapping[int, ColumnFacts]) -> Node:
    """Return a node without the columns of presence that nothing needs.

    Args:
        node: the node.
        facts: of columns by number, those of columns of presence among them.
    """
    children = tuple(_without_presence(child, facts) for child in node.children)
    found = None if node.presence is None else facts.get(node.presence)
    if found is None:  # there is no such column, or all of the struct is left out
        return replace(node, children=children)
    if found.nulls and found.ambiguous:
        return replace(node, children=children)
    return replace(node, children=children, presence=None, absence="null" if found.nulls else "never")
