"""What a record looks like in typed output: named columns, or one column of text; and the start string it belongs to.

Names: JSON Lines keeps the columns' own names. Avro allows only letters, digits and underscores, so its names are made fit
and the original stands in the field's `doc`. Names that would meet get a number: `a`, `a_2`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from model.errors import ParameterError
from model.gen_text import split_fields

TEXT_COLUMN = "text"
START_COLUMN = "start_string"


@dataclass(frozen=True)
class RecordLayout:
    """How the text of a record becomes a row.

    Attributes:
        columns: names of the fields, in order; None: the whole record is one column, `text`.
        delimiter, quoted: how fields are separated; needed where there are columns.
        paired: each record has a start string of its own, which gets a last column, `start_string`.
    """

    columns: tuple[str, ...] | None = None
    delimiter: str | None = None
    quoted: bool = False
    paired: bool = False

    @property
    def names(self) -> tuple[str, ...]:
        """Names of all columns, all different.

        Example:
            >>> RecordLayout(("a", "a", "start_string"), ",", paired=True).names
            ('a', 'a_2', 'start_string', 'start_string_2')
        """
        own = (TEXT_COLUMN,) if self.columns is None else self.columns
        return distinct([*own, *([START_COLUMN] if self.paired else [])])

    def values(self, text: str, start: str = "") -> list[str]:
        """The row of a record, in the order of `names`.

        Raises:
            ValueError: the record has another number of fields; the judge lets none through that has.
        """
        if self.columns is None or self.delimiter is None:
            own = [text]
        else:
            own = split_fields(text, self.delimiter, self.quoted)
            if len(own) != len(self.columns):
                raise ValueError(f"a record has {len(own)} fields, the output {len(self.columns)} columns")
        return [*own, start] if self.paired else own

    def avro_schema(self) -> dict[str, Any]:
        """A record of strings, one a column."""
        names = self.names
        fit = distinct([avro_name(name, number) for number, name in enumerate(names)])
        fields = [
            {"name": avro, "type": "string", **({} if avro == name else {"doc": name})}
            for avro, name in zip(fit, names, strict=True)
        ]
        return {"type": "record", "name": "Record", "namespace": "linesmith", "fields": fields}


def columns_of(names: Iterable[str] | None, learnt: Iterable[str] | None, field_count: int | None) -> list[str] | None:
    """The columns of typed output: those asked for, else those of the training data's header, else numbered ones.

    Returns None where nothing says how many fields there are: typed output is then one column of text.

    Raises:
        ParameterError: more or fewer names are asked for than the records have fields.

    Example:
        >>> columns_of(None, None, 2)
        ['field_0', 'field_1']
    """
    if names is not None:
        asked = list(names)
        if field_count is not None and len(asked) != field_count:
            raise ParameterError(
                f"LS109: --columns (columns) gives {len(asked)} names ({', '.join(asked)}), but the model's records have "
                f"{field_count} fields. Give one name a field, in order.",
                code="LS109",
            )
        return asked
    if field_count is None:
        return None
    header = None if learnt is None else list(learnt)
    if header is not None and len(header) == field_count:
        return header
    return [f"field_{number}" for number in range(field_count)]


def avro_name(name: str, number: int) -> str:
    """A name that Avro allows.

    Example:
        >>> avro_name("2nd field", 1), avro_name("", 3)
        ('_2nd_field', 'field_3')
    """
    fit = re.sub(r"[^A-Za-z0-9_]", "_", name)
    if not fit.strip("_"):
        return f"field_{number}"
    return f"_{fit}" if fit[0].isdigit() else fit


def distinct(names: Iterable[str]) -> tuple[str, ...]:
    """The names with a number added to each that is already taken, by an earlier or a later name of the list."""
    given = list(names)
    taken = set(given)
    seen: set[str] = set()
    result = []
    for name in given:
        unique, number = name, 2
        while unique in seen or (unique != name and unique in taken):
            unique, number = f"{name}_{number}", number + 1
        seen.add(unique)
        result.append(unique)
    return tuple(result)
