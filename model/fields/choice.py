"""The choice of what a network looks up: from the statistics that tokenize gathered, or from public settings alone."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

from linesmith.core.artifacts.field_inputs import (
    MAX_FIELDS,
    RELATIONS,
    SPECIAL_TOKENS,
    FieldInputs,
    ValueHash,
)
from linesmith.core.errors import TokenizerError
from linesmith.model.fields.layout import HASH_MODULUS, FieldLayout
from linesmith.model.tokenizers.base import Tokenizer
from linesmith.model.tokenizers.byte_tokenizer import ByteTokenizer
from linesmith.records.input.record_sample import NARROW_FIELDS

_NARROW_PRIVATE = 16  # fields up to which every earlier field is a parent in private training
_MOST_PARENTS = 8  # of a field in wide records: those that tell the most about it, then the nearest
_MOST_ROWS = 1 << 15  # of the table: every step of the optimizer passes over all of them
_MOST_POSITIONS = 32  # offsets told apart in a field
_LATER_POSITIONS = 8  # and in the fields after the known ones
_MOST_TOKENS = 128  # tokens of a parent that are told apart
MOST_ROWS_PER_PARENT = RELATIONS * (_MOST_TOKENS + SPECIAL_TOKENS)
_MOST_BUCKETS = 2048
_MOST_VALUE_ROWS = 1 << 14  # of all values together: the rest is for parents
_RECORDS_PER_VALUE = 5  # on average, where values count as few: otherwise a value tells little but which record it is
_FIRST_MULTIPLIER, _MULTIPLIERS = 257, 64
_PRINTABLE = range(0x20, 0x7F)
Parents = Mapping[int, Sequence[int]]
_NO_PARENTS: Parents = {}


def layout_of_statistics(
    statistics: dict[str, Any], tokenizer: Tokenizer, memory: int, parents: Parents = _NO_PARENTS
) -> FieldLayout | None:
    """Choose what a network looks up by the statistics of its training records.

    Args:
        statistics: of the fields, as `FieldStatistics.as_dict` returns them.
        tokenizer: of the records.
        memory: tokens of the longest record that is generated.
        parents: given ones of some fields, by number in the order of the model.

    Returns:
        The layout; None where most records have a single field, which is free text.
    """
    counts = {int(count): number for count, number in statistics["field_counts"].items()}
    # The usual number of fields; the larger one where two are as frequent.
    usual = max(counts, key=lambda count: (counts[count], count), default=1)
    order = tokenizer.token_format.order  # statistics have the order of the input
    described = statistics["fields"] if order is None else order.to_model(statistics["fields"])
    described = itertools.takewhile(lambda field: field["tokens"] is not None, described)
    fields = list(itertools.islice(described, min(usual, MAX_FIELDS)))
    if tokenizer.field_delimiter is None or len(fields) < 2:
        return None
    records = statistics["records_described"]
    few = {number: field["values"] for number, field in enumerate(fields[:-1]) if _are_few(field["values"], records)}
    values = [_value_hash(number, list(texts), tokenizer) for number, texts in _within_rows(few).items()]
    positions = [min(field["max_chars"] + 1, _MOST_POSITIONS) for field in fields]
    tokens = [field["tokens"][:_MOST_TOKENS] for field in fields]
    first, digits = tokenizer.token_format.reserved_count, _digits(tokenizer)
    ranked = statistics.get("parents", [])
    describe = partial(FieldInputs, first_token=first, memory=memory, digits=digits)
    inputs = _choose_parents(describe, positions, tokens, values, parents, ranked, NARROW_FIELDS)
    return FieldLayout(inputs, tokenizer.total_vocab_size)


def layout_of_field_count(
    count: int, tokenizer: Tokenizer, memory: int, parents: Parents = _NO_PARENTS
) -> FieldLayout | None:
    """Choose what a network looks up by public knowledge alone: nothing here depends on records.

    Args:
        count: number of fields, from the configuration.
        tokenizer: of the records; its vocabulary is public, or was charged.
        memory: tokens of the longest record that is generated.
        parents: given ones of some fields, by number in the order of the model.

    Returns:
        The layout; None for a single field.
    """
    if tokenizer.field_delimiter is None or count < 2:
        return None
    first, vocab_size = tokenizer.token_format.reserved_count, tokenizer.total_vocab_size
    is_bytes, digits = isinstance(tokenizer, ByteTokenizer), _digits(tokenizer)
    return FieldLayout(public_inputs(count, first, vocab_size, is_bytes, memory, digits, parents), vocab_size)


def public_inputs(
    count: int,
    first_token: int,
    vocab_size: int,
    is_bytes: bool,
    memory: int,
    digits: Sequence[int] = (0,) * 10,
    parents: Parents = _NO_PARENTS,
) -> FieldInputs:
    """Choose what a network looks up, for any records with a number of fields.

    Args:
        count: number of fields, at least 2.
        first_token: number of reserved ids.
        vocab_size: number of ids.
        is_bytes: whether the vocabulary is that of bytes, of which those of printable ASCII are told apart.
        memory: tokens of the longest record that is generated.
        digits: ids of the digits, 0 for one that there is not; they do not change the number of rows.
        parents: given ones of some fields.
    """
    count, ids = min(count, MAX_FIELDS), range(first_token, vocab_size)
    if is_bytes:
        ids = range(first_token + _PRINTABLE.start, first_token + _PRINTABLE.stop)
    tokens = [list(ids[:_MOST_TOKENS])] * count
    # Noise is added to every row, so there should be few.
    describe = partial(FieldInputs, first_token=first_token, memory=memory, digits=list(digits), shared_rows=True)
    return _choose_parents(describe, [_MOST_POSITIONS] * count, tokens, [], parents, [], _NARROW_PRIVATE)


def _choose_parents(
    describe: Callable[..., FieldInputs],
    positions: Sequence[int],
    tokens: Sequence[list[int]],
    values: Sequence[ValueHash],
    given: Parents,
    ranked: Sequence[Sequence[int]],
    narrow: int,
) -> FieldInputs:
    """Choose parents: those that are given, of the other fields as many as the table has rows for.

    Args:
        describe: makes the description, given what follows.
        positions: as in `FieldInputs`.
        tokens: the same, of fields that are parents and of others.
        values: the same.
        given: parents of some fields.
        ranked: for each field the earlier fields that tell the most about it, the best first; it may be shorter.
        narrow: fields of a record up to which every earlier field is a parent, if the table has the rows.
    """
    count = len(tokens)
    given = {field: parents for field, parents in given.items() if field < count}

    def with_parents(parents: Callable[[int], Sequence[int]], values: Sequence[ValueHash]) -> FieldInputs:
        of_fields = [sorted(parents(field)) for field in range(count)]
        known = {parent for field in of_fields for parent in field}
        return describe(
            positions=[*positions, _LATER_POSITIONS],
            parents=of_fields,
            tokens=[list(ids) if field in known else [] for field, ids in enumerate(tokens)],
            values=[value for value in values if value.field in known],
        )

    def given_or_best(most: int, field: int) -> Sequence[int]:
        return given[field] if field in given else _best(field, ranked[field] if field < len(ranked) else ())[:most]

    # Given parents take no rows from the others.
    most_rows = _MOST_ROWS + with_parents(lambda field: given.get(field, ()), []).extra_rows
    most_rows -= with_parents(lambda _: (), []).extra_rows
    for most in range(count - 1 if count <= narrow else _MOST_PARENTS, -1, -1):
        inputs = with_parents(partial(given_or_best, most), values)
        if inputs.extra_rows <= most_rows:
            break
    return inputs


def _best(field: int, ranked: Sequence[int]) -> list[int]:
    """Return the earlier fields, the most informative first, then the nearest."""
    return [*ranked, *(parent for parent in range(field - 1, -1, -1) if parent not in ranked)]


def _digits(tokenizer: Tokenizer) -> list[int]:
    """Return the id of each digit, 0 for one that is not a token of its own."""
    found = []
    for digit in "0123456789":
        try:
            ids = [
                number for number in tokenizer.encode_to_ids(digit) if number >= tokenizer.token_format.reserved_count
            ]
        except TokenizerError:
            ids = []
        found.append(ids[0] if len(ids) == 1 else 0)
    return found


def _are_few(values: dict[str, int] | None, records: int) -> bool:
    return values is not None and len(values) > 1 and records >= _RECORDS_PER_VALUE * len(values)


def _within_rows(few: dict[int, dict[str, int]]) -> dict[int, dict[str, int]]:
    """Return the fields that are looked up by value: those with the fewest values, as many as there are rows for."""
    kept, rows = set(), 0
    for number in sorted(few, key=lambda number: len(few[number])):
        rows += _buckets(len(few[number]))
        if rows <= _MOST_VALUE_ROWS:
            kept.add(number)
    return {number: values for number, values in few.items() if number in kept}


def _buckets(values: int) -> int:
    """Return the rows of a field of a number of values: enough that few of them share one."""
    return min(max(values, values**2 // 4), _MOST_BUCKETS) + 1


def _value_hash(field: int, texts: Sequence[str], tokenizer: Tokenizer) -> ValueHash:
    """Return the hash that gives the most values of a field rows of their own."""
    first = tokenizer.token_format.reserved_count
    values = [[number for number in tokenizer.encode_to_ids(text) if number >= first] for text in texts]
    buckets = _buckets(len(values))

    def distinct(multiplier: int) -> int:
        return len({hash_of_value(ids, multiplier) % buckets for ids in values})

    multipliers = range(_FIRST_MULTIPLIER, _FIRST_MULTIPLIER + 2 * _MULTIPLIERS, 2)
    return ValueHash(field, max(multipliers, key=distinct), buckets)


def hash_of_value(ids: Sequence[int], multiplier: int) -> int:
    """Compute the hash of a field's tokens of text.

    Example:
        >>> hash_of_value([2, 3], 257)
        1291
    """
    value = 0
    for number in ids:
        value = (value * multiplier + number + 3) % HASH_MODULUS
    return value
