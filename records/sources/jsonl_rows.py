"""Rows of JSON Lines: objects with any keys, whose columns and types are found out from all of them."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from typing import Any

from linesmith.core.config.input_format import JSONL
from linesmith.core.errors import DataError
from linesmith.core.parsing import KEY_TWICE, TOO_DEEP, DocumentError, parse_json
from linesmith.records.input.record_format import EMPTY, ENCODING, TOO_LONG
from linesmith.records.sources.arrow_rows import SchemaColumns
from linesmith.records.sources.chosen_columns import checked_columns, no_values
from linesmith.records.sources.object_rows import RowError, object_texts
from linesmith.records.sources.rows import VALUE, SourceRow
from linesmith.records.sources.shape import PRESENT, Absence, Node, TableSource
from linesmith.records.table_columns import Kind, TableColumn
from linesmith.records.table_format import TableFormat

MOST_BYTES = 10 << 20  # of a row
NOT_JSON, NO_OBJECT, DEPTH, DUPLICATE = "not_json", "no_object", "too_deep", "duplicate_key"
_MOST_KEYS = 1000  # of an object inside a row: more are data, not names
MOST_ROOT_KEYS = 10_001  # one more than can be learned
_MOST_ITEMS = 1000
_LONG = 1 << 63
_REASONS = {TOO_DEEP: DEPTH, KEY_TWICE: DUPLICATE}
_ARROW = {
    "text": "string",
    "integer": "int64",
    "float": "double",
    "number": "double",
    "boolean": "bool",
    "null": "null",
}


def parse_row(content: bytes, length: int) -> tuple[dict[str, Any] | None, str]:
    """Return the object of a line and an empty text, or None and the reason why the line is rejected.

    Args:
        content: the line, or its beginning.
        length: bytes of the whole line.
    """
    if length > MOST_BYTES:
        return None, TOO_LONG
    try:
        text = content.decode("utf-8").strip(" \t\r")
    except UnicodeError:
        return None, ENCODING
    if not text:
        return None, EMPTY
    try:
        row = parse_json(text, strict=True)
    except DocumentError as error:
        return None, _REASONS.get(str(error), NOT_JSON)
    return (row, "") if isinstance(row, dict) else (None, NO_OBJECT)


def jsonl_row(table: TableFormat, position: int, content: bytes, length: int) -> SourceRow:
    """Return the row of a line.

    Args:
        table: how values are written.
        position: byte at which the line begins.
        content: the line, or its beginning.
        length: bytes of the whole line.
    """
    row, reason = parse_row(content, length)
    if row is None:
        return SourceRow(position, None, reason, content, length)
    try:
        return SourceRow(position, object_texts(table, row))
    except RowError as error:
        return SourceRow(position, None, f"{VALUE}:{error.column}", content, length)


@dataclass
class JsonFacts:
    """What is known of the values at one place in the rows. Facts of parts of the input are merged in the order of the input.

    Attributes:
        count: how often there is a value, null included.
        kinds: kinds of the values: null, boolean, integer, float, text, object, list, other.
        items: kinds of the items of lists.
        longest: most items of a list.
        hollow: an object is there that holds nothing but nulls and such objects.
        children: the places in objects, by key, in the order of the first object that has them.
    """

    count: int = 0
    kinds: dict[str, int] = field(default_factory=dict)
    items: dict[str, int] = field(default_factory=dict)
    longest: int = 0
    hollow: bool = False
    children: dict[str, JsonFacts] = field(default_factory=dict)

    def add(self, value: Any, most_keys: int = _MOST_KEYS, cut: Collection[str] = (), above: str = "") -> int:
        """Add a value; return how many values that are neither null nor objects are in it.

        Args:
            value: the value.
            most_keys: of an object.
            cut: names of places of which nothing but the kinds of their values is noted, and which count as nothing.
            above: what precedes a key of the value in the names of places.
        """
        self.count += 1
        kind = _kind(value)
        if kind == "object" and len(self.children.keys() | value.keys()) > most_keys:
            kind = "other"
            self.children.clear()
        if kind == "list":
            self.longest = max(self.longest, len(value))
            for item in value:
                _increase(self.items, _kind(item))
        _increase(self.kinds, kind)
        if kind != "object" or "other" in self.kinds:
            return int(kind != "null")  # the null may stand for an object
        filled = 0
        previous: str | None = None
        for key, inner in value.items():
            if key not in self.children:
                self._insert(key, JsonFacts(), previous)
            place = self.children[key]
            if not cut:
                filled += place.add(inner)
            elif (name := above + key) in cut:
                place.count += 1
                _increase(place.kinds, _kind(inner))
            else:
                filled += place.add(inner, cut=cut, above=f"{name}.")
            previous = key
        self.hollow |= not filled
        return filled

    def _insert(self, key: str, facts: JsonFacts, previous: str | None) -> None:
        """Insert a key after another one; at the beginning where that is None."""
        if (previous is None and not self.children) or previous == next(reversed(self.children), None):
            self.children[key] = facts
            return
        ordered = list(self.children.items())
        position = 0 if previous is None else list(self.children).index(previous) + 1
        self.children = dict([*ordered[:position], (key, facts), *ordered[position:]])

    def merge(self, other: JsonFacts) -> None:
        """Add the facts of the rows that follow."""
        self.count += other.count
        self.longest = max(self.longest, other.longest)
        self.hollow |= other.hollow
        for mine, theirs in ((self.kinds, other.kinds), (self.items, other.items)):
            for kind, number in theirs.items():
                mine[kind] = mine.get(kind, 0) + number
        previous = None
        for key, facts in other.children.items():
            if key in self.children:
                self.children[key].merge(facts)
            else:
                self._insert(key, facts, previous)
            previous = key
        if "other" in self.kinds:
            self.children.clear()

    def as_json(self) -> dict[str, Any]:
        """Return plain JSON, which `from_json` reads."""
        plain = {
            "count": self.count,
            "kinds": self.kinds,
            "items": self.items,
            "longest": self.longest,
            "hollow": self.hollow,
        }
        return {**plain, "children": [[key, facts.as_json()] for key, facts in self.children.items()]}

    @classmethod
    def from_json(cls, plain: dict[str, Any]) -> JsonFacts:
        """Return the facts that `as_json` described."""
        children = {key: cls.from_json(facts) for key, facts in plain["children"]}
        return cls(**{**plain, "children": children})


def _increase(counts: dict[str, int], kind: str) -> None:
    counts[kind] = counts.get(kind, 0) + 1


def _kind(value: Any) -> str:
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "boolean"
    if isinstance(value, int):
        return "integer" if -_LONG <= value < _LONG else "other"
    if isinstance(value, list):
        scalar = all(not isinstance(item, dict | list) and _kind(item) != "other" for item in value)
        return "list" if scalar and len(value) <= _MOST_ITEMS else "other"
    return {float: "float", str: "text", dict: "object"}[type(value)]


def jsonl_table(facts: JsonFacts, wanted: Sequence[str] | None = None, cut: Collection[str] = ()) -> TableFormat:
    """Return how the rows of JSON Lines become records.

    Args:
        facts: of all rows.
        wanted: names of the columns to learn; None: all.
        cut: names of columns, or of objects in the rows, that are not learned.

    Raises:
        DataError: LS235, `wanted` names none that is there, two places have one name, or there is none.
    """
    if not facts.children:
        raise DataError("LS235", "--input", "its objects have no keys, or no end of them", "Give --input-format text.")
    columns = SchemaColumns(wanted is None, cut)
    nodes = tuple(_node(key, place, (), facts.count, facts.count, columns) for key, place in facts.children.items())
    table = TableFormat("arrow", tuple(columns.found), TableSource(JSONL, nodes))
    return checked_columns(table, wanted, list(facts.children))


def _node(key: str, facts: JsonFacts, above: tuple[str, ...], rows: int, parents: int, columns: SchemaColumns) -> Node:
    """Return the node of a place, and append the columns of its values.

    Args:
        key: its key.
        facts: of its values.
        above: keys of the objects that it is in.
        rows: number of all rows.
        parents: number of the objects that it can be in.
        columns: of the table so far.
    """
    path = (*above, key)
    number = len(columns.found)
    if ".".join(path) in columns.cut:
        columns.found.append(_cut_column(".".join(path), facts))
        return Node(key, number)
    nulls = facts.kinds.get("null", 0)
    kinds = set(facts.kinds) - {"null"}
    omitted = "never" if facts.count == rows else "marked" if nulls else "always"
    if kinds != {"object"}:
        column = _column(".".join(path), facts, kinds)
        missing = nulls > 0 or omitted != "never"
        columns.found.append(TableColumn(**{**column, "nullable": missing, "omitted": omitted}))
        return Node(key, number, missing)
    objects = facts.kinds["object"]
    absent = rows - objects
    # Where it is left out because its parent is, the parent says so.
    left_out = parents - facts.count
    absence: Absence = "never" if absent == 0 else "omitted" if left_out or not nulls else "object"
    needs_presence = columns.marks and absent > 0 and (facts.hollow or (nulls > 0 and left_out > 0))
    if needs_presence:
        columns.found.append(
            TableColumn(".".join(path), "text", categories=(PRESENT,), arrow="string", omitted=omitted)  # type: ignore[arg-type]
        )
    children = tuple(_node(name, inner, path, rows, objects, columns) for name, inner in facts.children.items())
    return Node(
        key, None, absent > 0, children, number if needs_presence else None, "never" if needs_presence else absence
    )


def _cut_column(name: str, facts: JsonFacts) -> TableColumn:
    """Return the column of a place that is not learned: of plain values, texts where their kinds differ."""
    kinds = set(facts.kinds) - {"null"}
    if kinds & {"object", "list"}:
        return no_values(name)
    kind = _scalar_kind(kinds)
    kind = "text" if kind in ("json", "null") else kind
    return TableColumn(name, kind, arrow=_ARROW[kind], omitted="always")


def _column(name: str, facts: JsonFacts, kinds: set[str]) -> dict[str, Any]:
    """Return the attributes of a column of values, except for what may be missing."""
    described: dict[str, Any] = {"name": name}
    if kinds == {"list"}:
        items = set(facts.items) - {"null"}
        kind = _scalar_kind(items) if items else "text"
        if kind not in ("json", "null"):
            described |= {"most_items": facts.longest, "item_nullable": "null" in facts.items}
            return {**described, "kind": kind, "arrow": _ARROW[kind]}
        kind = "json"
    else:
        kind = _scalar_kind(kinds)
    return {**described, "kind": kind, "arrow": _ARROW.get(kind, "string")}


def _scalar_kind(kinds: set[str]) -> Kind:
    if not kinds:
        return "null"
    if kinds == {"integer", "float"}:
        return "number"
    only = next(iter(kinds)) if len(kinds) == 1 else ""
    known: dict[str, Kind] = {"boolean": "boolean", "integer": "integer", "float": "float", "text": "text"}
    return known.get(only, "json")
