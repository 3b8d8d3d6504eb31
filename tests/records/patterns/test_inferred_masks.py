"""What the masks of an inferred type allow is what the validator accepts, and holds all that training held."""

from __future__ import annotations

import json
from functools import cache

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings

from linesmith.records.fields import FieldFormat
from linesmith.records.input.field_statistics import FieldAccumulator
from linesmith.records.output.avro_names import avro_record_schema
from linesmith.records.output.column_types import STRING, ColumnType
from linesmith.records.output.layout import RecordLayout
from linesmith.records.output.schema import infer_schema, parse_schema
from linesmith.records.patterns.automaton import DEAD, ByteAutomaton, in_optional_quotes
from linesmith.records.patterns.number_ranges import number_automaton, number_range
from linesmith.records.patterns.schema_automata import field_automata
from linesmith.records.validation.record_checks import RecordCheckSpec
from tests.helpers.columns import COLUMNS

TYPES = [
    *(
        ColumnType(name)
        for name in ("int", "long", "float", "double", "boolean", "date", "timestamp", "local_timestamp")
    ),
    *(ColumnType(name, unit="ms") for name in ("timestamp", "local_timestamp")),
    *(ColumnType("decimal", precision=p, scale=s) for p, s in ((18, 2), (18, 0), (38, 2), (38, 38), (5, 5))),
    ColumnType("date", nullable=True),
    ColumnType("enum", symbols=("red", "green")),
]


def automaton(column_type: ColumnType, **limits: float) -> ByteAutomaton:
    schema = avro_record_schema(["x"], [column_type])
    schema["fields"][0] |= limits
    (found,) = field_automata(parse_schema(json.dumps(schema)), 1)
    assert found is not None
    return found


@cache
def automaton_of_type(column_type: ColumnType) -> ByteAutomaton:
    return automaton(column_type)


def alive_states(machine: ByteAutomaton) -> np.ndarray:
    alive = machine.accepting.copy()
    while True:
        more = alive | (alive[machine.transitions] & (machine.transitions != DEAD)).any(axis=1)
        if (more == alive).all():
            return alive
        alive = more


def accepted_texts(machine: ByteAutomaton, count: int, seed: int = 1) -> list[str]:
    """Return texts that the automaton accepts, by random walks; half of them prefer the lowest and highest bytes."""
    random, alive = np.random.default_rng(seed), alive_states(machine)
    texts = []
    for number in range(count):
        state, text = 0, bytearray()
        while not (machine.accepting[state] and random.random() < 0.2):
            nexts = machine.transitions[state]
            choices = np.flatnonzero((nexts != DEAD) & alive[nexts])
            if not len(choices):
                break
            byte = int(random.choice(choices[[0, -1]] if number % 2 else choices))
            text.append(byte)
            state = int(nexts[byte])
        texts.append(text.decode())
    return texts


def check(column_type: ColumnType, quoted: bool = False):
    layout = RecordLayout(("x", "y"), FieldFormat(",", quoted), types=(column_type, STRING))
    return RecordCheckSpec(layout=layout, check_types=True).load()


@pytest.mark.parametrize(
    "column_type", TYPES, ids=lambda one: f"{one.type_name}-{one.precision}-{one.scale}-{one.unit}"
)
def test_every_text_that_a_mask_allows_is_valid(column_type: ColumnType) -> None:
    checks, quoted_checks = check(column_type), check(column_type, quoted=True)
    machine = automaton(column_type)
    for text in accepted_texts(machine, 1500):
        assert checks(text + ",y").valid, text
    for text in accepted_texts(in_optional_quotes(machine), 500):
        assert quoted_checks(text + ",y").valid, text


@pytest.mark.parametrize("text", ["0001-01-01T00:00+23:59", "9999-12-31 23:59:59-00:01"])
def test_a_point_in_time_outside_of_the_calendar_is_masked(text: str) -> None:
    assert not automaton(ColumnType("timestamp")).accepts_text(text.encode())
    assert automaton(ColumnType("timestamp")).accepts_text(
        text.replace("0001-", "0002-").replace("9999-", "9998-").encode()
    )


@pytest.mark.parametrize(
    "text", ["1.7976931348623157e+308", "-1e+300", "5e-324", "2.2250738585072014e-308", "0.00012345678901234567"]
)
def test_the_mask_of_floats_holds_the_largest_and_the_smallest(text: str) -> None:
    assert repr(float(text)) == text
    assert automaton(ColumnType("double")).accepts_text(text.encode())


def test_a_decimal_at_its_limit_is_valid() -> None:
    """A float of 0.3 lies a little below the decimal."""
    column_type = ColumnType("decimal", precision=5, scale=2)
    schema = parse_schema(
        json.dumps(
            {
                "type": "record",
                "name": "R",
                "fields": [{"name": "x", "type": column_type.avro, "minimum": -0.3, "maximum": 0.3}],
            }
        )
    )
    layout = RecordLayout(("x",), FieldFormat(","), types=(column_type,))
    checks = RecordCheckSpec(layout=layout, check_types=True, limits=schema.limits).load()
    for text in accepted_texts(automaton(column_type, minimum=-0.3, maximum=0.3), 200):
        assert checks(text).valid, text
    assert not checks("0.31").valid


@settings(max_examples=60, deadline=None, derandomize=True)
@given(COLUMNS)
def test_masks_of_an_inferred_column_hold_its_values_and_nothing_invalid(values: list[str]) -> None:
    field = FieldAccumulator()
    field.add(pa.array(values, pa.large_string()))
    described = field.as_dict()
    (column_type,) = infer_schema([described], ["x"]).types
    limits = number_range(described)
    if limits is not None:
        machine = number_automaton(limits)
    elif column_type != STRING:
        machine = automaton_of_type(column_type)
    else:
        return
    checks = check(column_type)
    for value in values:
        assert machine.accepts_text(value.encode()), value
    for text in accepted_texts(machine, 8):
        assert checks(text + ",y").valid, text
