r"""Columns of a table as fields of a text record, and back: one reversible encoding per kind of value.

A table is learned as quoted CSV, one physical line per row. `TableColumn.encode` and `TableColumn.decode` are inverse to each
other for every value that the column can hold.

| kind      | value                                   | text                                                                  |
|-----------|-----------------------------------------|-----------------------------------------------------------------------|
| text      | str                                     | itself; \\ \n \r for backslash, newline, return; \e for no characters |
| integer   | int of `bits` bits                      | decimal digits                                                        |
| float     | float of `bits` bits                    | the shortest digits that are read back as it; nan, inf, -inf          |
| boolean   | bool                                    | true, false                                                           |
| decimal   | Decimal                                 | exactly `scale` digits after the point                                |
| date      | date                                    | 2016-10-31                                                            |
| time      | int: `unit`s since midnight             | 12:34:56, `digits` digits of a second                                 |
| timestamp | int: `unit`s since 1970-01-01 00:00     | 2016-10-31T12:34:56, `digits` digits of a second; Z if it has a zone; |
|           |                                         | 2016-10-31 alone where `digits` is None                               |
| binary    | bytes                                   | base64; \e for no bytes                                                |
| number    | int or float of JSON                    | digits of an int, or the shortest that are read back as the float     |
| json      | any value of JSON                       | JSON without spaces                                                   |
| null      | None                                    |                                                                       |

No value at all (null) is the empty text, in every kind. So it differs from the empty string, and from nan. In a column of JSON
whose key is left out in some objects, the empty text stands for that, and \0 for a null. A list of values is their texts, each
followed by a |, which is \p inside of them; [] is the list of none.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import Enum
from functools import cached_property
from typing import Any, Literal

from linesmith.records.table_texts import (
    DECODERS,
    ENCODERS,
    UNIT_DIGITS,
    escape_text,
    integer_range,
    unescape_text,
)

__all__ = ["OMITTED", "UNIT_DIGITS", "Kind", "TableColumn", "escape_text", "integer_range", "unescape_text"]

Kind = Literal[
    "text", "integer", "float", "boolean", "decimal", "date", "time", "timestamp", "binary", "number", "json", "null"
]
_NO_ITEMS = "[]"
_NULL = "\\0"  # of a column whose values may be left out, too


class Omitted(Enum):
    """The mark of a value that an object of JSON has no key for."""

    OMITTED = 0


OMITTED = Omitted.OMITTED


@dataclass(frozen=True)
class TableColumn:
    """A column of a table.

    Attributes:
        name: its name in the table.
        kind: kind of its values, see the table above.
        nullable: whether a value may be missing.
        bits: width of an integer or a float.
        signed: whether an integer may be negative.
        precision, scale: digits of a decimal, and how many of them are after the point.
        unit: of a time or a timestamp: s, ms, us or ns.
        digits: digits of a second in the text of a time or a timestamp; None: timestamps are midnights, written as dates.
        zoned: whether a timestamp is an instant; its text is then in UTC.
        categories: texts of the only values that it may have; None: any.
        arrow: its Arrow type, in the words of `linesmith.records.sources.arrow_types`.
        dtype: its type in the data frame that it came from, in the words of that frame's module; empty for Arrow.
        most_items: the largest number of items of a list, each a value as described; None: the values are no lists.
        list_arrow: Arrow type of the list: list, large_list or fixed_size_list.
        item_nullable: whether an item may be missing.
        omitted: whether the empty text stands for a key that is left out: never (it is null), always, or marked: a null has
            a text of its own.
    """

    name: str
    kind: Kind
    nullable: bool = True
    bits: int = 64
    signed: bool = True
    precision: int = 0
    scale: int = 0
    unit: str = "us"
    digits: int | None = 6
    zoned: bool = False
    categories: tuple[str, ...] | None = None
    arrow: str = ""
    dtype: str = ""
    most_items: int | None = None
    list_arrow: str = "list"
    item_nullable: bool = True
    omitted: Literal["never", "always", "marked"] = "never"

    def encode(self, value: Any) -> str:
        """Return the text of a value.

        Raises:
            ValueError: the column cannot hold the value. The message does not quote it.

        Example:
            >>> column = TableColumn("note", "text")
            >>> [column.encode(value) for value in ("a\\nb", "", None)]
            ['a\\\\nb', '\\\\e', '']
        """
        if value is None and self.omitted == "marked":
            return _NULL
        if value is None or value is OMITTED:
            if not self.nullable or value is not self._empty:
                raise ValueError("the column has no missing values")
            return ""
        if self.most_items is not None:
            return self._encode_items(value)
        try:
            text = ENCODERS[self.kind](self, value)
        except (TypeError, AttributeError, OverflowError, ArithmeticError):
            raise ValueError(f"not a value of kind {self.kind}") from None
        if self._category_set is not None and text not in self._category_set:
            raise ValueError("not one of the categories")
        return text

    def decode(self, text: str) -> Any:
        """Return the value of a text; None where there is none.

        Raises:
            ValueError: no value of the column has this text. The message does not quote it.

        Example:
            >>> TableColumn("day", "timestamp", digits=None).decode("1970-01-02"), TableColumn("n", "integer", bits=8).decode("7")
            (86400000000, 7)
        """
        if text == "":
            if not self.nullable:
                raise ValueError("the column has no missing values")
            return self._empty
        if text == _NULL and self.omitted == "marked":
            return None
        if self.most_items is not None:
            return [self.item.decode(item) for item in self.split_items(text) or ()]
        if self._category_set is not None and text not in self._category_set:
            raise ValueError("not one of the categories")
        return DECODERS[self.kind](self, text)

    @property
    def _empty(self) -> Omitted | None:
        """What the empty text stands for."""
        return None if self.omitted == "never" else OMITTED

    @cached_property
    def item(self) -> TableColumn:
        """The column of a list's items."""
        return replace(self, most_items=None, nullable=self.item_nullable, omitted="never")

    def _encode_items(self, value: Sequence[Any]) -> str:
        if isinstance(value, str) or not isinstance(value, Sequence):
            raise ValueError("not a list")
        return self.join_items([self.item.encode(item) for item in value])

    def join_items(self, texts: Sequence[str]) -> str:
        """Return the text of a list of the texts of its items.

        Raises:
            ValueError: the column has no list of so many.
        """
        if len(texts) > (self.most_items or 0):
            raise ValueError("a list of more items than the column has")
        return "".join(text.replace("|", "\\p") + "|" for text in texts) or _NO_ITEMS

    def split_items(self, text: str) -> list[str] | None:
        """Return the texts of the items of a list; None where there is no list.

        Raises:
            ValueError: no list of the column has this text.
        """
        if text == "" or (text == _NULL and self.omitted == "marked"):
            return None
        if text == _NO_ITEMS:
            return []
        *items, rest = text.split("|")
        if rest or len(items) > (self.most_items or 0):
            raise ValueError("not a list as it is written, or of more items than the column has")
        return [_without_bars(item) for item in items]

    @cached_property
    def _category_set(self) -> frozenset[str] | None:
        return None if self.categories is None else frozenset(self.categories)


def _without_bars(text: str) -> str:
    r"""Return the text of an item with | in place of \p. Pairs of backslashes are passed over."""
    return "\\\\".join(part.replace("\\p", "|") for part in text.split("\\\\"))
