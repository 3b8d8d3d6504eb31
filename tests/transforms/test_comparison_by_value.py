"""Equal records are read as equal texts from text, JSON Lines, Avro and Parquet, whatever is compared with whatever."""

from __future__ import annotations

import json
import tempfile
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as parquet
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from linesmith.pipelines.evaluate.input_units import TextFormat
from linesmith.pipelines.evaluate.sets import find_evaluation_sets
from linesmith.records.fields import FieldFormat
from linesmith.records.input.field_statistics import FieldAccumulator
from linesmith.records.output.comparison import DATE, NUMBER, TIME, ComparisonKind, common_kind, kind_of_type
from linesmith.records.output.layout import GeneratedRecord, RecordLayout
from linesmith.records.output.schema import infer_schema
from linesmith.records.output.writers import FORMAT_SUFFIXES, write_records
from linesmith.transforms.comparable_texts import comparable_texts
from linesmith.transforms.read_evaluation_sets import read_set_unit
from tests.helpers.columns import COLUMNS

pytestmark = pytest.mark.integration

FORMATS = ("text", "jsonl", "avro", "parquet")
CSV = FieldFormat(",", quoted=True)


def read(paths: dict[str, list[str]], folder: Path, header: bool = False) -> dict[str, list[str]]:
    """Return the records of each set as the evaluation compares them."""
    sets = find_evaluation_sets(paths, TextFormat(CSV, header=header), folder / "scratch")
    found: dict[str, list[str]] = {name: [] for name in paths}
    for unit in sets.units:
        for name, (_, batch) in read_set_unit(unit):
            found[name] += batch.to_pylist()
    return found


def write_all(columns: list[list[str]], folder: Path) -> tuple[dict[str, Path], list[str]]:
    """Write columns of text in every format, with the types that inference gives them; return the files and the lines."""
    types = []
    for values in columns:
        field = FieldAccumulator()
        field.add(pa.array(values, pa.large_string()))
        types += infer_schema([field.as_dict()], ["x"]).types
    lines = [CSV.join(row) for row in zip(*columns, strict=True)]
    names = tuple(f"column {number}" for number in range(len(columns)))
    layout = RecordLayout(names, CSV, types=tuple(types))
    files = {}
    for kind in FORMATS:
        files[kind] = folder / f"part.{FORMAT_SUFFIXES[kind]}"
        write_records(files[kind], kind, [GeneratedRecord(line) for line in lines], layout)
    return files, lines


@settings(max_examples=40, deadline=None, derandomize=True)
@given(st.lists(COLUMNS, min_size=1, max_size=12), st.sampled_from(FORMATS))
def test_records_of_all_formats_are_the_same_beside_any_training_set(made, training):
    """A verdict is a function of these texts."""
    size = min(map(len, made))
    # A column that is never empty: a record without text would be no record.
    columns = [[str(row) for row in range(size)], *(column[:size] for column in made)]
    with tempfile.TemporaryDirectory() as folder:
        files, _ = write_all(columns, Path(folder))
        found = [
            read({"training": [str(files[training])], "synthetic": [str(files[kind])]}, Path(folder))
            for kind in FORMATS
        ]
    for sets in found:
        assert sets["synthetic"] == sets["training"] == found[0]["training"]


@pytest.mark.parametrize("training", ["text", "parquet"])
def test_spellings_of_other_programs_are_equal_by_value(tmp_path, training):
    """What pandas, Spark or a JSON library make of the same values."""
    columns = [
        ["5249.10", "7.00"],
        ["2024-08-19 11:30:00", "2024-08-20 00:00:00"],
        ["true", "false"],
        ["00123", "3.10"],
    ]
    files, _ = write_all(columns, tmp_path)
    names = [f"column {number}" for number in range(4)]
    rows = [
        [5249.1, "2024-08-19T11:30:00", True, "00123"],
        [7, "2024-08-20T00:00:00.000", False, "3.10"],
    ]
    foreign = tmp_path / "foreign.jsonl"
    foreign.write_text("".join(json.dumps(dict(zip(names, row, strict=True))) + "\n" for row in rows))
    table = pa.table(
        {
            names[0]: pa.array([5249.1, 7.0], pa.float64()),
            names[1]: pa.array([datetime(2024, 8, 19, 11, 30), datetime(2024, 8, 20)], pa.timestamp("ns")),
            names[2]: [True, False],
            names[3]: ["00123", "3.10"],
        }
    )
    parquet.write_table(table, tmp_path / "foreign.parquet")
    (tmp_path / "foreign.txt").write_text("5249.1,2024-08-19T11:30,true,00123\n7,2024-08-20 00:00:00.0,false,3.10\n")
    for suffix in ("jsonl", "parquet", "txt"):
        sets = read({"training": [str(files[training])], "synthetic": [str(tmp_path / f"foreign.{suffix}")]}, tmp_path)
        assert sets["synthetic"] == sets["training"], suffix


def test_text_is_compared_by_spelling(tmp_path):
    files, _ = write_all([["1", "2"], ["3.10", "3.1"], ["0123", "123"]], tmp_path)
    for kind in FORMATS:
        sets = read({"training": [str(files["text"])], "synthetic": [str(files[kind])]}, tmp_path)
        assert sets["synthetic"] == ["1\n3.10\n0123", "2\n3.1\n123"]


def test_a_floats_precision_is_that_of_its_column(tmp_path):
    (tmp_path / "real.txt").write_text("5.1,x\n0.333333333,y\n")
    parquet.write_table(
        pa.table({"a": pa.array([5.1, 0.333333333], pa.float32()), "b": ["x", "y"]}), tmp_path / "s.parquet"
    )
    sets = read({"training": [str(tmp_path / "real.txt")], "synthetic": [str(tmp_path / "s.parquet")]}, tmp_path)
    assert sets["synthetic"] == sets["training"]


def test_names_that_a_format_cannot_hold_do_not_matter(tmp_path):
    (tmp_path / "real.txt").write_text("column 1,column 0\nx,5.10\n")
    files, _ = write_all([["5.10"], ["x"]], tmp_path)
    for kind in ("jsonl", "avro", "parquet"):
        sets = read({"training": [str(tmp_path / "real.txt")], "synthetic": [str(files[kind])]}, tmp_path, header=True)
        assert sets["synthetic"] == sets["training"] == ["x\n5.10"], kind


NUMBERS = ComparisonKind(NUMBER)


@pytest.mark.parametrize(
    ("kind", "value", "text"),
    [
        (NUMBERS, "+007.50", "7.5"),
        (NUMBERS, "1e3", "1000"),
        (NUMBERS, Decimal("-0.00"), "0"),
        (NUMBERS, 2**70, str(2**70)),
        (NUMBERS, "1e9999", "1e9999"),
        (NUMBERS, float("nan"), "nan"),
        (NUMBERS, True, "true"),
        (NUMBERS, "1,5", "1,5"),
        (ComparisonKind(NUMBER, "decimal:2"), "3.125", "3.125"),
        (ComparisonKind(NUMBER, "decimal:2"), "9" * 36 + ".1", "9" * 36 + ".10"),
        (ComparisonKind(NUMBER, "double", 64), "12", "12.0"),
        (ComparisonKind(NUMBER, "double", 64), "1e400", "1e400"),
        (ComparisonKind(DATE), date(2024, 2, 29), "2024-02-29"),
        (ComparisonKind(DATE), "0000-00-00", "0000-00-00"),
        (ComparisonKind(TIME), datetime(2024, 2, 29, 1, 2), "2024-02-29 01:02:00"),
        (ComparisonKind(TIME, offset=True), "2024-02-29T01:02+02:00", "2024-02-28 23:02:00Z"),
        (
            ComparisonKind(TIME, "timestamp:T:0:Z"),
            datetime(2024, 2, 29, 1, 2, 3, 500000, UTC),
            "2024-02-29T01:02:03.500000Z",
        ),
        (ComparisonKind(TIME), "2024-02-30 01:02", "2024-02-30 01:02"),
        (ComparisonKind(TIME), "0001-01-01T00:00+23:59", "0001-01-01T00:00+23:59"),
    ],
)
def test_values_are_written_in_the_spelling_of_their_kind(kind, value, text):
    assert kind.text(value) == text


def test_the_kind_of_a_column_is_what_all_sets_have_in_common():
    by_text, by_float = ComparisonKind(NUMBER, "decimal:2"), ComparisonKind(NUMBER, "double", 64)
    assert common_kind([None, None]) is None
    assert common_kind([by_text, None, by_float]) == ComparisonKind(NUMBER, "decimal:2", 64)
    assert common_kind([ComparisonKind(DATE), ComparisonKind(TIME)]) == ComparisonKind(TIME)
    assert common_kind([by_text, ComparisonKind(DATE)]) is None


@settings(max_examples=100, deadline=None, derandomize=True)
@given(COLUMNS, COLUMNS)
def test_what_is_passed_over_is_written_as_it_would_be(one, other):
    """Records that need no change are recognized by a pattern; it must not pass over one that needs it."""
    field = FieldAccumulator()
    field.add(pa.array(one, pa.large_string()))
    (column_type,) = infer_schema([field.as_dict()], ["x"]).types
    spelled = (field.as_dict()["spellings"] or {"names": []})["names"]
    kinds = [
        kind_of_type(column_type),
        *(
            ComparisonKind(NUMBER if ":" not in s or s[0] == "d" else TIME, s, bits)
            for s in spelled
            if s in ("long", "double") or ":" in s
            for bits in (0, 32, 64)
            if s[0] != "t" or not bits
        ),
    ]
    for kind in kinds:
        if kind is not None:
            texts = pa.array([*one, *other], pa.large_string())
            assert comparable_texts(texts, [kind]).to_pylist() == [kind.text(value) for value in [*one, *other]]


def test_many_columns_are_written_alike():
    records = pa.array(["\n".join(["1.5"] * 900), "\n".join(["1.50"] * 900)], pa.large_string())
    found = comparable_texts(records, [ComparisonKind(NUMBER, "decimal:2")] * 900)
    assert np.unique(found.to_pylist()).tolist() == ["\n".join(["1.50"] * 900)]
