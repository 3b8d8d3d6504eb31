"""What the types of an Avro schema allow a field to hold, as automata for field-aware decoding."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from model.errors import ParameterError
from model.machines import Machine
from model.pattern_machine import compile_pattern
from model.patterns import any_of, decimals, integers, literal, optional
from model.regex import parse

_OPTION = "--schema-file (schema_file)"
_BITS = {"int": 31, "long": 63}
_DIGITS = 17  # of a double, before and after the point
_MONTH_DAYS = "(0[13578]|1[02])-(0[1-9]|[12][0-9]|3[01])|(0[469]|11)-(0[1-9]|[12][0-9]|30)|02-(0[1-9]|1[0-9]|2[0-8])"
_LEAP_YEAR = "[0-9]{2}(0[48]|[2468][048]|[13579][26])|(0[48]|[2468][048]|[13579][26])00"
# Year 0000 is in no calendar that Python or Arrow knows.
_YEAR = "(000[1-9]|00[1-9][0-9]|0[1-9][0-9]{2}|[1-9][0-9]{3})"
DATE = f"({_YEAR}-({_MONTH_DAYS})|({_LEAP_YEAR})-02-29)"
_TIME = "([01][0-9]|2[0-3]):[0-5][0-9](:[0-5][0-9]({fraction})?)?"
_OFFSET = "(Z|[+-]([01][0-9]|2[0-3]):[0-5][0-9])?"


def schema_text(path: str) -> str:
    """The text of a schema file, read once: workers need not see the file.

    Raises:
        ParameterError: it cannot be read.
    """
    try:
        return Path(path).read_text("utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise _bad(
            f"'{path}' cannot be read ({type(error).__name__})", "Give an Avro schema (.avsc) of one record."
        ) from None


def field_machines(schema: str, count: int) -> list[Machine | None]:
    """One automaton a field; None where its type allows any text.

    Beside Avro's own types these are understood in a field: `pattern` (a regular expression for its whole text), `minimum` and
    `maximum` (of a number). A union with null allows an empty text.

    Args:
        schema: JSON text.
        count: number of fields of the model's records.

    Raises:
        ParameterError: it is no schema of that many fields, or a type or pattern is not supported.
    """
    try:
        declared = json.loads(schema)
        fields = declared["fields"]
        names = [field["name"] for field in fields]
    except (ValueError, TypeError, KeyError):
        raise _bad("it describes no record with fields", "Give an Avro schema (.avsc) of one record.") from None
    if len(fields) != count:
        raise _bad(
            f"it has {len(fields)} fields, but the model's records have {count}", "Give one field a column, in order."
        )
    machines = []
    for name, field in zip(names, fields, strict=True):
        try:
            pattern = _pattern(field["type"], field)
            machines.append(None if pattern is None else compile_pattern(pattern))
        except (ValueError, TypeError, KeyError) as error:
            raise _bad(
                f"field '{name}': {error}", "Mend the field's type, or generate with --no-field-aware."
            ) from None
    return machines


def _pattern(declared: Any, field: dict[str, Any]) -> Any:
    """The pattern of a type; None: any text."""
    if isinstance(declared, list):
        inner = [part for part in declared if part != "null"]
        if len(inner) != 1:
            raise ValueError("a union may have null and one other type")
        pattern = _pattern(inner[0], field)
        return pattern if pattern is None or len(inner) == len(declared) else optional(pattern)
    own = {"type": declared} if isinstance(declared, str) else declared
    if "pattern" in field:
        return parse(field["pattern"])
    logical = own.get("logicalType")
    if logical is not None:
        return _logical(logical, own, field)
    return _primitive(own, field.get("minimum"), field.get("maximum"))


def _logical(logical: str, own: dict[str, Any], field: dict[str, Any]) -> Any:
    if logical == "decimal":
        scale = own.get("scale", 0)
        bound = 10 ** (own["precision"] - scale)
        return decimals(scale, _at_least(field.get("minimum"), -bound), _at_most(field.get("maximum"), bound), bound)
    if logical == "date":
        return parse(DATE)
    if "timestamp" in logical:
        digits = 3 if logical.endswith("millis") else 6
        time = _TIME.replace("{fraction}", rf"\.[0-9]{{1,{digits}}}")
        return parse(f"{DATE}[T ]{time}" + ("" if logical.startswith("local") else _OFFSET))
    raise ValueError(f"the logical type '{logical}' is not supported")


def _primitive(own: dict[str, Any], least: Any, most: Any) -> Any:
    kind = own["type"]
    if kind in _BITS:
        limit = 1 << _BITS[kind]
        return integers(int(_at_least(least, -limit)), int(_at_most(most, limit - 1)))
    if kind in ("float", "double"):
        if least is None and most is None:
            return parse(f"[+-]?[0-9]{{1,{_DIGITS}}}(\\.[0-9]{{1,{_DIGITS}}})?([eE][+-]?[0-9]{{1,2}})?")
        bound = 10**_DIGITS
        return decimals(_DIGITS - 3, _at_least(least, -bound), _at_most(most, bound), bound)
    if kind in ("enum", "boolean"):
        words = own["symbols"] if kind == "enum" else ("true", "false", "True", "False", "TRUE", "FALSE")
        return any_of([literal(word) for word in words])
    if kind == "string":
        return None
    raise ValueError(f"the type '{kind}' is not supported")


def _at_least(asked: Any, own: int) -> Any:
    return own if asked is None else max(asked, own)


def _at_most(asked: Any, own: int) -> Any:
    return own if asked is None else min(asked, own)


def _bad(found: str, remedy: str) -> ParameterError:
    return ParameterError(f"LS111: {_OPTION}: {found}. {remedy}", code="LS111")
