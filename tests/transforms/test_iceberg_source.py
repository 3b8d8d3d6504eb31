"""Iceberg tables as sources: a pinned snapshot, its types, rows that are deleted, and tables that hold nothing."""

from __future__ import annotations

import datetime as dt
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from linesmith.core.config.tensorflow_config import TensorFlowConfig
from linesmith.core.errors import DataError, ParameterError, TooFewRecordsError
from linesmith.transforms.find_inputs import find_inputs, input_digests
from tests.helpers.sources import read_source, round_trip
from tests.transforms.test_typed_roles import fill

pytest.importorskip("pyiceberg")
pytestmark = pytest.mark.integration
SCHEMA = pa.schema(
    [
        pa.field("id", pa.int64(), False),
        ("note", pa.string()),
        ("price", pa.decimal128(8, 2)),
        ("day", pa.date32()),
        ("at", pa.timestamp("us", "UTC")),
        ("geo", pa.struct([("lat", pa.float64()), ("city", pa.string())])),
        ("tags", pa.list_(pa.string())),
    ]
)


def rows(count: int, first: int = 0) -> pa.Table:
    return pa.Table.from_pylist(
        [
            {
                "id": number,
                "note": [None, "", "two\nlines"][number % 3],
                "price": Decimal(number).scaleb(-2),
                "day": dt.date(2024, 1, 1 + number % 28),
                "at": dt.datetime(2024, 1, 1, number % 24, tzinfo=dt.UTC),
                "geo": None if number % 4 == 0 else {"lat": 0.5, "city": None},
                "tags": ["a"] * (number % 3),
            }
            for number in range(first, first + count)
        ],
        schema=SCHEMA,
    )


@pytest.fixture
def lake(tmp_path: Path) -> tuple[Any, dict[str, Any]]:
    """Return a catalog with an empty table, and the settings that name the table."""
    from pyiceberg.catalog.sql import SqlCatalog

    properties = {"uri": f"sqlite:///{tmp_path}/catalog.db", "warehouse": f"file://{tmp_path}/warehouse"}
    catalog = SqlCatalog("linesmith", **properties)
    catalog.create_namespace("lake")
    catalog.create_table("lake.rides", schema=SCHEMA)
    given = ["type=sql", *(f"{name}={value}" for name, value in properties.items())]
    return catalog, {"input_format": "iceberg", "input_catalog": given}


def test_a_table_comes_back_as_parquet_of_its_types(tmp_path: Path, lake) -> None:
    catalog, given = lake
    table = catalog.load_table("lake.rides")
    table.append(rows(30))
    table.append(rows(20, 30))
    out, rejects = round_trip(tmp_path, "lake.rides", "parquet", **given)
    assert rejects == []
    found = pq.read_table(out)
    assert found.schema.equals(SCHEMA)
    assert sorted(found.to_pylist(), key=lambda row: row["id"]) == rows(50).to_pylist()


def test_the_snapshot_is_pinned_recorded_and_told_from_a_later_one(tmp_path: Path, lake) -> None:
    catalog, given = lake
    table = catalog.load_table("lake.rides")
    table.append(rows(10))
    config = TensorFlowConfig(input_data_path="lake.rides", **given)
    files, before = find_inputs(config, tmp_path), input_digests(config)
    snapshot = table.current_snapshot()
    assert snapshot is not None
    assert [digest.rpartition(":")[2] for digest in before.values()] == [str(snapshot.snapshot_id)]
    table.append(rows(5, 10))
    assert [file.name for file in files] == list(before)
    assert input_digests(config, files) == before, "what is committed while files are read changes nothing"
    assert input_digests(config) != before


def test_deleted_rows_are_not_read_and_columns_are_a_projection(tmp_path: Path, lake) -> None:
    catalog, given = lake
    table = catalog.load_table("lake.rides")
    table.append(rows(10))
    table.delete("id < 4")
    found, records, _ = read_source(tmp_path, "lake.rides", columns=["id", "geo.city"], **given)
    assert [column.name for column in found.columns] == ["id", "geo.city"]
    assert [record.partition(",")[0] for record in records] == list("456789")


def test_metadata_of_a_table_can_be_named_without_a_catalog(tmp_path: Path, lake) -> None:
    catalog, _ = lake
    table = catalog.load_table("lake.rides")
    table.append(rows(3))
    _, records, _ = read_source(tmp_path, table.metadata_location.removeprefix("file://"), input_format="iceberg")
    assert len(records) == 3


def test_a_table_that_is_empty_missing_or_in_no_catalog_is_one_error(tmp_path: Path, lake) -> None:
    _, given = lake
    with pytest.raises(TooFewRecordsError, match=r"LS207.*lake\.rides.*empty"):
        read_source(tmp_path, "lake.rides", **given)
    with pytest.raises(DataError, match=r"LS211.*lake\.none.*NoSuchTableError"):
        read_source(tmp_path, "lake.none", **given)
    with pytest.raises(ParameterError, match=r"LS114.*lake\.rides.*no catalog is given"):
        read_source(tmp_path, "lake.rides", input_format="iceberg")


def test_a_filter_chooses_rows_by_columns_that_need_not_be_learned(tmp_path: Path, lake) -> None:
    catalog, given = lake
    table = catalog.load_table("lake.rides")
    table.append(rows(20))
    table.append(rows(20, 20))
    table.delete("id = 7")
    chosen = {**given, "input_row_filter": "id >= 5 and id < 22 and note is not null", "columns": ["price", "note"]}
    _, records, rejects = read_source(tmp_path, "lake.rides", **chosen)
    expected = [
        row for row in rows(40).to_pylist() if 5 <= row["id"] < 22 and row["note"] is not None and row["id"] != 7
    ]
    assert rejects == []
    assert sorted(Decimal(record.partition(",")[0]) for record in records) == [row["price"] for row in expected]
    plain = TensorFlowConfig(input_data_path="lake.rides", **given)
    all_of_it, some = input_digests(plain), input_digests(plain.replace(input_row_filter="id >= 5"))
    snapshot = str(catalog.load_table("lake.rides").current_snapshot().snapshot_id)
    assert all(snapshot in digest for digest in [*all_of_it.values(), *some.values()])
    assert set(all_of_it.values()).isdisjoint(some.values())
    assert len(find_inputs(plain.replace(input_row_filter="id >= 20"), tmp_path)) == 1, "files are left out, too"


@pytest.mark.parametrize(
    ("row_filter", "found"),
    [
        ("id >", "cannot be read from character 1 on"),
        ("id = 1 x", "cannot be read from character 8 on"),
        ("nope = 1", "Could not find field with name nope"),
        ("day = 'x'", "The columns are id, note, price, day, at, geo.lat"),
    ],
)
def test_a_wrong_filter_is_one_paragraph(tmp_path: Path, lake, row_filter: str, found: str) -> None:
    catalog, given = lake
    catalog.load_table("lake.rides").append(rows(3))
    with pytest.raises(ParameterError) as caught:
        read_source(tmp_path, "lake.rides", input_row_filter=row_filter, **given)
    assert caught.value.code == "LS141" and found in str(caught.value) and "\n" not in str(caught.value)


def test_a_filter_is_of_iceberg_only_and_one_without_rows_is_an_empty_table(tmp_path: Path, lake) -> None:
    catalog, given = lake
    with pytest.raises(ParameterError, match="is about Iceberg tables"):
        TensorFlowConfig(input_data_path="a.parquet", input_row_filter="a = 1")
    catalog.load_table("lake.rides").append(rows(3))
    with pytest.raises(TooFewRecordsError, match=r"LS207.*no file of the table has a row"):
        read_source(tmp_path, "lake.rides", input_row_filter="id > 100", **given)


def test_columns_with_a_role_are_cut_of_an_iceberg_table(tmp_path: Path, lake) -> None:
    catalog, given = lake
    catalog.load_table("lake.rides").append(rows(9))
    roles = {"id": "drop", "note": "constant:x", "geo.city": "constant:Y", "tags": "drop", "at": "drop", "day": "drop"}
    table, records, _ = read_source(tmp_path, "lake.rides", column_role=roles, **given)
    assert records == [f"0.0{n},{'' if n % 4 == 0 else '0.5'}" for n in range(9)]
    out = fill(table, roles, records, tmp_path / "out.parquet", "parquet")
    kept = pa.schema([field for field in SCHEMA if field.name not in ("id", "tags", "at", "day")])
    found = pq.read_table(out)
    assert found.schema.equals(kept)
    expected = [
        {"note": "x", "price": row["price"], "geo": row["geo"] and {**row["geo"], "city": "Y"}}
        for row in rows(9).to_pylist()
    ]
    assert found.to_pylist() == expected
