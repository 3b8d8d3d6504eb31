"""Encode partial records: check what is given against the model and the schema, and make ids of it that are forced.

What is given is text by column. A record that cannot have it is not an error of the whole run: its start string has a fault,
so that its index stays without a record and its reason is counted.
"""

from __future__ import annotations

import csv
import difflib
import functools
import math
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from linesmith.core.config.setting_field import shortened
from linesmith.core.errors import TokenizerError
from linesmith.model.generation.requests.field_prefixes import field_ids, field_prefix
from linesmith.model.generation.requests.partial_records import condition_error
from linesmith.model.generation.work_units import StartString
from linesmith.model.sampling.sample_types import FREE
from linesmith.model.sampling.token_automaton import TokenAutomaton
from linesmith.model.tokenizers.base import Tokenizer
from linesmith.records.fields import DELIMITER_ID, NEWLINE_ID, FieldFormat
from linesmith.records.validation.record_checks import RecordCheckSpec

_SPELLING = FieldFormat(",", quoted=True)
_COMPARED_CHARS = 256  # of a value, with those that are known: comparing takes quadratic time


@dataclass(frozen=True)
class ConditionSettings:
    """What may be given, and how it is checked. It is sent to workers.

    Attributes:
        option: the option that conditions come from, with its value, for messages.
        columns: names of all fields, in the order of the text.
        allowed: columns that may be given.
        fill: fields that are not given should not stay empty.
        known: the values of columns in the training data, spelled as there; a column of which nothing is known is absent.
        strict: refuse a value that a column of `known` never had.
        checks: types and limits of the schema.
    """

    option: str
    columns: tuple[str, ...]
    allowed: tuple[str, ...]
    fill: bool = False
    known: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    strict: bool = False
    checks: RecordCheckSpec = field(default_factory=RecordCheckSpec)


@dataclass
class ConditionCounts:
    """What the user should know about conditions that were encoded: numbers of records by column.

    Attributes:
        unseen: a value that the training data never had is used as it is given.
        replaced: the nearest value of the training data is used instead, because the model cannot write the given one.
        unchecked: a value of which nothing is known, under `strict`.
    """

    unseen: Counter[str] = field(default_factory=Counter)
    replaced: Counter[str] = field(default_factory=Counter)
    unchecked: Counter[str] = field(default_factory=Counter)

    def merge(self, other: ConditionCounts) -> None:
        """Add the counts of other records."""
        self.unseen.update(other.unseen)
        self.replaced.update(other.replaced)
        self.unchecked.update(other.unchecked)


class _FaultError(Exception):
    """What is given cannot be part of a record.

    Args:
        reason: under which the record is counted.
        found: what is wrong, in words.
    """

    def __init__(self, reason: str, found: str) -> None:
        super().__init__(reason)
        self.reason, self.found = reason, found


class ConditionEncoder:
    """Encodes partial records of one kind.

    Args:
        settings: what may be given.
        tokenizer: the model's.
        automaton: its masks, or None.

    Attributes:
        counts: what the user should know.
        nearest: nearest known value of values that the training data never had, by column and value.
    """

    def __init__(self, settings: ConditionSettings, tokenizer: Tokenizer, automaton: TokenAutomaton | None) -> None:
        self.counts = ConditionCounts()
        self.nearest: dict[tuple[str, str], str | None] = {}
        self._settings = settings
        self._tokenizer = tokenizer
        self._automaton = automaton
        self._fields = FieldFormat(tokenizer.field_delimiter, tokenizer.quoted)
        self._positions = {name: position for position, name in enumerate(settings.columns)}
        count, order = len(settings.columns), tokenizer.token_format.order
        positions = range(count) if order is None else order.for_count(count)
        self._bases = tokenizer.token_format.bases
        self._numbers = {position: number for number, position in enumerate(positions)}
        self._checks = settings.checks.load()
        self._spellings = {name: _spellings(values, self._fields) for name, values in settings.known.items()}
        self._spelled = functools.lru_cache(maxsize=1 << 16)(self._spell)

    def encode_rows(self, rows: Iterable[Mapping[str, str]]) -> Iterator[StartString]:
        """Encode partial records one by one, when they are reached.

        Raises:
            ParameterError: LS132, under `strict`, a column never had a value.
        """
        for number, row in enumerate(rows, 1):
            try:
                yield self.encode(row, number)
            except _FaultError as fault:
                yield StartString(condition_text(row), (), fault.reason)

    def encode_condition(self, given: Mapping[str, str]) -> StartString:
        """Encode the one condition of many records.

        Raises:
            ParameterError: LS132, no record can have it; or under `strict`, a column never had a value.
        """
        try:
            return self.encode(given)
        except _FaultError as fault:
            raise condition_error(self._settings.option, fault.found, "Give another value, or leave it out.") from None

    def encode(self, given: Mapping[str, str], number: int | None = None) -> StartString:
        """Encode what is given of a record.

        Args:
            given: texts by column, all of them allowed.
            number: of the record in its file, whose values no message shows; None for what the user typed.

        Raises:
            ParameterError: LS132, under `strict`, a column never had a value.
            _FaultError: no record can have it.
        """
        spelled = {}
        for name, value in given.items():
            base = self._bases.get(self._positions[name])
            if value and base is not None and self._settings.columns[base] not in given:
                found = f"is written as a difference from '{self._settings.columns[base]}' (--differences), which is not given"
                raise _FaultError(f"condition:{name}:base", f"column '{name}' {found}")
            text, status = self._spelled(name, value)
            if status == "unchecked":
                if self._settings.strict:
                    self.counts.unchecked[name] += 1
            elif status != "known":
                self._note_unseen(name, value, status, number)
            spelled[self._positions[name]] = text
        to_fill = set(self._positions.values()) - set(spelled) if self._settings.fill else ()
        try:
            ids = field_prefix(self._tokenizer, spelled, len(self._positions), to_fill)
        except TokenizerError:  # each field could be encoded
            raise _FaultError("condition", "the fields that are given make no record") from None
        return StartString(condition_text(given), ids)

    def _note_unseen(self, name: str, value: str, status: str, number: int | None) -> None:
        if self._settings.strict:
            nearest = self.nearest[name, value]
            hint = "" if nearest is None else f"; the nearest is '{shortened(nearest)}'"
            found = (
                f"column '{name}' never had the value '{shortened(value)}' in the training data (--strict-conditions){hint}"
                if number is None
                else f"record {number}, column '{name}': the training data never had this value (--strict-conditions)"
            )
            raise condition_error(
                self._settings.option, found, "Give a value that it had, or leave --strict-conditions out."
            )
        (self.counts.replaced if status == "replaced" else self.counts.unseen)[name] += 1

    def _spell(self, name: str, value: str) -> tuple[str, str]:
        """Return a value as records hold it, and what is known of it: known, unseen, replaced or unchecked.

        Raises:
            _FaultError: no record can have it.
        """
        position, spellings = self._positions[name], self._spellings.get(name)
        if position in self._bases:  # the masks are about the difference, which `field_prefix` finds
            self._check(name, position, value, self._fields.quote(value))
            return self._fields.quote(value), "unchecked"
        if spellings is not None and value in spellings:
            self._check(name, position, value, spellings[value])
            return spellings[value], "known"
        text = self._fields.quote(value)
        if spellings and self._fields.quoted and all(raw[:1] == '"' for raw in spellings.values()):
            doubled = value.replace('"', '""')
            text = f'"{doubled}"'
        if spellings:
            self.nearest[name, value] = nearest_value(value, spellings)
        try:
            self._check(name, position, value, text)
        except TokenizerError:
            nearest = self.nearest.get((name, value))
            if not spellings or nearest is None or self._settings.fill:  # what is kept is never changed
                reason = f"condition:{name}:unknown"
                raise _FaultError(reason, f"column '{name}' has a character that the model does not know") from None
            self._check(name, position, nearest, spellings[nearest])
            return spellings[nearest], "replaced"
        return text, "unchecked" if not spellings else "unseen"

    def _check(self, name: str, position: int, value: str, text: str) -> None:
        """Check that a record can have a text as a field.

        Raises:
            TokenizerError: the model does not know a character of it.
            _FaultError: it is not one field, or contradicts the schema or the masks.
        """
        if not self._is_one_field(text, value, position):
            reason = f"condition:{name}:field"
            raise _FaultError(
                reason, f"column '{name}' has a value that cannot be one field of a line (a delimiter or a line end)"
            )
        fault = self._checks.field_fault(position, value)
        if fault is not None:
            raise _FaultError(fault, f"column '{name}' has a value that contradicts the schema ({fault})")
        if position in self._bases:
            return
        number = self._numbers[position]
        ids = field_ids(self._tokenizer, text, number)
        ids.append(NEWLINE_ID if number == len(self._positions) - 1 else DELIMITER_ID)
        if self._automaton is not None and not self._automaton.accepts_prefix((FREE,) * number + tuple(ids)):
            raise _FaultError(f"condition:{name}:masks", f"column '{name}' has a value that the masks rule out")

    def _is_one_field(self, text: str, value: str, position: int) -> bool:
        """Return whether a text is read back as one field with a value."""
        if "\n" in text or "\r" in text:
            return False
        last = position == len(self._positions) - 1
        line, expected = (text, [value]) if last else (f"{text}{self._fields.delimiter}x", [value, "x"])
        try:
            return self._fields.split(line) == expected
        except csv.Error:
            return False


def condition_text(given: Mapping[str, str]) -> str:
    """Return what is given as `--where` would take it, for the column `start_string` of typed output.

    Example:
        >>> condition_text({"country": "IT", "town": "Rome, Lazio"})
        'country=IT,town="Rome, Lazio"'
    """
    return ",".join(f"{_SPELLING.quote(name)}={_SPELLING.quote(value)}" for name, value in given.items())


def nearest_value(value: str, known: Iterable[str]) -> str | None:
    """Return the known value that is nearest: among numbers by difference, otherwise by common runs of characters.

    Returns:
        None where nothing is near: an empty text, or a text beside numbers.

    Example:
        >>> nearest_value("118", ["9", "120", ""]), nearest_value("Itly", ["France", "Italy"]), nearest_value("x", ["1"])
        ('120', 'Italy', None)
    """
    values = sorted(set(known) - {""})
    if value == "" or not values:
        return None
    numbers = [number for number in map(_number, values) if number is not None]
    if len(numbers) < len(values):
        return difflib.get_close_matches(value[:_COMPARED_CHARS], values, n=1, cutoff=0.0)[0]
    wanted = _number(value)
    return None if wanted is None else values[min(range(len(values)), key=lambda place: abs(numbers[place] - wanted))]


def _number(text: str) -> float | None:
    try:
        number = float(text)
    except ValueError:
        return None
    return number if math.isfinite(number) else None


def _spellings(values: Iterable[str], fields: FieldFormat) -> dict[str, str]:
    """Return how records spell values, by value: data may quote what need not be quoted."""
    spellings: dict[str, str] = {}
    for raw in values:
        try:
            found = fields.split(raw) if fields.quoted else [raw]
        except csv.Error:
            continue
        if len(found) == 1 and (found[0] not in spellings or len(raw) < len(spellings[found[0]])):
            spellings[found[0]] = raw
    return spellings
