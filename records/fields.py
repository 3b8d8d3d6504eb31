"""Records and their fields: `FieldFormat` splits and joins the text of a record, `GenText` is one generated record."""

from __future__ import annotations

import csv
import re
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache

NEWLINE_ID = 0  # token id that begins and ends a record
DELIMITER_ID = 1  # token id between two fields
# In internal texts a newline takes the place of each delimiter that separates fields. A record is one line, so its own
# text cannot contain one.
FIELD_BREAK = "\n"


@dataclass(frozen=True)
class FieldFormat:
    """How the text of a record is split into fields.

    Attributes:
        delimiter: text between two fields; None for free text, which is a single field.
        quoted: delimiters inside double quotes do not separate fields. Needs a delimiter of one character.
    """

    delimiter: str | None = None
    quoted: bool = False

    def split(self, text: str) -> list[str]:
        """Return the fields of a record, empty ones included.

        With `quoted`, fields are read as the csv module reads them: quotes are removed, doubled quotes undone.

        Raises:
            csv.Error: `quoted` is set and a field is longer than the csv module's limit.

        Example:
            >>> FieldFormat(",", quoted=True).split('a,"b,c"')
            ['a', 'b,c']
            >>> FieldFormat(",", quoted=True).split("")
            ['']
        """
        if self.delimiter is None:
            return [text]
        if not self.quoted:
            return text.split(self.delimiter)
        if "\r" in text and FIELD_BREAK not in text:  # csv takes a carriage return outside quotes for the end of a line
            return [_unquote(part) for part in self.mark_breaks(text).split(FIELD_BREAK)]
        return next(csv.reader([text], delimiter=self.delimiter), None) or [""]  # csv finds no field in an empty line

    def split_or_none(self, text: str) -> list[str] | None:
        """Return the fields of a record as `split` does; None where one is longer than the csv module's limit."""
        try:
            return self.split(text)
        except csv.Error:
            return None

    def join(self, fields: Iterable[str]) -> str:
        """Return the record that `split` takes apart into these fields, with quotes where they are needed.

        Example:
            >>> FieldFormat(",", quoted=True).join(["a", "b,c"])
            'a,"b,c"'
        """
        return (self.delimiter or "").join(self.quote(field) for field in fields)

    def quote(self, field: str) -> str:
        """Return a field in double quotes, its own doubled, if `quoted` is set and it needs them.

        Delimiters, quotes and carriage returns need them: elsewhere a carriage return may be taken for the end of a line.
        """
        if not self.quoted or self.delimiter is None or not any(c in field for c in (self.delimiter, '"', "\r")):
            return field
        return f'"{field.replace(chr(34), chr(34) * 2)}"'

    def mark_breaks(self, text: str) -> str:
        r"""Return the record with FIELD_BREAK in place of each delimiter that separates fields.

        Unlike `split`, this keeps quotes, so the record can be restored. With `quoted`, a field that begins with a double
        quote runs to the closing one, as in the csv module.

        Example:
            >>> FieldFormat(",", quoted=True).mark_breaks('a,"b,c",')
            'a\n"b,c"\n'
        """
        if self.delimiter is None:
            return text
        if not self.quoted or '"' not in text:
            return text.replace(self.delimiter, FIELD_BREAK)
        pattern, fields, position = _field_pattern(self.delimiter), [], 0
        while True:
            match = pattern.match(text, position)
            end = len(text) if match is None else match.end()
            fields.append(text[position:end])
            if end >= len(text):
                return FIELD_BREAK.join(fields)
            position = end + 1  # skips the delimiter, which is one character

    def ends_inside_quotes(self, text: str) -> bool:
        """Return whether the last field of a record begins with a quote that is never closed.

        Example:
            >>> csv_fields = FieldFormat(",", quoted=True)
            >>> [csv_fields.ends_inside_quotes(text) for text in ('a,"b', 'a,"b"', 'a"b')]
            [True, False, False]
        """
        if not self.quoted or '"' not in text:
            return False
        last = self.mark_breaks(text).rpartition(FIELD_BREAK)[2]
        return _INSIDE_QUOTES.fullmatch(last) is not None


FREE_TEXT = FieldFormat()
_INSIDE_QUOTES = re.compile(r'"(?:[^"]|"")*+', re.DOTALL)
_QUOTED_FIELD = re.compile(r'"((?:[^"]|"")*+)(?:"(.*))?', re.DOTALL)


def _unquote(field: str) -> str:
    """Return the value of a field as the csv module reads it."""
    match = _QUOTED_FIELD.fullmatch(field)
    return field if match is None else match[1].replace('""', '"') + (match[2] or "")


@lru_cache(maxsize=8)
def _field_pattern(delimiter: str) -> re.Pattern[str]:
    """Return the pattern of one field, quotes included, for a delimiter of one character."""
    other = f"[^{re.escape(delimiter)}]"
    # After a closing quote csv reads on to the next delimiter; a quote that is never closed runs to the end of the line.
    return re.compile(rf'"(?:[^"]|"")*+(?:"{other}*+)?+|{other}*+', re.DOTALL)


@dataclass(frozen=True)
class GenText:
    """A generated record.

    Attributes:
        valid: whether the validator accepted the record; None if nothing checked it.
        text: the record, including its start string, without a line end.
        explain: why the record is invalid; None otherwise.
        delimiter: text between the fields; None for free text.
        quoted: delimiters inside double quotes do not separate fields.
    """

    valid: bool | None
    text: str
    explain: str | None = None
    delimiter: str | None = None
    quoted: bool = False

    def as_dict(self) -> dict[str, bool | str | None]:
        """Return valid, text, explain and delimiter as plain values."""
        return {"valid": self.valid, "text": self.text, "explain": self.explain, "delimiter": self.delimiter}

    def values_as_list(self) -> list[str] | None:
        """Return the fields in order, empty ones included; None for free text.

        Example:
            >>> GenText(True, "6,HRN405,", delimiter=",").values_as_list()
            ['6', 'HRN405', '']
        """
        if self.delimiter is None:
            return None
        return FieldFormat(self.delimiter, self.quoted).split(self.text)
