"""Automata of the texts that the types of an Avro schema allow in each field, for field-aware decoding."""

from __future__ import annotations

import math

from linesmith.core.errors import ParameterError
from linesmith.records.output.column_types import ColumnType
from linesmith.records.output.schema import SCHEMA_OPTION, RecordSchema, ValueLimits
from linesmith.records.patterns.automaton import ByteAutomaton
from linesmith.records.patterns.pattern_compiler import SCHEMA_STEPS, WorkLimit, compile_pattern
from linesmith.records.patterns.pattern_tree import Pattern, any_of, decimals, integers, literal, optional
from linesmith.records.patterns.regex_parser import parse_regex

_INTEGER_BITS = {"int": 31, "long": 63}
_FRACTION_DIGITS = {"ms": 3, "us": 6}  # of a second
_BOOLEANS = ("true", "false", "True", "False", "TRUE", "FALSE")
_DOUBLE_DIGITS = 17  # most digits of a double before the point
_DOUBLE_PLACES = 20  # most digits after it: 0.00012345678901234567
# Seventeen digits times the largest power of ten still fit. A number too small for the type is 0.
_EXPONENTS = {
    "double": r"\+?(2[0-8][0-9]|1[0-9]{2}|[0-9]{1,2})|-[0-9]{1,3}",
    "float": r"\+?(20|[01]?[0-9])|-[0-9]{1,3}",
}
# One digit before the point, as such numbers are written; the last is 1.7976931348623157e+308.
_LARGEST_DOUBLES = (
    r"[0-9](\.[0-9]{1,20})?[eE]\+?(29[0-9]|30[0-7])"
    r"|1(\.([0-6][0-9]{0,19}|7[0-8][0-9]{0,18}|79[0-6][0-9]{0,17}|7976931348623157))?[eE]\+?308"
)
_MONTH_DAYS = "(0[13578]|1[02])-(0[1-9]|[12][0-9]|3[01])|(0[469]|11)-(0[1-9]|[12][0-9]|30)|02-(0[1-9]|1[0-9]|2[0-8])"
_LEAP_YEAR = "[0-9]{2}(0[48]|[2468][048]|[13579][26])|(0[48]|[2468][048]|[13579][26])00"
# Neither Python nor Arrow has a year 0000.
_YEAR = "(000[1-9]|00[1-9][0-9]|0[1-9][0-9]{2}|[1-9][0-9]{3})"
DATE = f"({_YEAR}-({_MONTH_DAYS})|({_LEAP_YEAR})-02-29)"
_TIME = "([01][0-9]|2[0-3]):[0-5][0-9](:[0-5][0-9]({fraction})?)?"
_OFFSET = "[+-]([01][0-9]|2[0-3]):[0-5][0-9]"
_NO_OFFSET = "(Z|[+-]00:00)?"
# With an offset, a point in time at either end of the calendar may lie outside of it.
_INNER_YEAR = "(000[2-9]|00[1-9][0-9]|0[1-9][0-9]{2}|[1-8][0-9]{3}|9[0-8][0-9]{2}|99[0-8][0-9]|999[0-8])"
_INNER_DATE = f"({_INNER_YEAR}-({_MONTH_DAYS})|({_LEAP_YEAR})-02-29)"


def field_automata(schema: RecordSchema, count: int) -> list[ByteAutomaton | None]:
    """Return one automaton per field; None if the type of the field allows any text.

    Args:
        schema: the fields' types and limits.
        count: number of fields of the model's records.

    Raises:
        ParameterError: LS111, the schema has another number of fields, or a pattern is not supported.
    """
    if len(schema.names) != count:
        raise _bad(
            f"it has {len(schema.names)} fields, but the model's records have {count}",
            "Give one field a column, in order.",
        )
    automata: list[ByteAutomaton | None] = []
    known: dict[tuple[ColumnType, ValueLimits], ByteAutomaton | None] = {}  # equal fields share an automaton
    limit = WorkLimit(SCHEMA_STEPS)
    for name, column_type, limits in zip(schema.names, schema.types, schema.limits, strict=True):
        try:
            if (column_type, limits) not in known:
                pattern = _pattern(column_type, limits)
                known[column_type, limits] = None if pattern is None else compile_pattern(pattern, limit)
            automata.append(known[column_type, limits])
        except ValueError as error:
            raise _bad(
                f"field '{name}': {error}", "Mend the field's type, or generate with --no-field-aware."
            ) from None
    return automata


def _pattern(column_type: ColumnType, limits: ValueLimits) -> Pattern | None:
    """Return the pattern of a column's text, null included; None for any text."""
    pattern = parse_regex(limits.pattern) if limits.pattern is not None else type_pattern(column_type, limits)
    return optional(pattern) if column_type.nullable and pattern is not None else pattern


def type_pattern(column_type: ColumnType, limits: ValueLimits) -> Pattern | None:
    """Return the pattern of a type's values; None for any text."""
    if column_type.is_number:
        return _number_pattern(column_type, limits)
    if column_type.type_name == "date":
        return parse_regex(DATE)
    if column_type.type_name in ("timestamp", "local_timestamp"):
        time = _TIME.replace("{fraction}", rf"\.[0-9]{{1,{_FRACTION_DIGITS[column_type.unit]}}}")
        if column_type.type_name == "local_timestamp":
            return parse_regex(f"{DATE}[T ]{time}")
        return parse_regex(f"{DATE}[T ]{time}{_NO_OFFSET}|{_INNER_DATE}[T ]{time}{_OFFSET}")
    values = (
        column_type.symbols
        if column_type.type_name == "enum"
        else _BOOLEANS
        if column_type.type_name == "boolean"
        else None
    )
    return None if values is None else any_of([literal(value) for value in values])


def _number_pattern(column_type: ColumnType, limits: ValueLimits) -> Pattern:
    least, most = limits.minimum, limits.maximum
    if column_type.type_name in _INTEGER_BITS:
        bound = 1 << _INTEGER_BITS[column_type.type_name]
        return integers(math.ceil(_larger(least, -bound)), math.floor(_smaller(most, bound - 1)))
    if column_type.type_name == "decimal":
        bound, scale = 10 ** (column_type.precision - column_type.scale), column_type.scale
    elif least is None and most is None:
        whole, places = f"[0-9]{{1,{_DOUBLE_DIGITS}}}", f"[0-9]{{1,{_DOUBLE_PLACES}}}"
        largest = f"|{_LARGEST_DOUBLES}" if column_type.type_name == "double" else ""
        return parse_regex(f"[+-]?({whole}(\\.{places})?([eE]({_EXPONENTS[column_type.type_name]}))?{largest})")
    else:
        # Limits on a double: no exponent, since a range cannot be checked digit by digit with one.
        bound, scale = 10**_DOUBLE_DIGITS, _DOUBLE_DIGITS - 3
    return decimals(scale, _larger(least, -bound), _smaller(most, bound), bound)


def _larger(minimum: int | float | None, type_minimum: int) -> int | float:
    return type_minimum if minimum is None else max(minimum, type_minimum)


def _smaller(maximum: int | float | None, type_maximum: int) -> int | float:
    return type_maximum if maximum is None else min(maximum, type_maximum)


def _bad(found: str, remedy: str) -> ParameterError:
    return ParameterError("LS111", SCHEMA_OPTION, found, remedy)
