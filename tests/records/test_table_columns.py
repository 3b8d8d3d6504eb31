"""Values of a table as text: what is written is read back equal, for every kind, and nothing else is read."""

from __future__ import annotations

import json
import math
import struct
from dataclasses import replace
from datetime import date
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from linesmith.records.output.schema import parse_schema
from linesmith.records.patterns.schema_automata import field_automata
from linesmith.records.sources.shape import Node, TableSource
from linesmith.records.table_columns import (
    OMITTED,
    UNIT_DIGITS,
    TableColumn,
    escape_text,
    integer_range,
    unescape_text,
)
from linesmith.records.table_format import TABLE_FIELDS, TableFormat, parse_table_format, row_text

TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=30) | st.text('a,"\\\n\r e', max_size=12)
DAY = 86_400


def masked(column: TableColumn, text: str) -> bool:
    """Return whether the sampler may write a text in a column."""
    schema = parse_schema(TableFormat("arrow", (column,)).mask_schema)
    (automaton,) = field_automata(schema, 1)
    return automaton is None or automaton.accepts_text(text.encode())


def round_trip(column: TableColumn, value: object) -> object:
    text = column.encode(value)
    assert "\n" not in text and "\r" not in text
    assert TABLE_FIELDS.split(row_text([text, "x"])) == [text, "x"]
    assert TABLE_FIELDS.split(row_text([text])) == [text]
    return column.decode(text)


@given(TEXTS)
def test_any_text_comes_back_and_stays_on_one_line(value):
    assert round_trip(TableColumn("a", "text"), value) == value
    assert unescape_text(escape_text(value)) == value


@given(TEXTS, TEXTS)
def test_different_texts_are_written_differently(one, other):
    assert (escape_text(one) == escape_text(other)) == (one == other)


@given(st.lists(st.none() | TEXTS, min_size=1, max_size=5))
def test_rows_of_texts_and_nulls_come_back(values):
    column = TableColumn("a", "text")
    row = row_text([column.encode(value) for value in values])
    assert row
    assert [column.decode(text) for text in TABLE_FIELDS.split(row)] == values


@given(st.sampled_from([8, 16, 32, 64]), st.booleans(), st.data())
def test_integers_of_every_width_come_back(bits, signed, data):
    least, most = integer_range(bits, signed)
    column = TableColumn("a", "integer", bits=bits, signed=signed)
    value = data.draw(st.integers(least, most))
    assert round_trip(column, value) == value
    for outside in (least - 1, most + 1):
        with pytest.raises(ValueError, match="range"):
            column.encode(outside)
        with pytest.raises(ValueError, match="range"):
            column.decode(str(outside))


@given(st.floats())
def test_floats_of_64_bits_come_back(value):
    found = round_trip(TableColumn("a", "float"), value)
    assert found == value or (math.isnan(found) and math.isnan(value))
    assert math.copysign(1, found) == math.copysign(1, value) or math.isnan(value)


@given(st.floats(width=32))
def test_floats_of_32_bits_come_back_and_are_short(value):
    column = TableColumn("a", "float", bits=32)
    found = round_trip(column, value)
    assert struct.pack("f", found) == struct.pack("f", value) or (math.isnan(found) and math.isnan(value))
    assert column.encode(struct.unpack("f", struct.pack("f", 0.1))[0]) == "0.1"


@given(st.integers(1, 38), st.data())
def test_decimals_come_back_with_their_scale(precision, data):
    scale = data.draw(st.integers(0, precision))
    column = TableColumn("a", "decimal", precision=precision, scale=scale)
    value = Decimal(f"{data.draw(st.integers(-(10**precision) + 1, 10**precision - 1))}e-{scale}")
    found = round_trip(column, value)
    assert found == value and -found.as_tuple().exponent == scale


@given(st.dates())
def test_dates_come_back(value):
    assert round_trip(TableColumn("a", "date"), value) == value


@given(st.sampled_from(sorted(UNIT_DIGITS)), st.booleans(), st.data())
def test_points_in_time_of_every_unit_come_back(unit, zoned, data):
    column = TableColumn("a", "timestamp", unit=unit, digits=UNIT_DIGITS[unit], zoned=zoned)
    ticks = 10 ** UNIT_DIGITS[unit]
    first, last = (
        (date(1, 1, 1).toordinal() - 719_163) * DAY * ticks,
        (date(9999, 12, 31).toordinal() - 719_162) * DAY * ticks,
    )
    value = data.draw(st.integers(max(first, -(1 << 63) + 1), min(last, 1 << 63) - 1))
    assert round_trip(column, value) == value
    if unit != "s" and value % ticks:
        with pytest.raises(ValueError, match="digits"):
            replace(column, digits=0).encode(value)


@given(st.sampled_from(sorted(UNIT_DIGITS)), st.data())
def test_times_of_every_unit_come_back(unit, data):
    column = TableColumn("a", "time", unit=unit, digits=UNIT_DIGITS[unit])
    value = data.draw(st.integers(0, DAY * 10 ** UNIT_DIGITS[unit] - 1))
    assert round_trip(column, value) == value


COLUMNS = [
    (TableColumn("a", "text"), ["a", "", "x\ny\\z", "é😀"]),
    (TableColumn("a", "integer", bits=8), [-128, 127]),
    (TableColumn("a", "integer", signed=False), [0, (1 << 63)]),
    (TableColumn("a", "float"), [1.5, math.nan, math.inf, -math.inf, 1e-7]),
    (TableColumn("a", "boolean"), [True, False]),
    (TableColumn("a", "decimal", precision=5, scale=2), [Decimal("-3.10"), Decimal("0.00")]),
    (TableColumn("a", "date"), [date(2000, 2, 29), date(1970, 1, 1)]),
    (TableColumn("a", "time", unit="ms", digits=3), [0, 86_399_999]),
    (TableColumn("a", "timestamp", unit="ns", digits=9, zoned=True), [1, 10**18]),
    (TableColumn("a", "timestamp", unit="s", digits=None), [DAY, 0]),
    (TableColumn("a", "text", categories=("a|b", "c.", "\\e")), ["a|b", "c.", ""]),
]


@pytest.mark.parametrize(("column", "values"), COLUMNS, ids=lambda part: getattr(part, "kind", ""))
def test_the_sampler_may_write_what_the_column_holds(column, values):
    for value in [*values, None]:
        text = column.encode(value)
        assert masked(column, text), text
        assert column.decode(text) == value or value != value
    with pytest.raises(ValueError, match="missing"):
        replace(column, nullable=False).decode("")
    with pytest.raises(ValueError, match="missing"):
        replace(column, nullable=False).encode(None)


@pytest.mark.parametrize(
    ("column", "text"),
    [
        (TableColumn("a", "text"), "a\\x"),
        (TableColumn("a", "text"), "a\\"),
        (TableColumn("a", "text"), "a\nb"),
        (TableColumn("a", "integer"), "1.0"),
        (TableColumn("a", "integer"), "١"),
        (TableColumn("a", "float"), "1_0"),
        (TableColumn("a", "float"), "1e999"),
        (TableColumn("a", "float", bits=32), "1e39"),
        (TableColumn("a", "boolean"), "1"),
        (TableColumn("a", "decimal", precision=3, scale=1), "1.25"),
        (TableColumn("a", "decimal", precision=3, scale=1), "123.4"),
        (TableColumn("a", "date"), "2023-02-29"),
        (TableColumn("a", "time"), "24:00:00"),
        (TableColumn("a", "timestamp", zoned=True), "2020-01-01T00:00:00"),
        (TableColumn("a", "timestamp"), "2020-01-01T00:00:00Z"),
        (TableColumn("a", "timestamp", digits=None), "2020-01-01T00:00:00"),
        (TableColumn("a", "timestamp", unit="ns"), "2500-01-01T00:00:00"),
        (TableColumn("a", "null"), "x"),
        (TableColumn("a", "text", categories=("b",)), "zz"),
    ],
)
def test_what_no_value_is_written_as_is_refused_without_quoting_it(column, text):
    with pytest.raises(ValueError, match=r"\w") as caught:
        column.decode(text)
    assert text not in str(caught.value)


@pytest.mark.parametrize("kind", ["integer", "boolean", "date", "time", "timestamp", "decimal", "text", "null"])
def test_values_of_another_kind_are_refused(kind):
    column = TableColumn("a", kind, precision=5, scale=1)
    with pytest.raises(ValueError, match=r"\w"):
        column.encode([object()])


def test_a_format_is_read_as_it_was_written():
    table = TableFormat(
        "pandas", tuple(replace(column, name=f"c{number}") for number, (column, _) in enumerate(COLUMNS))
    )
    assert parse_table_format(json.loads(json.dumps(table.as_dict()))) == table
    assert table.fault([""] * len(COLUMNS)) is None
    assert table.fault(["x", "200", *[""] * (len(COLUMNS) - 2)])[:2] == ("c1", "integer")


@pytest.mark.parametrize(
    "change",
    [
        {"kind": "nest"},
        {"name": 3},
        {"bits": 7},
        {"bits": True},
        {"scale": -1, "precision": 3},
        {"precision": 77},
        {"unit": "h"},
        {"digits": 7},
        {"nullable": 1},
        {"categories": [1]},
        {"unknown": 1},
        {"arrow": None},
    ],
)
def test_a_foreign_description_is_refused(change):
    described = {"frame": "arrow", "columns": [{"name": "a", "kind": "text", **change}]}
    with pytest.raises((ValueError, TypeError, KeyError, AttributeError)):
        parse_table_format(described)


@given(st.binary(max_size=40))
def test_bytes_come_back_and_the_sampler_may_write_them(value):
    column = TableColumn("a", "binary", nullable=False)
    assert round_trip(column, value) == value
    assert masked(column, column.encode(value))


def test_text_that_is_no_base64_or_of_another_length_is_refused():
    for text in ("x", "AA", "AB==", "A=A=", "AAAA\\"):
        with pytest.raises(ValueError, match="base64"):
            TableColumn("a", "binary").decode(text)
    with pytest.raises(ValueError, match="as many bytes"):
        TableColumn("a", "binary", arrow="fixed_size_binary 4").decode("AAAA")


@given(st.integers(-(1 << 63), (1 << 63) - 1) | st.floats(allow_nan=False, allow_infinity=False))
def test_numbers_of_json_come_back_as_what_they_are(value):
    column = TableColumn("a", "number", nullable=False)
    found = round_trip(column, value)
    assert (found, type(found)) == (value, type(value))
    assert masked(column, column.encode(value)) or "e" in column.encode(value)


@given(st.lists(st.none() | TEXTS, max_size=5), st.integers(0, 5))
def test_lists_of_texts_come_back_up_to_their_length(value, most):
    column = TableColumn("a", "text", most_items=most)
    if len(value) > most:
        with pytest.raises(ValueError, match="more items"):
            column.encode(value)
        return
    assert round_trip(column, value) == value
    assert column.encode(value) != ""


@given(
    st.lists(
        st.lists(st.none() | st.sampled_from(["", "|", "\\", "\\p", "p", "[]", "a"]), max_size=3),
        min_size=2,
        max_size=2,
    )
)
def test_different_lists_are_written_differently(both):
    column = TableColumn("a", "text", most_items=3)
    assert (column.encode(both[0]) == column.encode(both[1])) == (both[0] == both[1])


@pytest.mark.parametrize("omitted", ["always", "marked"])
def test_what_is_left_out_differs_from_null_and_from_texts(omitted):
    column = TableColumn("a", "text", omitted=omitted)
    assert column.encode(OMITTED) == "" and column.decode("") is OMITTED
    assert column.decode(column.encode("\\0")) == "\\0"
    if omitted == "marked":
        assert column.decode(column.encode(None)) is None
    else:
        with pytest.raises(ValueError, match="no missing values"):
            column.encode(None)
    with pytest.raises(ValueError, match="no missing values"):
        TableColumn("a", "text").encode(OMITTED)


@given(st.sampled_from(COLUMNS))
def test_a_column_that_is_left_out_at_times_is_kept_with_its_model(column):
    column = replace(column[0], omitted="marked", most_items=3, item_nullable=False)
    source = TableSource("jsonl", (Node("g", children=(Node("x", 0),), absence="object"),))
    table = TableFormat("arrow", (column,), source)
    assert parse_table_format(json.loads(json.dumps(table.as_dict()))) == table


@pytest.mark.parametrize(
    "nodes",
    [
        [],
        [{"name": "a", "column": 0}, {"name": "b", "column": 0}],
        [{"name": "a", "column": 1}],
        [{"name": "a"}],
        [{"name": "a", "column": 0, "children": [{"name": "b", "column": 1}]}],
        [{"name": 1, "column": 0}],
        [{"name": "a", "column": True}],
        [{"name": "a", "children": [{"name": "b", "column": 0}], "absence": "x"}],
    ],
)
def test_a_source_whose_columns_have_no_place_or_two_is_refused(nodes):
    described = {
        "frame": "arrow",
        "columns": [{"name": "a", "kind": "text"}],
        "source": {"format": "jsonl", "nodes": nodes},
    }
    with pytest.raises((ValueError, TypeError)):
        parse_table_format(described)
