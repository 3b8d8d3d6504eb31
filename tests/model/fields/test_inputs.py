"""What a network that knows fields looks up: the vectorized rows against a slow, obvious oracle, on hostile records."""

from __future__ import annotations

import numpy as np
import pytest

from linesmith.core.artifacts.field_inputs import FieldInputs, ValueHash
from linesmith.model.fields.choice import hash_of_value, layout_of_field_count, layout_of_statistics
from linesmith.model.fields.inputs import input_rows
from linesmith.model.fields.layout import FieldLayout
from linesmith.model.tokenizers.byte_tokenizer import ByteTokenizer
from linesmith.model.tokenizers.char_tokenizer import CharTokenizer
from linesmith.model.tokenizers.token_format import TokenFormat
from tests.helpers.field_oracle import random_records, slow_rows

CHARS = [ord(c) for c in 'abc0123456789.-", ']


def small_layout(
    fields: int, *, memory: int = 1000, first: int = 2, vocab: int = 9, most: int = 4, shared: bool = False
) -> FieldLayout:
    """Return a layout whose fields differ in their parents, tokens and positions."""
    inputs = FieldInputs(
        first_token=first,
        memory=memory,
        positions=[*(2 + number % 3 for number in range(fields)), 2],
        parents=[list(range(max(0, number - most), number))[:: 1 + number % 2] for number in range(fields)],
        tokens=[list(range(first, vocab - number % 3)) for number in range(fields)],
        values=[ValueHash(number, 257 + number, 3 + number) for number in range(0, fields - 1, 2)][:3],
        digits=[*range(first, first + 4), 0, 0, 0, 0, 0, first + 4],
        shared_rows=shared,
    )
    assert inputs.problem(vocab) is None
    return FieldLayout(inputs, vocab)


@pytest.mark.parametrize(
    "layout",
    [
        small_layout(1),
        small_layout(2),
        small_layout(6),
        small_layout(4, memory=5),
        small_layout(5, first=6, vocab=12),
        small_layout(40),
        small_layout(6, shared=True),
        small_layout(40, shared=True),
    ],
    ids=[
        "1 field",
        "2 fields",
        "6 fields",
        "short memory",
        "markers",
        "40 fields",
        "shared rows",
        "40 fields that share",
    ],
)
def test_rows_are_those_of_the_oracle(layout: FieldLayout) -> None:
    ids = random_records(layout, np.random.default_rng(3), 60, 30)
    found = input_rows(ids, layout)
    assert found.shape == (30, 60, layout.slots)
    for record in range(ids.shape[1]):
        assert found[:, record].tolist() == slow_rows(ids[:, record].tolist(), layout)
    assert found.min() >= 0 and found.max() < layout.rows


@pytest.mark.parametrize("shared", [False, True])
def test_slots_share_no_rows(shared: bool) -> None:
    layout = small_layout(12, shared=shared)
    found = input_rows(random_records(layout, np.random.default_rng(4), 200, 40), layout)
    rows = [set(np.unique(found[..., slot]).tolist()) for slot in range(layout.slots)]
    assert sum(map(len, rows)) == len(set.union(*rows))


def test_rows_depend_on_nothing_that_follows() -> None:
    layout = small_layout(6)
    ids = random_records(layout, np.random.default_rng(5), 40, 30)
    whole = input_rows(ids, layout)
    for steps in (1, 7, 20):
        assert np.array_equal(input_rows(ids[:steps], layout), whole[:steps])
        other = ids.copy()
        other[steps:] = 0
        assert np.array_equal(input_rows(other, layout)[:steps], whole[:steps])


def test_rows_depend_on_no_other_record() -> None:
    layout = small_layout(6)
    ids = random_records(layout, np.random.default_rng(6), 20, 25)
    together = input_rows(ids, layout)
    for record in range(20):
        assert np.array_equal(input_rows(ids[:, record : record + 1], layout)[:, 0], together[:, record])


@pytest.mark.parametrize("text", ["1.5, a, 1.5", ", , ", "", "a", "1, 2, 3, 4, 5", 'a, "b, c", 1.2'])
@pytest.mark.parametrize("quoted", [False, True])
@pytest.mark.parametrize("pattern", [None, "<{}>"])
@pytest.mark.parametrize("kind", ["characters", "bytes"])
def test_rows_of_encoded_records(text: str, quoted: bool, pattern: str | None, kind: str) -> None:
    delimiter = "," if quoted else ", "
    fields = TokenFormat(delimiter, quoted=quoted, column_pattern=pattern, markers=0 if pattern is None else 3)
    tokenizer = CharTokenizer(CHARS, fields) if kind == "characters" else ByteTokenizer(fields)
    layout = layout_of_field_count(3, tokenizer, 50)
    assert layout is not None
    ids = [0, *tokenizer.encode_to_ids(text)]
    assert input_rows(np.array(ids)[:, None], layout)[:, 0].tolist() == slow_rows(ids, layout)


def statistics(count: int, **changes: object) -> dict:
    """Return statistics of records with some number of fields."""
    field = {"max_chars": 4, "values": {"a": 100, "b": 50}, "tokens": [2, 3, 4]}
    return {"records_described": 200, "field_counts": {str(count): 190, "2": 10}, "fields": [field] * count, **changes}


def test_the_usual_number_of_fields_decides() -> None:
    tokenizer = CharTokenizer(CHARS, TokenFormat(", "))
    layout = layout_of_statistics(statistics(5), tokenizer, 80)
    assert layout is not None and layout.fields == 5
    assert layout.inputs.parents == [[], [0], [0, 1], [0, 1, 2], [0, 1, 2, 3]]
    assert [value.field for value in layout.inputs.values] == [0, 1, 2, 3]
    assert layout_of_statistics(statistics(5, field_counts={"1": 150, "5": 50}), tokenizer, 80) is None
    assert layout_of_statistics(statistics(1, field_counts={"1": 200}), tokenizer, 80) is None
    assert layout_of_statistics(statistics(0, records_described=0, field_counts={}), tokenizer, 80) is None
    assert layout_of_field_count(1, tokenizer, 80) is None


def test_few_values_have_rows_of_their_own() -> None:
    tokenizer = CharTokenizer(CHARS, TokenFormat(", "))
    texts = [f"{number}" for number in range(40)]
    field = {"max_chars": 4, "values": dict.fromkeys(texts, 100), "tokens": [2, 3, 4]}
    found = layout_of_statistics(statistics(2, records_described=4000, fields=[field] * 2), tokenizer, 80)
    assert found is not None
    (value,) = found.inputs.values
    rows = {hash_of_value(tokenizer.encode_to_ids(text), value.multiplier) % value.buckets for text in texts}
    assert len(rows) >= 38
    many = layout_of_statistics(statistics(2, records_described=199, fields=[field] * 2), tokenizer, 80)
    assert many is not None and not many.inputs.values


def test_values_leave_rows_for_parents() -> None:
    tokenizer = CharTokenizer(CHARS, TokenFormat(", "))
    sizes = [900] * 20 + [3]
    fields = [
        {"max_chars": 4, "values": {str(value): 9 for value in range(size)}, "tokens": [2, 3, 4]} for size in sizes
    ]
    layout = layout_of_statistics(statistics(22, records_described=9000, fields=[*fields, fields[0]]), tokenizer, 80)
    assert layout is not None
    assert [value.field for value in layout.inputs.values] == [*range(7), 20]  # the one of three values first
    assert layout.inputs.parents[21] == list(range(21))


def test_unused_rows_are_those_of_steps_that_need_no_slot() -> None:
    layout = small_layout(4)
    first_field = input_rows(np.zeros((1, 1), np.int32), layout)[0, 0]  # it has no parent
    assert first_field[2:].tolist() == layout.unused_rows[2:].tolist()


@pytest.mark.parametrize("count", [300, 10_000])
def test_wide_records_have_a_table_of_bounded_size(count: int) -> None:
    tokenizer = ByteTokenizer(TokenFormat(","))
    field = {"max_chars": 40, "values": None, "tokens": list(range(2, 130))}
    layout = layout_of_statistics(statistics(count, fields=[field] * min(count, 256)), tokenizer, 5000)
    assert layout is not None and layout.fields == 256
    assert layout.rows < (1 << 15) + tokenizer.total_vocab_size
    ids = random_records(layout, np.random.default_rng(7), 2, 400)
    for record in range(2):
        assert input_rows(ids, layout)[:, record].tolist() == slow_rows(ids[:, record].tolist(), layout)


@pytest.mark.parametrize(
    "changes",
    [
        {"positions": [2]},
        {"parents": [[], [1]]},
        {"parents": [[], [0, 0]]},
        {"tokens": [[3, 2], []]},
        {"tokens": [[2, 99], []]},
        {"values": [ValueHash(5, 257, 3)]},
        {"values": [ValueHash(0, 257, 3), ValueHash(0, 259, 3)]},
        {"parents": []},
        {"digits": [9] * 10},
    ],
)
def test_a_contradictory_description_is_refused(changes: dict) -> None:
    good = {
        "first_token": 2,
        "memory": 9,
        "positions": [2, 2, 2],
        "parents": [[], [0]],
        "tokens": [[2, 3], [2]],
        "values": [],
        "digits": [0] * 10,
    }
    assert FieldInputs(**good).problem(9) is None  # type: ignore[arg-type]
    assert FieldInputs(**{**good, **changes}).problem(9) is not None  # type: ignore[arg-type]
