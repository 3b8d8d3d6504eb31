"""Which parents a layout has: those that are given, those that tell the most, the nearest."""

from __future__ import annotations

from linesmith.core.artifacts.field_inputs import RELATIONS, SPECIAL_TOKENS
from linesmith.model.fields.choice import layout_of_field_count, layout_of_statistics, public_inputs
from linesmith.model.tokenizers.char_tokenizer import CharTokenizer
from linesmith.model.tokenizers.token_format import TokenFormat
from tests.model.fields.test_inputs import CHARS, statistics

TOKENIZER = CharTokenizer(CHARS, TokenFormat(", "))


def test_in_wide_records_the_informative_come_before_the_nearest() -> None:
    ranked = [[]] * 40
    ranked[35] = [2, 30]
    ranked[39] = list(range(9))
    layout = layout_of_statistics(statistics(40, parents=ranked), TOKENIZER, 80)
    assert layout is not None
    assert layout.inputs.parents[35] == [2, *range(28, 35)]
    assert layout.inputs.parents[39] == list(range(8))
    assert layout.inputs.parents[20] == list(range(12, 20))
    assert layout.inputs.parents[3] == [0, 1, 2]
    assert not layout.inputs.problem(TOKENIZER.total_vocab_size)
    # A ranking from older training data is missing, one of fewer fields ends early.
    assert layout_of_statistics(statistics(40), TOKENIZER, 80).inputs.parents[35] == list(range(27, 35))
    assert layout_of_statistics(statistics(40, parents=[[]]), TOKENIZER, 80).inputs.parents[35] == list(range(27, 35))


def test_given_parents_are_taken_as_they_are() -> None:
    layout = layout_of_statistics(statistics(5), TOKENIZER, 80, {4: [1], 3: [], 9: [2]})
    assert layout is not None
    assert layout.inputs.parents == [[], [0], [0, 1], [], [1]]
    # Field 3 is nobody's parent any more: it needs no rows.
    assert layout.inputs.tokens[3] == [] and [value.field for value in layout.inputs.values] == [0, 1]
    wide = layout_of_statistics(statistics(40, parents=[[0]] * 40), TOKENIZER, 80, {39: list(range(20))})
    assert wide is not None and wide.inputs.parents[39] == list(range(20)) and len(wide.inputs.parents[38]) == 8


def test_given_parents_take_no_rows_from_the_others() -> None:
    many = {255: list(range(255)), 254: list(range(254))}
    plain, given = (public_inputs(256, 2, 300, True, 100, parents=parents) for parents in ({}, many))
    assert given.parents[255] == list(range(255)) and given.parents[254] == list(range(254))
    assert all(set(more) >= set(fewer) for more, fewer in zip(given.parents[:254], plain.parents, strict=False))
    # Fields share the rows of a parent. There is a slot for each parent of the field that has most.
    rows = RELATIONS * (95 + SPECIAL_TOKENS) * (255 - len({parent for parents in plain.parents for parent in parents}))
    assert given.extra_rows == plain.extra_rows + rows + given.parent_slot_count - plain.parent_slot_count


def test_a_parent_that_fields_share_has_one_slot() -> None:
    inputs = public_inputs(40, 2, 300, True, 100, parents={39: [0, 20], 38: [1, 2, 3, 20]})
    slots = {
        (parent, slot)
        for parents, used in zip(inputs.parents, inputs.parent_slots, strict=True)
        for parent, slot in zip(parents, used, strict=True)
    }
    assert len(slots) == len({parent for parent, _ in slots})
    assert all(len(set(used)) == len(used) for used in inputs.parent_slots)
    rows = RELATIONS * (95 + SPECIAL_TOKENS) * len({parent for parents in inputs.parents for parent in parents})
    assert inputs.extra_rows == sum(inputs.positions) + rows + inputs.parent_slot_count


def test_public_parents() -> None:
    layout = layout_of_field_count(3, TOKENIZER, 50, {2: [0]})
    assert layout is not None and layout.inputs.parents == [[], [0], [0]]
