"""Numbers that the model is given as differences from an earlier field of their record.

A ride ends near where it began: 37.7552 after 37.754061 is +0.001139, which a model of characters learns within a few steps.
That two long numbers are near each other it learns late, and hardly at all under the noise of private training.
Which fields are differences is a setting, so it is public.

Every text has exactly one form, and comes back from it unchanged:

- a number, where the base is one, too: the difference, with its sign, so that digits are at the same offset after either;
- an empty text: itself;
- any other text, or a number that would come back otherwise: itself after an equals sign.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import ROUND_HALF_EVEN, Context, Decimal
from typing import Any

from linesmith.core.config.field_differences import MAX_DECIMALS
from linesmith.records.field_order import FieldOrder

_MOST_FIELDS = 10_000  # of a record; more are refused in any case
RAW = "="  # begins a text that is no difference
# 18 digits on either side: a sum of two has fewer than the context keeps, so no result is rounded.
_NUMBER = re.compile(r"( *)(-?[0-9]{1,18}(?:\.[0-9]{1,18})?)( *)", re.ASCII)
_FORM = re.compile(r"( *)([+-]?[0-9]{1,18}(?:\.[0-9]{1,18})?)( *)", re.ASCII)
_EXACT = Context(prec=60, rounding=ROUND_HALF_EVEN)


@dataclass(frozen=True)
class FieldDifference:
    """A field that is given as a difference.

    Attributes:
        field: its number in the order of the input, from 0.
        base: number of the field that it is the difference from.
        decimals: digits after the point that its numbers have; None: as few as they need, but one at least where the base or the
            difference has a point, as programs print floats.
    """

    field: int
    base: int
    decimals: int | None = None

    def subtract(self, text: str, base: str) -> str:
        """Return the form of a field's text, given the text of its base.

        Example:
            >>> ride = FieldDifference(4, 2)
            >>> ride.subtract("37.7552", "37.754061"), ride.subtract("0.0", "0.0"), ride.subtract("", "1.5")
            ('+0.001139', '+0.0', '')
            >>> ride.subtract("unknown", "37.7"), ride.subtract("37.70", "37.7"), FieldDifference(1, 0, 2).subtract("2.50", "1")
            ('=unknown', '=37.70', '+1.50')
        """
        if not text:
            return text
        number, of_base = _NUMBER.fullmatch(text), _NUMBER.fullmatch(base)
        if number is not None and of_base is not None:
            before, digits, after = number.groups()
            subtrahend = self._base_value(of_base[2])
            difference = _EXACT.subtract(Decimal(digits), subtrahend)
            written = self._written(difference, _has_point(digits) or _has_point(of_base[2]))
            found = f"{before}{written if written.startswith('-') else '+' + written}{after}"
            if self._sum(found, base) == text:
                return found
        return RAW + text

    def add(self, form: str, base: str) -> str:
        """Return the text of a field, given its form and the text of its base.

        Raises:
            ValueError: the form or the base is no number; the message holds neither.

        Example:
            >>> FieldDifference(4, 2).add("+0.001139", "37.754061"), FieldDifference(4, 2).add("=unknown", "37.7")
            ('37.7552', 'unknown')
        """
        if not form:
            return form
        if form.startswith(RAW):
            return form[len(RAW) :]
        found = self._sum(form, base)
        if found is None:
            raise ValueError("a difference needs two numbers")
        return found

    def _sum(self, form: str, base: str) -> str | None:
        number, of_base = _FORM.fullmatch(form), _NUMBER.fullmatch(base)
        if number is None or of_base is None:
            return None
        before, digits, after = number.groups()
        total = _EXACT.add(self._base_value(of_base[2]), Decimal(digits))
        return before + self._written(total, _has_point(digits) or _has_point(of_base[2])) + after

    def _base_value(self, digits: str) -> Decimal:
        value = Decimal(digits)
        return value if self.decimals is None else _rounded(value, self.decimals)

    def _written(self, value: Decimal, has_point: bool) -> str:
        if self.decimals is not None:
            return f"{_rounded(value, self.decimals):f}"
        text = f"{value:f}"
        if "." in text:
            text = text.rstrip("0").rstrip(".")
        text = "0" if text == "-0" else text
        return f"{text}.0" if has_point and "." not in text else text


@dataclass(frozen=True)
class FieldDifferences:
    """All fields of a record that are given as differences. A base comes before its field, and may be a difference itself.

    Attributes:
        differences: one per field, in the order of the fields.

    Example:
        >>> differences = FieldDifferences((FieldDifference(1, 0), FieldDifference(2, 1)))
        >>> differences.to_model(["5", "7", "10", "x"]), differences.to_input(["5", "2", "3", "x"])
        (['5', '+2', '+3', 'x'], ['5', '7', '10', 'x'])
        >>> differences.to_model(["5"])
        ['5']
    """

    differences: tuple[FieldDifference, ...]

    def to_model(self, fields: Sequence[str]) -> list[str]:
        """Return the forms of a record's fields, or of the first ones, in the order of the input."""
        found = list(fields)
        for one in self.differences:
            if one.field < len(found):
                found[one.field] = one.subtract(fields[one.field], fields[one.base])
        return found

    def to_input(self, forms: Sequence[str]) -> list[str]:
        """Return the fields of which `to_model` gives these forms.

        Raises:
            ValueError: a form or its base is no number; the message holds neither.
        """
        found = list(forms)
        for one in self.differences:
            if one.field < len(found):
                found[one.field] = one.add(found[one.field], found[one.base])
        return found


def are_differences(stored: Sequence[Sequence[Any]], order: FieldOrder | None) -> bool:
    """Return whether stored triples of field, base and decimals are differences of different fields, each after its base.

    Args:
        stored: from a file; anything may be in the triples.
        order: in which the model is given the fields; None: that of the input.
    """
    for field, base, decimals in stored:
        numbers_fit = all(type(number) is int for number in (field, base)) and 0 <= base < field < _MOST_FIELDS
        decimals_fit = decimals is None or (type(decimals) is int and 0 <= decimals <= MAX_DECIMALS)
        if not numbers_fit or not decimals_fit or (order is not None and base not in order.before(field)):
            return False
    return len({field for field, _, _ in stored}) == len(stored) > 0


def _has_point(digits: str) -> bool:
    return "." in digits


def _rounded(value: Decimal, decimals: int) -> Decimal:
    return value.quantize(Decimal(1).scaleb(-decimals), context=_EXACT)
