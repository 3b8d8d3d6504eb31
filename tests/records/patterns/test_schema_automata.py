"""Automata of schema types: malformed schemas are refused, and accepted texts can be parsed as the type."""

from __future__ import annotations

import json

import pytest

from linesmith.core.errors import ParameterError
from linesmith.records.output.schema import parse_schema
from linesmith.records.patterns import schema_automata
from linesmith.records.patterns.schema_automata import field_automata

B = {"name": "b", "type": "int"}


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ([], "does not describe a record"),
        ([{"name": "a", "type": "int"}], "it has 1 fields, but the model's records have 2"),
        ([{"name": "a", "type": {"type": "map", "values": "int"}}, B], "field 'a' is of a type that is not supported"),
        ([{"name": "a", "type": "string", "pattern": "^a"}, B], "field 'a' has a pattern that cannot be used: the pat"),
        ([{"name": "a", "type": "int", "minimum": 3, "maximum": 2}, B], "field 'a' has a minimum of 3 above"),
        ([{"name": "a", "type": "int", "minimum": "3"}, B], "a minimum or maximum that is no number"),
        ([{"name": "a", "type": "string", "maximum": 3}, B], "a minimum or maximum, but is of type string"),
    ],
)
def test_a_schema_that_cannot_be_used_is_named(fields, message):
    schema = json.dumps({"type": "record", "name": "R", "fields": fields})
    with pytest.raises(ParameterError, match=f"LS111.*{message}"):
        field_automata(parse_schema(schema), 2)


@pytest.mark.parametrize(
    ("field", "texts"),
    [
        ({"type": "int"}, ["0", "-7", "2147483647"]),
        ({"type": "long", "minimum": -2.5, "maximum": 7.5}, ["-2", "7"]),
        ({"type": "double"}, ["1.5", "-2e3", "+4"]),
        ({"type": "double", "minimum": 0}, ["0.25", "17"]),
        ({"type": {"type": "bytes", "logicalType": "decimal", "precision": 4, "scale": 2}}, ["99.99", "-0.5"]),
        (
            {"type": {"type": "long", "logicalType": "timestamp-millis"}},
            ["2016-10-31 12:34:56.789Z", "2016-10-31T12:34"],
        ),
        ({"type": {"type": "long", "logicalType": "local-timestamp-micros"}}, ["2016-10-31 12:34:56.789123"]),
        ({"type": ["null", "boolean"]}, ["", "true", "FALSE"]),
        ({"type": "string", "pattern": "[ab]+"}, ["ab"]),
    ],
)
def test_accepted_texts_can_be_parsed(field, texts):
    """Automata and parsers are written separately from the same schema; here they are compared."""
    schema = parse_schema(json.dumps({"type": "record", "name": "R", "fields": [{"name": "a", **field}]}))
    (automaton,), (column_type,) = field_automata(schema, 1), schema.types
    for text in texts:
        assert automaton.accepts_text(text.encode()), text
        column_type.parse(text)


def test_equal_fields_of_a_wide_schema_are_compiled_once(monkeypatch):
    """The pattern of a number in a range has thousands of parts, which took 60 ms a field to build and compare."""
    made = []
    decimals = schema_automata.decimals
    monkeypatch.setattr(schema_automata, "decimals", lambda *limits: made.append(limits) or decimals(*limits))
    fields = [{"name": f"f{number}", "type": "double", "maximum": 5 + number % 2} for number in range(200)]
    schema = parse_schema(json.dumps({"type": "record", "name": "R", "fields": fields}))
    automata = field_automata(schema, 200)
    assert len(made) == 2
    assert len({id(machine) for machine in automata}) == 2
