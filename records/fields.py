"""`GenText`: one generated record with its verdict."""

from __future__ import annotations

import csv
from collections.abc import Iterable
from dataclasses import dataclass

NEWLINE_ID = 0  # token id that begins and ends a record
DELIMITER_ID = 1  # token id between two fields
# Inside, structural delimiters are newlines: a record is one line, so its own text cannot contain one.
FIELD_BREAK = "\n"


@dataclass(frozen=True)
class GenText:
    """A generated record.

    Attributes:
        valid: the validator's verdict; None where nothing judged the record.
        text: the record, its start string included, without a line end.
        explain: why it is not valid; None where it is.
        delimiter: what separates the fields; None for free text.
        quoted: delimiters inside double quotes do not separate fields.
    """

    valid: bool | None
    text: str
    explain: str | None = None
    delimiter: str | None = None
    quoted: bool = False

    def as_dict(self) -> dict[str, bool | str | None]:
        """valid, text, explain and delimiter as plain values."""
        return {"valid": self.valid, "text": self.text, "explain": self.explain, "delimiter": self.delimiter}

    def values_as_list(self) -> list[str] | None:
        """The fields in order, empty ones and an empty last one kept; None for free text.

        Example:
            >>> GenText(True, "6,HRN405,", delimiter=",").values_as_list()
            ['6', 'HRN405', '']
        """
        if self.delimiter is None:
            return None
        return split_fields(self.text, self.delimiter, self.quoted)


def split_fields(text: str, delimiter: str, quoted: bool = False) -> list[str]:
    """The fields of a record. With `quoted`, as the csv module reads them (quotes removed, doubled quotes undone).

    Example:
        >>> split_fields('a,"b,c"', ",", quoted=True)
        ['a', 'b,c']
        >>> split_fields("", ",", quoted=True)
        ['']
    """
    if not quoted:
        return text.split(delimiter)
    return next(csv.reader([text], delimiter=delimiter), None) or [""]  # the csv module gives an empty line no field


def join_fields(fields: Iterable[str], delimiter: str, quoted: bool = False) -> str:
    """The record of some fields: what `split_fields` undoes. With `quoted`, quotes stand where they are needed.

    Example:
        >>> join_fields(["a", "b,c"], ",", quoted=True)
        'a,"b,c"'
    """
    return delimiter.join(quoted_field(field, delimiter) if quoted else field for field in fields)


def quoted_field(field: str, delimiter: str) -> str:
    """A field in double quotes, its own doubled, if it holds a delimiter or a quote."""
    return f'"{field.replace(chr(34), chr(34) * 2)}"' if delimiter in field or '"' in field else field
