"""Inference as a property: what is inferred parses, is written back as it was, and is what every format holds."""

from __future__ import annotations

import json
import tempfile
from decimal import Decimal
from pathlib import Path
from typing import Any

import fastavro
import numpy as np
import pyarrow as pa
import pyarrow.parquet as parquet
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from linesmith.records.fields import FieldFormat
from linesmith.records.input.field_statistics import FieldAccumulator
from linesmith.records.output.column_types import STRING, ColumnType
from linesmith.records.output.layout import GeneratedRecord, RecordLayout
from linesmith.records.output.schema import infer_schema
from linesmith.records.output.spellings import common_spellings, spelling
from linesmith.records.output.writers import write_records
from tests.helpers.columns import COLUMNS, SINGLE_KINDS


def inferred(values: list[str]) -> ColumnType:
    field = FieldAccumulator()
    field.add(pa.array(values, pa.large_string()))
    return infer_schema([field.as_dict()], ["x"]).types[0]


@settings(max_examples=200, deadline=None, derandomize=True)
@given(COLUMNS)
def test_an_inferred_type_accepts_every_value_and_writes_it_back(values: list[str]) -> None:
    column_type = inferred(values)
    parsed = [column_type.parse(value) for value in values]  # raises for none
    if column_type != STRING:
        names = common_spellings(value for value in values if value)
        written = [[None if v is None else spelling(name).write(v) for v in parsed] for name in names or ()]
        assert [value or None for value in values] in written


@settings(max_examples=200, deadline=None, derandomize=True)
@given(COLUMNS, st.integers(1, 9), st.randoms(use_true_random=False))
def test_inference_does_not_depend_on_order_and_batches(values: list[str], size: int, random: Any) -> None:
    whole = FieldAccumulator()
    whole.add(pa.array(values, pa.large_string()))
    shuffled = random.sample(values, len(values))
    parts = []
    for start in range(0, len(values), size):
        part = FieldAccumulator()
        part.add(pa.array(shuffled[start : start + size], pa.large_string()))
        parts.append(part)
    while len(parts) > 1:
        parts[0].merge(parts.pop())
    assert parts[0].as_dict() == whole.as_dict()


@settings(max_examples=80, deadline=None, derandomize=True)
@given(COLUMNS)
def test_every_format_holds_the_values_of_the_text(values: list[str]) -> None:
    column_type = inferred(values)
    layout = RecordLayout(("x",), FieldFormat(","), types=(column_type,))
    records = [GeneratedRecord(value) for value in values]
    expected = [column_type.parse(value) for value in values]
    with tempfile.TemporaryDirectory() as folder:
        for kind, read in (("parquet", _read_parquet), ("avro", _read_avro)):
            path = Path(folder) / f"part.{kind}"
            write_records(path, kind, records, layout)
            assert read(path) == expected
        path = Path(folder) / "part.jsonl"
        write_records(path, "jsonl", records, layout)
        rows = [json.loads(line, parse_float=Decimal)["x"] for line in path.read_text("utf-8").splitlines()]
        for value, row in zip(expected, rows, strict=True):
            found = column_type.parse(row) if isinstance(row, str) else row
            assert (float(found) if isinstance(value, float) else found) == value


def _read_parquet(path: Path) -> list[Any]:
    return parquet.read_table(path)["x"].to_pylist()


def _read_avro(path: Path) -> list[Any]:
    with open(path, "rb") as stored:
        return [row["x"] for row in fastavro.reader(stored)]


@pytest.mark.parametrize("kind", SINGLE_KINDS)
def test_every_kind_of_column_is_tried_with_types_where_it_may_have_one(kind: str) -> None:
    """The strategies above are not all text: a kind that can have a type gets one."""
    typed = {
        "integers": (["1", "-7"], "long"),
        "prices": (["5.10", "-0.20"], "decimal"),
        "fine decimals": ([f"0.{n:037d}" for n in (1, 2)], "decimal"),
        "floats": (["0.1", "1e+22"], "double"),
        "short floats": (["0.1", "22.25"], "double"),
        "booleans": (["true"], "boolean"),
        "days": (["2024-02-29"], "date"),
        "timestamps": (["2024-02-29T10:00Z"], "timestamp"),
    }
    values, name = typed.get(kind, (["x"], "string"))
    assert inferred(values).type_name == name


def test_a_sum_over_many_fields_is_the_sum_over_each(tmp_path: Path) -> None:
    from linesmith.records.input.field_statistics import FieldStatistics

    rows = [[str(row * field) for field in range(600)] for row in range(20)]
    statistics = FieldStatistics(10, 3)
    batch = pa.RecordBatch.from_pydict(
        {"text": pa.array(["\n".join(row) for row in rows], pa.large_string()), "num_chars": pa.array([9] * 20)}
    )
    statistics.add(batch, np.array([0, 1, 0] * 20), np.array([3] * 20))
    described = statistics.as_dict()["fields"]
    assert len(described) == 600
    assert described[599]["max"] == 19 * 599
    assert all(
        inferred_type.type_name == "long" for inferred_type in infer_schema(described, map(str, range(600))).types
    )
