"""Elements of a pipeline as requests for records. The number of a record is taken from the element, never from where it is."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, get_args, get_origin

from apache_beam.typehints import typehints
from apache_beam.typehints.native_type_compatibility import convert_to_beam_type
from apache_beam.typehints.row_type import RowTypeConstraint

from linesmith.api.requests import condition_texts
from linesmith.core.config.setting_field import shortened
from linesmith.core.errors import ParameterError
from linesmith.model.generation.requests.requested_records import Given, RecordRequest, RequestKind
from linesmith.records.input.value_text import plain_text
from linesmith.records.table_format import TableFormat

LAST_NUMBER = 1 << 62  # after the largest number of a record
_SEED_FIELD = "start_string"


@dataclass(frozen=True)
class ElementReader:
    """Reader of elements.

    | kind       | elements                                                                      |
    |------------|-------------------------------------------------------------------------------|
    | numbers    | a whole number                                                                |
    | seeds      | a start string, alone or as the field `start_string` or the only field of a row |
    | conditions | a row or a mapping from columns to values                                     |

    Seeds and conditions are numbered by pairs of a number and the element, or by a field of a row. Otherwise the number is a hash
    of the content: equal elements then give equal records.

    Attributes:
        kind: what elements are.
        copies: records for each element.
        index_field: field of a row or a mapping that holds the element's number.
        table: the columns of the model, where it was trained on a table; else None.
    """

    kind: RequestKind
    copies: int = 1
    index_field: str | None = None
    table: TableFormat | None = None

    def request(self, element: Any) -> RecordRequest:
        """Return the request of an element.

        Raises:
            ParameterError: LS101, it is no such element; LS108, LS132, what it gives cannot be used.
        """
        if self.kind == "numbers":
            number = self._number(_only_value(element) if element_fields(element) is not None else element)
            return RecordRequest(number * self.copies, (number + 1) * self.copies)
        content, index = self._numbered(element)
        given = self._start_string(content) if self.kind == "seeds" else self._condition(content)
        number = hashed_number(given, LAST_NUMBER // self.copies) if index is None else self._number(index)
        return RecordRequest(number * self.copies, (number + 1) * self.copies, given)

    def _numbered(self, element: Any) -> tuple[Any, Any]:
        """Return the content of an element, and its number or None."""
        fields = element_fields(element)
        if fields is not None:
            if self.index_field is None:
                return fields, None
            if self.index_field not in fields:
                raise _element_error(f"it has no field {self.index_field!r}, which index_field names")
            return {name: value for name, value in fields.items() if name != self.index_field}, fields[self.index_field]
        if isinstance(element, tuple) and len(element) == 2:
            index, content = element
            fields = element_fields(content)
            return content if fields is None else fields, index
        return element, None

    def _number(self, value: Any) -> int:
        if isinstance(value, str) and value.isascii() and value.isdecimal():  # a column of CSV
            value = int(value)
        if isinstance(value, bool) or not hasattr(value, "__index__") or not 0 <= value < LAST_NUMBER // self.copies:
            raise _element_error(f"its number, a {type(value).__name__}, is not a whole number from 0 on")
        return int(value)

    def _start_string(self, content: Any) -> str:
        if isinstance(content, dict):
            content = content[_SEED_FIELD] if _SEED_FIELD in content else _only_value(content)
        if not isinstance(content, str):
            raise _element_error(f"a {type(content).__name__} is no start string")
        return content

    def _condition(self, content: Any) -> Given:
        if not isinstance(content, dict):
            raise _element_error(f"a {type(content).__name__} is no mapping from columns to values")
        given = {name: value for name, value in content.items() if value is not None}
        if self.table is None:
            given = {name: plain_text(value) for name, value in given.items()}
        return tuple(sorted(condition_texts(given, self.table).items()))


def hashed_number(given: Given, limit: int) -> int:
    """Return a number below a limit that depends on the content of an element only.

    Args:
        given: a start string, or texts by column.
        limit: the largest number plus one.

    Example:
        >>> hashed_number("IT,", 1000), hashed_number("IT,", 1000) == hashed_number("FR,", 1000)
        (314, False)
    """
    digest = hashlib.sha256(json.dumps(given, ensure_ascii=True).encode()).digest()
    return int.from_bytes(digest[:16], "big") % limit


def kind_of(element_type: Any) -> RequestKind | None:
    """Return what elements of a declared type are; None where it does not say so.

    Example:
        >>> kind_of(str), kind_of(tuple[int, str]), kind_of(dict[str, str]), kind_of(int), kind_of(object)
        ('seeds', 'seeds', 'conditions', 'numbers', None)
    """
    element_type = convert_to_beam_type(element_type)
    if isinstance(element_type, typehints.TupleConstraint) and len(element_type.tuple_types) == 2:
        index, content = element_type.tuple_types
        return kind_of(content) if index is int and content is not int else None
    if isinstance(element_type, typehints.DictConstraint | RowTypeConstraint) or hasattr(element_type, "_fields"):
        return "conditions"
    origin = get_origin(element_type) or element_type
    if isinstance(origin, type) and issubclass(origin, Mapping):
        return "conditions" if get_args(element_type) or origin is not Mapping else None
    return {str: "seeds", int: "numbers"}.get(element_type)  # type: ignore[return-value]


def element_fields(element: Any) -> dict[str, Any] | None:
    """Return a row, a named tuple or a mapping as a dictionary; None for any other element."""
    if isinstance(element, Mapping):
        return dict(element)
    as_dict = getattr(element, "_asdict", None)
    return None if as_dict is None else dict(as_dict())


def _only_value(content: Any) -> Any:
    fields = element_fields(content) or {}
    if len(fields) != 1:
        raise _element_error(f"it has {len(fields)} fields, and none of them is named {_SEED_FIELD}")
    return next(iter(fields.values()))


def _element_error(found: str) -> ParameterError:
    return ParameterError(
        "LS101",
        "elements",
        shortened(found),
        "Give whole numbers, start strings, or rows of columns and values, alone or as pairs with a number.",
    )
