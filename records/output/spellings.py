"""Spellings: which texts are values of a type that are written back exactly as they were.

A type is inferred for a column only if all of its values have a spelling in common: `ColumnType.parse`, the parser that also
validates and writes records, accepts them, and writing the value back gives the same text. So `3.10` and `3.1`, `007`, `1E02`,
`+5`, `2024-02-30` and `24:00:00` leave a column text.

| spelling              | type                       | text                                                               |
|-----------------------|----------------------------|--------------------------------------------------------------------|
| long                  | long                       | whole number of at most 18 digits, without leading zeros           |
| decimal:N             | decimal of scale N         | number with exactly N digits after the point, 38 digits in all     |
| double                | double                     | as Python and JSON write it: shortest, with a point or an exponent |
| boolean               | boolean                    | true, false                                                        |
| date                  | date                       | 2016-10-31                                                         |
| timestamp:S:N:Z       | timestamp, local_timestamp | separator S, N digits of a second (`m`: no seconds; `auto`: none   |
|                       |                            | or six), then Z, +00:00 or nothing (a local timestamp)             |

A set of texts has a bounded number of spellings, and their intersection does not depend on the order of the texts: it can be
merged over workers.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache, partial
from typing import Any

from linesmith.records.output.column_types import ColumnType

MAX_PRECISION = 38  # of Arrow's decimal128, of Parquet and of Iceberg
_LONG_DIGITS = 18  # a generated number with one digit more still fits
_MOST_CHARS = 64  # a longer text is no value of these types
_MINUTES, _AUTO = "m", "auto"
_LENGTH_OF_MINUTES, _LENGTH_OF_SECONDS = len("2016-10-31T12:34"), len("2016-10-31T12:34:56")


@dataclass(frozen=True)
class Spelling:
    """A type and one way to write its values.

    Attributes:
        name: as in the table above.
        column_type: the type; a decimal has the largest precision.
        write: returns the text of a value.
    """

    name: str
    column_type: ColumnType
    write: Callable[[Any], str]

    def fits(self, text: str) -> bool:
        """Return whether a text is a value of the type that is written back as it is."""
        try:
            return self.write(self.column_type.parse(text)) == text
        except ValueError:
            return False


@lru_cache(maxsize=1024)
def spelling(name: str) -> Spelling:
    """Return a spelling by its name.

    Raises:
        ValueError: there is none of this name.

    Example:
        >>> spelling("decimal:2").fits("3.10"), spelling("decimal:2").fits("3.1"), spelling("double").fits("3.1")
        (True, False, True)
    """
    kind, *details = name.split(":", 1)
    if kind == "decimal":
        scale = int(details[0])
        return Spelling(
            name, ColumnType("decimal", precision=MAX_PRECISION, scale=scale), lambda value: f"{value:.{scale}f}"
        )
    if kind == "timestamp":
        separator, digits, suffix = details[0].split(":", 2)
        column_type = ColumnType("timestamp" if suffix else "local_timestamp")
        return Spelling(name, column_type, partial(write_timestamp, separator=separator, digits=digits, suffix=suffix))
    writers: dict[str, Callable[[Any], str]] = {
        "long": str,
        "double": repr,
        "boolean": {True: "true", False: "false"}.__getitem__,
        "date": lambda value: value.isoformat(),
    }
    if name not in writers:
        raise ValueError("no spelling has this name")
    return Spelling(name, ColumnType(name), writers[name])


def write_timestamp(value: datetime, separator: str, digits: str, suffix: str) -> str:
    """Return the text of a point in time; see the table above for the arguments."""
    plain = value.replace(tzinfo=None)
    if digits in (_AUTO, _MINUTES):
        return plain.isoformat(separator, "auto" if digits == _AUTO else "minutes") + suffix
    text = plain.isoformat(separator, "microseconds")
    return text[: _LENGTH_OF_SECONDS + (1 + int(digits) if digits != "0" else 0)] + suffix


def common_spellings(texts: Iterable[str], known: frozenset[str] | None = None) -> frozenset[str] | None:
    """Return the spellings that all texts have.

    Args:
        texts: none of them empty.
        known: the spellings of earlier texts; None: there were none.

    Returns:
        The names of the spellings; None where there was no text at all.

    Example:
        >>> sorted(common_spellings(["1.5", "-0.25"])), common_spellings(["3.10", "3.1"])
        (['double'], frozenset())
    """
    for text in texts:
        if known is None:
            known = frozenset(name for name in _candidates(text) if spelling(name).fits(text))
        elif not known:
            break
        else:
            fitting = [name for name in known if spelling(name).fits(text)]
            if len(fitting) < len(known):
                known = frozenset(fitting)
    return known


def spelled_type(spellings: Iterable[str], whole_digits: int) -> ColumnType | None:
    """Return the type of a column whose values have spellings in common; None if there is no such type.

    Args:
        spellings: their names.
        whole_digits: most digits before the point, which matter for a decimal.
    """
    types = {spelling(name).column_type.type_name: spelling(name).column_type for name in spellings}
    for type_name in ("boolean", "date", "timestamp", "local_timestamp", "long"):
        if type_name in types:
            return types[type_name]
    if "decimal" in types:
        scale = types["decimal"].scale
        # Two more digits before the point: a generated number may be a little larger than all that were seen.
        precision = 18 if whole_digits + scale + 2 <= 18 else MAX_PRECISION
        return ColumnType("decimal", precision=precision, scale=scale)
    return types.get("double")


def _candidates(text: str) -> list[str]:
    """Return the names of the spellings that a text may have; `Spelling.fits` decides."""
    if len(text) > _MOST_CHARS:
        return []
    if text in ("true", "false"):
        return ["boolean"]
    if not text or text[-1] not in "0123456789Z" or text[0] not in "-0123456789":
        return []
    if text[4:5] == "-" and text[:4].isdigit():
        return ["date"] if len(text) == 10 else _timestamp_candidates(text)
    if "." not in text and "e" not in text:
        return ["long"] if len(text.lstrip("-")) <= _LONG_DIGITS else []
    scale = len(text) - text.find(".") - 1
    return [*([f"decimal:{scale}"] if "e" not in text and scale <= MAX_PRECISION else []), "double"]


def _timestamp_candidates(text: str) -> list[str]:
    suffix = next((end for end in ("Z", "+00:00") if text.endswith(end)), "")
    plain = text.removesuffix(suffix)
    separator = plain[10:11]
    if separator not in ("T", " "):
        return []
    if len(plain) == _LENGTH_OF_MINUTES:
        return [f"timestamp:{separator}:{_MINUTES}:{suffix}"]
    digits = max(len(plain) - _LENGTH_OF_SECONDS - 1, 0)
    found = [f"timestamp:{separator}:{digits}:{suffix}"] if digits <= 6 else []
    return [*found, f"timestamp:{separator}:{_AUTO}:{suffix}"] if digits in (0, 6) else found
