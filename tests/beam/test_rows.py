"""Rows of records: names, types and values of the columns, against the source that they were read from."""

from __future__ import annotations

import datetime as dt
from decimal import Decimal

import apache_beam as beam
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from apache_beam import coders
from apache_beam.options.pipeline_options import PipelineOptions
from apache_beam.utils.timestamp import Timestamp

from linesmith.beam.rows import RowFormat, field_names
from linesmith.records.output.layout import GeneratedRecord, RecordLayout
from tests.helpers.sources import read_source

pytestmark = pytest.mark.integration
INSTANT = dt.datetime(2020, 2, 29, 23, 59, 59, 123456, tzinfo=dt.UTC)
COLUMNS = {
    "text value": pa.array(["a,b", None, ""], pa.string()),
    "small": pa.array([-3, 7, None], pa.int8()),
    "number": pa.array([1 << 62, 0, -5], pa.int64()),
    "unsigned": pa.array([(1 << 64) - 1, 0, None], pa.uint64()),
    "ratio": pa.array([0.5, float("inf"), None], pa.float32()),
    "yes": pa.array([True, False, None], pa.bool_()),
    "price": pa.array([Decimal("1.50"), None, Decimal("-0.25")], pa.decimal128(6, 2)),
    "day": pa.array([dt.date(2020, 2, 29), None, dt.date(1969, 1, 1)], pa.date32()),
    "instant": pa.array([INSTANT, None, INSTANT], pa.timestamp("us", tz="UTC")),
    "local": pa.array([dt.datetime(2020, 1, 1, 5), None, dt.datetime(1960, 1, 1)], pa.timestamp("ms")),
    "clock": pa.array([dt.time(1, 2, 3, 4), None, dt.time(0)], pa.time64("us")),
    "raw": pa.array([b"\x00\xff", None, b""], pa.binary()),
    "class": pa.array(["x", None, "y"]).dictionary_encode(),
    "tags": pa.array([["a", None], [], None], pa.list_(pa.string())),
    "geo": pa.array(
        [{"lat": 1.5, "_n": 3}, None, {"lat": None, "_n": 4}], pa.struct([("lat", pa.float64()), ("_n", pa.uint64())])
    ),
}  # fmt: skip


@pytest.fixture(scope="module")
def source(tmp_path_factory) -> tuple[RecordLayout, list[tuple[int, GeneratedRecord]], pa.Table]:
    folder = tmp_path_factory.mktemp("source")
    table = pa.table(COLUMNS)
    pq.write_table(table, folder / "in.parquet")
    described, texts, rejects = read_source(folder, [str(folder / "in.parquet")])
    assert len(texts) == 3 and not rejects
    layout = RecordLayout(described.field_names, described.fields, table=described)
    return layout, [(number, GeneratedRecord(text)) for number, text in enumerate(texts)], table


def encoded(form: RowFormat, row: beam.Row) -> dict:
    """Return a row after the coder of its schema has written and read it."""
    coder = coders.registry.get_coder(form.element_type)
    return coder.decode(coder.encode(row))._asdict()


def test_portable_rows_hold_what_every_sink_takes(source):
    layout, records, _ = source
    form = RowFormat(layout, index_column="index")
    first, second, third = (encoded(form, row) for row in form.rows(records))
    geo = first.pop("geo")
    assert (geo.lat, geo.n) == (1.5, "3")
    assert first == {
        "text_value": "a,b", "small": -3, "number": 1 << 62, "unsigned": str((1 << 64) - 1), "ratio": 0.5, "yes": True,
        "price": "1.50", "day": "2020-02-29", "instant": "2020-02-29T23:59:59.123456+00:00", "local": "2020-01-01T05:00:00",
        "clock": "01:02:03.000004", "raw": b"\x00\xff", "class_": "x", "tags": ["a", None], "index": 0,
    }  # fmt: skip
    assert {name: value for name, value in second.items() if value is not None} == {
        "number": 0, "unsigned": "0", "small": 7, "ratio": float("inf"), "yes": False, "tags": [], "index": 1
    }  # fmt: skip
    assert third["geo"].lat is None and third["text_value"] == "" and third["raw"] == b"" and third["tags"] is None


def test_logical_rows_hold_the_types_of_beam(source):
    layout, records, _ = source
    form = RowFormat(layout, "logical")
    first, _, third = (encoded(form, row) for row in form.rows(records))
    assert first["price"] == Decimal("1.50") and first["instant"] == Timestamp.from_utc_datetime(INSTANT)
    assert (first["day"], third["day"]) == (dt.date(2020, 2, 29), dt.date(1969, 1, 1))
    assert first["local"] == "2020-01-01T05:00:00"  # Beam has no type for a time without a zone


def test_dictionaries_go_with_the_schema_of_arrow(source):
    layout, records, table = source
    form = RowFormat(layout, "python")
    made = pa.Table.from_pylist(list(form.rows(records)), schema=form.arrow_schema)
    same = [name for name in COLUMNS if name not in ("unsigned", "geo")]
    assert made.select(same).to_pylist() == table.select(same).to_pylist()
    assert made["unsigned"].to_pylist() == [Decimal((1 << 64) - 1), Decimal(0), None]


@pytest.mark.parametrize("values", ["portable", "python"])
def test_beams_own_sink_writes_the_rows(source, values, tmp_path):
    layout, records, _ = source
    form = RowFormat(layout, values)
    schema = form.arrow_schema if values == "python" else None
    with beam.Pipeline(options=PipelineOptions([], runner="FnApiRunner")) as pipeline:
        rows = pipeline | beam.Create(records) | beam.FlatMap(lambda record: form.rows([record]))
        rows.element_type = form.element_type
        _ = rows | beam.io.WriteToParquet(str(tmp_path / "rows"), schema)
    made = [row for path in tmp_path.glob("rows*") for row in pq.read_table(path).to_pylist()]
    assert len(made) == 3
    assert sorted(row["number"] for row in made) == [-5, 0, 1 << 62]


def test_names_are_unique_identifiers():
    assert field_names(["a b", "a_b", "from", "_x", "", "1"]) == ("a_b", "a_b_2", "from_", "x", "f_4", "f_1")
