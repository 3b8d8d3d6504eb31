"""Column types: valid and invalid values, and schemas from files and from statistics."""

from __future__ import annotations

import json
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from linesmith.core.errors import ParameterError
from linesmith.records.input.field_statistics import FieldAccumulator
from linesmith.records.output.column_types import STRING, ColumnType
from linesmith.records.output.schema import infer_schema, read_schema, write_schema

DECIMAL = ColumnType("decimal", precision=6, scale=2)


@pytest.mark.parametrize(
    ("kind", "text", "value"),
    [
        (ColumnType("int"), "-2147483648", -(2**31)),
        (ColumnType("long"), "+7", 7),
        (ColumnType("double"), "-1.5e3", -1500.0),
        (ColumnType("boolean"), "True", True),
        (DECIMAL, "-1234.50", Decimal("-1234.5")),
        (DECIMAL, ".5", Decimal("0.5")),
        (ColumnType("date"), "2024-02-29", date(2024, 2, 29)),
        (ColumnType("timestamp"), "2016-10-31 12:34:56.123456", datetime(2016, 10, 31, 12, 34, 56, 123456, UTC)),
        (ColumnType("timestamp"), "2016-10-31T12:34+02:00", datetime(2016, 10, 31, 10, 34, tzinfo=UTC)),
        (
            ColumnType("local_timestamp", unit="ms"),
            "2016-10-31 12:34:56.12",
            datetime(2016, 10, 31, 12, 34, 56, 120000),
        ),
        (ColumnType("enum", symbols=("a", "b")), "b", "b"),
        (ColumnType("long", nullable=True), "", None),
        (STRING, "", ""),
    ],
)
def test_valid_text_is_parsed(kind: ColumnType, text: str, value: object) -> None:
    assert kind.parse(text) == value
    assert pa.array([kind.parse(text)], kind.arrow)[0].as_py() == value


@pytest.mark.parametrize(
    ("kind", "text"),
    [
        (ColumnType("int"), "2147483648"),
        (ColumnType("long"), "9223372036854775808"),
        (ColumnType("long"), "1.0"),
        (ColumnType("long"), ""),
        (ColumnType("long"), "٣"),
        (ColumnType("double"), "nan"),
        (ColumnType("double"), "1e999"),
        (ColumnType("float"), "1e39"),
        (ColumnType("double"), "1_0"),
        (ColumnType("boolean"), "yes"),
        (DECIMAL, "12345.0"),
        (DECIMAL, "1.234"),
        (DECIMAL, "1e2"),
        (DECIMAL, "."),
        (ColumnType("date"), "2023-02-29"),
        (ColumnType("date"), "0000-01-01"),
        (ColumnType("date"), "2023-2-9"),
        (ColumnType("timestamp"), "2016-10-31 25:00"),
        (ColumnType("timestamp"), "0001-01-01T00:00+23:59"),
        (ColumnType("timestamp", unit="ms"), "2016-10-31 12:34:56.1234"),
        (ColumnType("local_timestamp"), "2016-10-31 12:34Z"),
        (ColumnType("enum", symbols=("a",)), "A"),
    ],
)
def test_errors_of_invalid_text_do_not_contain_the_text(kind: ColumnType, text: str) -> None:
    with pytest.raises(ValueError) as caught:
        kind.parse(text)
    assert len(text) < 3 or text not in str(caught.value)


@settings(max_examples=300, deadline=None, derandomize=True)
@given(st.decimals(min_value=-9999, max_value=9999, places=2), st.integers(-(2**63), 2**63 - 1))
def test_numbers_are_restored_exactly(amount: Decimal, whole: int) -> None:
    assert DECIMAL.parse(format(amount, "f")) == amount
    assert ColumnType("long").parse(str(whole)) == whole


def statistics(values: list[str]) -> dict:
    one = FieldAccumulator()
    one.add(pa.array(values[: len(values) // 2], pa.large_string()) if len(values) > 1 else pa.array(values))
    other = FieldAccumulator()
    if len(values) > 1:
        other.add(pa.array(values[len(values) // 2 :], pa.large_string()))
    one.merge(other)
    return one.as_dict()


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        (["1", "-20", "0", "7"], ColumnType("long")),
        (["1", "", "3", "4"], ColumnType("long", nullable=True)),
        (["5249.10", "0.00", "-7.25"], ColumnType("decimal", precision=18, scale=2)),
        (["1.10", "1.20", "1.00"], ColumnType("decimal", precision=18, scale=2)),
        (["1234567890123456.25", "1.00"], ColumnType("decimal", precision=38, scale=2)),
        (["9" * 36 + ".10", "1.25"], ColumnType("decimal", precision=38, scale=2)),
        (["30.2815", "-97.5", "12.0"], ColumnType("double")),
        (["1.5e-07", "2.25", "1e+22", "-0.0"], ColumnType("double")),
        (["2016-10-31", "0001-01-01", "9999-12-31"], ColumnType("date")),
        (["2016-10-31 12:00", "2016-11-01 10:00"], ColumnType("local_timestamp")),
        (["2016-10-31T12:00:00.5", "2016-11-01T10:00:00.0"], ColumnType("local_timestamp")),
        (["2016-10-31 12:00:00", "2016-11-01 10:00:00.500000"], ColumnType("local_timestamp")),
        (["2016-10-31 12:00Z", "9999-12-31 23:59Z"], ColumnType("timestamp")),
        (["2016-10-31T12:00:00+00:00", ""], ColumnType("timestamp", nullable=True)),
        (["true", "false"], ColumnType("boolean")),
        (["", ""], STRING),
        (["x", "1", "2", "3"], STRING),
        ([str(10**18), "1"], STRING),
    ],
)
def test_types_are_inferred_only_where_every_value_keeps_its_meaning(values: list[str], expected: ColumnType) -> None:
    schema = infer_schema([statistics(values)], ["x"])
    assert schema.types == (expected,)
    for value in values:
        schema.types[0].parse(value)


@pytest.mark.parametrize(
    "values",
    [
        # Numbers that are not written back as they were.
        *(["3.10", "3.1"], ["1.5", "2"], ["3.10", "3.1", "2"], ["1.5e-7", "2.25"], ["1234567890123456.25", "1.0"]),
        *(["007", "12"], ["00123", "99999"], ["+5", "5"], ["-0", "1"], ["-0.00", "1.25"], [".5", "0.5"], ["1.", "2.5"]),
        *(["3E22", "5E10"], ["1E02", "2E02"], ["1e2", "1e3"], ["1e400", "1.5"], ["1_000", "2"], ["1,5", "2,5"]),
        *(
            ["NaN", "1.5"],
            ["inf", "1.5"],
            ["nan", "nan"],
            [" 1", "2"],
            ["1 ", "2"],
            ["٣", "1"],
            ["0x1F", "1"],
            ["1\u00a0000"],
        ),
        # Beyond the types.
        *([str(2**63), "1"], ["9" * 37 + ".10", "1.25"], ["9" * 39 + ".0", "1.0"], ["0." + "1" * 39, "0." + "2" * 39]),
        # No days and no times.
        *(["2024-01-01", "0000-00-00"], ["2024-02-30", "2024-02-28"], ["8471-30-91", "2024-01-01"], ["2023-02-29"]),
        *(["2024-01-01 24:00:00"], ["2024-01-01T23:59:60Z"], ["2024-01-01 10:60"], ["2024-01-01T10:00+24:00"]),
        *(["24:00:00", "10:00:00"], ["23:59:60Z"], ["10:60"], ["2024-1-1"], ["20240101T1000"], ["2024-W01-1"]),
        # Points in time whose spelling a typed value does not keep.
        *(["2024-01-01 10:00", "2024-01-01T10:00"], ["2024-01-01 10:00", "2024-01-01 10:00:00"]),
        *(["2024-01-01 10:00:00.5", "2024-01-01 10:00:00.50"], ["2024-01-01 10:00:00", "2024-01-01 10:00:00.5"]),
        *(["2024-01-01 10:00Z", "2024-01-01 10:00"], ["2024-01-01 10:00Z", "2024-01-01 10:00+00:00"]),
        *(["2024-01-01T10:00+02:00"], ["2024-01-01 10:00:00.1234567"], ["2024-01-01 10:00:00.000000-00:00"]),
        *(["2024-01-01", "2024-01-01 10:00"], ["2024-01-01t10:00z"]),
        *(["true", "False"], ["True", "true"], ["true", "1"], ["TRUE", "FALSE"], ["yes", "no"], ["true ", "false"]),
    ],
)
def test_what_would_not_be_written_back_as_it_was_stays_text(values: list[str]) -> None:
    assert infer_schema([statistics(values)], ["x"]).types == (STRING,)
    assert infer_schema([statistics(values[::-1])], ["x"]).types == (STRING,)


def test_quotes_are_no_part_of_a_value() -> None:
    one = FieldAccumulator()
    one.add(pa.array(['"12.50"', "3.25", '""']), quoted=True)
    assert infer_schema([one.as_dict()], ["x"]).types == (ColumnType("decimal", True, 18, 2),)
    one.add(pa.array(['"a""b"']), quoted=True)
    assert infer_schema([one.as_dict()], ["x"]).types == (STRING,)


def test_columns_beyond_the_described_ones_are_text() -> None:
    types = infer_schema([statistics(["1", "2"])], ["a", "b"]).types
    assert types == (ColumnType("long"), STRING)


def test_statistics_without_shapes_are_text() -> None:
    assert infer_schema([{"kinds": {"integer": 3}}], ["x"]).types == (STRING,)


def test_a_written_schema_is_read_back(tmp_path: Path) -> None:
    values = [["1", "2"], ["1.5", ""], ["2016-10-31", "2016-10-31"], ["a", "b"]]
    schema = infer_schema([statistics(column) for column in values], ["id", "a b", "day", "ü"])
    write_schema(tmp_path / "record.avsc", schema)
    read_back = read_schema(tmp_path / "record.avsc")
    # The name of a field is the name of the column; what Avro does not allow in it is a comment.
    assert (read_back.names, read_back.types) == (("id", "a_b", "day", "field_3"), schema.types)


def field(kind: object, name: str = "a") -> str:
    return json.dumps({"type": "record", "name": "R", "fields": [{"name": name, "type": kind}]})


@pytest.mark.parametrize(
    ("content", "found"),
    [
        (None, "cannot be read"),
        ("{", "not valid JSON"),
        ('"string"', "does not describe a record"),
        ('{"type": "record", "name": "R", "fields": []}', "does not describe a record"),
        (field("nonsense"), "no Avro schema"),
        (field({"type": "array", "items": "int"}), "not supported .array"),
        (field(["int", "string"]), "union of something other"),
        (field(["null"]), "union of something other"),
        (field({"type": "bytes", "logicalType": "decimal", "precision": 39, "scale": 0}), "decimal of 39 digits"),
        (field({"type": "int", "logicalType": "time-millis"}), "not supported .time-millis"),
    ],
)
def test_a_schema_that_cannot_be_used_is_refused(tmp_path: Path, content: str | None, found: str) -> None:
    path = tmp_path / "s.avsc"
    if content is not None:
        path.write_text(content)
    with pytest.raises(ParameterError, match=found) as caught:
        read_schema(path)
    assert str(caught.value).startswith(f"LS111: --schema-file (schema_file) '{path}': ")


def test_shapes_do_not_depend_on_batches() -> None:
    values = [str(n) for n in range(50)] + [f"{n}.5" for n in range(50)] + [""]
    whole = FieldAccumulator()
    whole.add(pa.array(values, pa.large_string()))
    parts = FieldAccumulator()
    for part in np.array_split(np.array(values, object), 7):
        one = FieldAccumulator()
        one.add(pa.array(part.tolist(), pa.large_string()))
        parts.merge(one)
    assert parts.as_dict() == whole.as_dict()
