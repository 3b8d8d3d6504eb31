"""What the types of an Avro schema allow a field to hold, as automata for field-aware decoding."""

from __future__ import annotations

import math
from typing import Any

from linesmith.core.errors import ParameterError
from linesmith.records.output.column_types import ColumnType
from linesmith.records.output.schema import OPTION, Limits, RecordSchema
from linesmith.records.patterns.automaton import ByteAutomaton
from linesmith.records.patterns.pattern_compiler import compile_pattern
from linesmith.records.patterns.pattern_tree import any_of, decimals, integers, literal, optional
from linesmith.records.patterns.regex_parser import parse

_BITS = {"int": 31, "long": 63}
_FRACTION = {"ms": 3, "us": 6}  # digits of a second
_BOOLEANS = ("true", "false", "True", "False", "TRUE", "FALSE")
_DIGITS = 17  # of a double, before and after the point
_MONTH_DAYS = "(0[13578]|1[02])-(0[1-9]|[12][0-9]|3[01])|(0[469]|11)-(0[1-9]|[12][0-9]|30)|02-(0[1-9]|1[0-9]|2[0-8])"
_LEAP_YEAR = "[0-9]{2}(0[48]|[2468][048]|[13579][26])|(0[48]|[2468][048]|[13579][26])00"
# Year 0000 is in no calendar that Python or Arrow knows.
_YEAR = "(000[1-9]|00[1-9][0-9]|0[1-9][0-9]{2}|[1-9][0-9]{3})"
DATE = f"({_YEAR}-({_MONTH_DAYS})|({_LEAP_YEAR})-02-29)"
_TIME = "([01][0-9]|2[0-3]):[0-5][0-9](:[0-5][0-9]({fraction})?)?"
_OFFSET = "(Z|[+-]([01][0-9]|2[0-3]):[0-5][0-9])?"


def field_automata(schema: RecordSchema, count: int) -> list[ByteAutomaton | None]:
    """One automaton a field; None where its type allows any text.

    Args:
        schema: the fields' types and limits.
        count: number of fields of the model's records.

    Raises:
        ParameterError: LS111, it has another number of fields, or a pattern is not supported.
    """
    if len(schema.names) != count:
        raise _bad(
            f"it has {len(schema.names)} fields, but the model's records have {count}",
            "Give one field a column, in order.",
        )
    machines = []
    for name, kind, limits in zip(schema.names, schema.types, schema.limits, strict=True):
        try:
            pattern = _pattern(kind, limits)
            machines.append(None if pattern is None else compile_pattern(pattern))
        except ValueError as error:
            raise _bad(
                f"field '{name}': {error}", "Mend the field's type, or generate with --no-field-aware."
            ) from None
    return machines


def _pattern(kind: ColumnType, limits: Limits) -> Any:
    """The pattern of a type; None: any text."""
    pattern = parse(limits.pattern) if limits.pattern is not None else _of_type(kind, limits)
    return optional(pattern) if kind.nullable and pattern is not None else pattern


def _of_type(kind: ColumnType, limits: Limits) -> Any:
    if kind.is_number:
        return _number(kind, limits)
    if kind.kind == "date":
        return parse(DATE)
    if kind.kind in ("timestamp", "local_timestamp"):
        time = _TIME.replace("{fraction}", rf"\.[0-9]{{1,{_FRACTION[kind.unit]}}}")
        return parse(f"{DATE}[T ]{time}" + ("" if kind.kind == "local_timestamp" else _OFFSET))
    words = kind.symbols if kind.kind == "enum" else _BOOLEANS if kind.kind == "boolean" else None
    return None if words is None else any_of([literal(word) for word in words])


def _number(kind: ColumnType, limits: Limits) -> Any:
    least, most = limits.minimum, limits.maximum
    if kind.kind in _BITS:
        bound = 1 << _BITS[kind.kind]
        return integers(math.ceil(_at_least(least, -bound)), math.floor(_at_most(most, bound - 1)))
    if kind.kind == "decimal":
        bound, scale = 10 ** (kind.precision - kind.scale), kind.scale
    elif least is None and most is None:
        return parse(f"[+-]?[0-9]{{1,{_DIGITS}}}(\\.[0-9]{{1,{_DIGITS}}})?([eE][+-]?[0-9]{{1,2}})?")
    else:
        bound, scale = 10**_DIGITS, _DIGITS - 3
    return decimals(scale, _at_least(least, -bound), _at_most(most, bound), bound)


def _at_least(asked: Any, own: int) -> Any:
    return own if asked is None else max(asked, own)


def _at_most(asked: Any, own: int) -> Any:
    return own if asked is None else min(asked, own)


def _bad(found: str, remedy: str) -> ParameterError:
    return ParameterError(f"LS111: {OPTION}: {found}. {remedy}", code="LS111")
