"""Sources that are not lines: what is read is written back equal in values and types, whatever the units of work."""

from __future__ import annotations

import csv
import datetime as dt
import gzip
import json
import random
from decimal import Decimal
from pathlib import Path
from typing import Any

import fastavro
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from linesmith.core.errors import DataError
from linesmith.records.output.table_rows import json_row
from linesmith.records.sources.jsonl_rows import JsonFacts, jsonl_table
from linesmith.records.sources.object_rows import object_texts
from tests.helpers.sources import read_source, round_trip, write_source

pytestmark = pytest.mark.integration


def all_types(rows: int, seed: int = 0) -> pa.Table:
    """Return a table with a column of every type that a flat Parquet column can have."""
    draw = random.Random(seed)

    def some(make):
        return [None if draw.random() < 0.1 else make(number) for number in range(rows)]

    utc = dt.UTC
    columns = {
        "i8": pa.array(some(lambda n: n % 256 - 128), pa.int8()),
        "i16": pa.array(some(lambda n: draw.randrange(-(2**15), 2**15)), pa.int16()),
        "i64": pa.array([draw.randrange(-(2**63), 2**63) for _ in range(rows)], pa.int64()),
        "u8": pa.array(some(lambda n: n % 256), pa.uint8()),
        "u32": pa.array(some(lambda n: 2**32 - 1 - n), pa.uint32()),
        "u64": pa.array([draw.randrange(2**64) for _ in range(rows)], pa.uint64()),
        "f64": pa.array(
            [draw.choice([0.1, float("nan"), float("inf"), -float("inf"), -0.0, 1e300]) for _ in range(rows)]
        ),
        "f32": pa.array(some(lambda n: draw.choice([0.1, 3.4e38, float("nan")])), pa.float32()),
        "price": pa.array(some(lambda n: Decimal(draw.randrange(-(10**9), 10**9)).scaleb(-2)), pa.decimal128(12, 2)),
        "wide": pa.array([Decimal(10**50 + n) for n in range(rows)], pa.decimal256(60, 0)),
        "day": pa.array(some(lambda n: dt.date(1, 1, 1) + dt.timedelta(n * 997)), pa.date32()),
        "day64": pa.array(some(lambda n: dt.date(2020, 1, 1 + n % 28)), pa.date64()),
        "clock_s": pa.array(some(lambda n: dt.time(n % 24, 30)), pa.time32("s")),
        "clock_ns": pa.array([n * 1001 for n in range(rows)], pa.int64()).cast(pa.time64("ns")),
        "at_ms": pa.array(
            some(lambda n: dt.datetime(2020, 1, 1, n % 24, tzinfo=utc)), pa.timestamp("ms", "Europe/Rome")
        ),
        "at_ns": pa.array([10**18 + n for n in range(rows)], pa.int64()).cast(pa.timestamp("ns", "UTC")),
        "local": pa.array(some(lambda n: dt.datetime(1969, 12, 31, n % 24, 0, 0, n)), pa.timestamp("us")),
        "midnight": pa.array(some(lambda n: dt.datetime(2020, 1, 1 + n % 28)), pa.timestamp("us")),
        "took": pa.array(some(lambda n: dt.timedelta(seconds=n)), pa.duration("us")),
        "yes": pa.array(some(lambda n: n % 2 == 0), pa.bool_()),
        "note": pa.array(some(lambda n: ["a,b", 'q"x"', "l\nm\r\n", "", "back\\slash\\n", "😀"][n % 6]), pa.string()),
        "large": pa.array(some(lambda n: "x" * (n % 5)), pa.large_string()),
        "kind": pa.array(some(lambda n: ["x", "y,z", ""][n % 3])).dictionary_encode(),
        "raw": pa.array(some(lambda n: [b"", b"\x00\xff", b"abc"][n % 3]), pa.binary()),
        "hash": pa.array(some(lambda n: bytes([n % 256] * 4)), pa.binary(4)),
        "nothing": pa.nulls(rows),
    }
    fields = [pa.field(name, array.type, nullable=name not in ("i64", "wide")) for name, array in columns.items()]
    return pa.Table.from_arrays(list(columns.values()), schema=pa.schema(fields))


def same(found: pa.Table, expected: pa.Table) -> bool:
    """Return whether two tables have equal schemas and values, not-a-number and the sign of zero included."""
    return found.schema.equals(expected.schema) and all(
        repr(found.column(name).to_pylist()) == repr(expected.column(name).to_pylist())
        for name in expected.schema.names
    )


def test_every_type_of_parquet_comes_back(tmp_path: Path) -> None:
    pq.write_table(all_types(300), tmp_path / "a.parquet", row_group_size=70)
    expected = pq.read_table(tmp_path / "a.parquet")  # Parquet has no seconds and no date64
    out, rejects = round_trip(tmp_path, str(tmp_path / "a.parquet"))
    assert rejects == []
    found = pq.read_table(out)
    assert found.schema.equals(expected.schema)
    assert same(found, expected)


def test_several_files_by_a_glob_and_any_units_give_the_same_records(tmp_path: Path) -> None:
    for number in range(3):
        pq.write_table(all_types(50, number), tmp_path / f"{number}.parquet", row_group_size=20)
    _, records, _ = read_source(tmp_path, str(tmp_path / "*.parquet"))
    _, again, _ = read_source(tmp_path, str(tmp_path / "*.parquet"), unit_bytes=1)
    assert len(records) == 150
    assert records == again


def test_nested_parquet_keeps_structs_lists_and_what_is_missing_where(tmp_path: Path) -> None:
    geo = pa.struct(
        [pa.field("lat", pa.float64()), pa.field("city", pa.struct([("name", pa.string()), ("n", pa.int32())]))]
    )
    schema = pa.schema(
        [
            ("geo", geo),
            pa.field("sure", pa.struct([pa.field("x", pa.int8(), False)]), False),
            ("tags", pa.list_(pa.string())),
            ("days", pa.large_list(pa.date32())),
            ("pair", pa.list_(pa.int16(), 2)),  # pyarrow reads none that is missing
            ("times", pa.list_(pa.timestamp("ms"))),
        ]
    )
    rows = [
        {"geo": None, "tags": None, "days": [], "times": [dt.datetime(2020, 1, 1, 5)]},
        {"geo": {"lat": None, "city": None}, "tags": [], "days": None, "times": None},
        {"geo": {"lat": 1.5, "city": {"name": None, "n": None}}, "tags": ["a|b", "", None, "c\\p|", "d\\"]},
        {"geo": {"lat": None, "city": {"name": "x", "n": 2}}, "tags": ["[]", "|"], "days": [dt.date(2020, 1, 2), None]},
    ]
    expected = pa.Table.from_pylist(
        [{"sure": {"x": number}, "pair": [number, 2], **row} for number, row in enumerate(rows)], schema=schema
    )
    pq.write_table(expected, tmp_path / "n.parquet")
    table, _, _ = read_source(tmp_path, str(tmp_path / "n.parquet"))
    assert [column.name for column in table.columns][:5] == [
        "geo",
        "geo.lat",
        "geo.city",
        "geo.city.name",
        "geo.city.n",
    ]
    out, rejects = round_trip(tmp_path, str(tmp_path / "n.parquet"))
    assert rejects == []
    found = pq.read_table(out)
    assert found.schema.equals(expected.schema)
    assert found.to_pylist() == expected.to_pylist()


def test_columns_are_a_projection_of_parquet(tmp_path: Path) -> None:
    pq.write_table(all_types(10), tmp_path / "a.parquet")
    table, records, _ = read_source(tmp_path, str(tmp_path / "a.parquet"), columns=["yes", "i8"])
    assert [column.name for column in table.columns] == ["yes", "i8"]
    assert records[0].split(",")[0] in ("true", "false", "")
    out = write_source(tmp_path / "out.parquet", table, records, "parquet")
    assert pq.read_table(out).equals(pq.read_table(tmp_path / "a.parquet", columns=["i8", "yes"]))
    with pytest.raises(DataError, match="no column 'zz'") as caught:
        read_source(tmp_path, str(tmp_path / "a.parquet"), columns=["zz"])
    assert caught.value.code == "LS235"


@pytest.mark.parametrize(
    ("other", "match"),
    [
        (
            {"a": pa.array([1], pa.int64()), "b": ["x"]},
            "two.parquet': column 'a' is int64, and in .*one.parquet' it is int32",
        ),
        ({"a": pa.array([1], pa.int32())}, "column 'b' is missing"),
        ({"a": pa.array([1], pa.int32()), "b": ["x"], "c": [1]}, "column 'c' is int64, and in .* it is missing"),
    ],
)
def test_files_that_differ_are_refused_by_file_and_column(tmp_path: Path, other, match: str) -> None:
    pq.write_table(pa.table({"a": pa.array([1], pa.int32()), "b": ["x"]}), tmp_path / "one.parquet")
    pq.write_table(pa.table(other), tmp_path / "two.parquet")
    with pytest.raises(DataError, match=match) as caught:
        read_source(tmp_path, str(tmp_path / "*.parquet"))
    assert caught.value.code == "LS234"


def test_parquet_that_is_cut_off_or_something_else_is_one_error(tmp_path: Path) -> None:
    pq.write_table(all_types(100), tmp_path / "a.parquet")
    content = (tmp_path / "a.parquet").read_bytes()
    (tmp_path / "a.parquet").write_bytes(content[: len(content) // 2])
    with pytest.raises(DataError, match=r"a\.parquet.*cut off or not a Parquet file") as caught:
        read_source(tmp_path, str(tmp_path / "a.parquet"))
    assert caught.value.code == "LS206"
    (tmp_path / "a.parquet").write_bytes(b"a,b\n1,2\n")
    with pytest.raises(DataError, match="does not begin as a file of parquet does"):
        read_source(tmp_path, str(tmp_path / "a.parquet"))


def test_first_bytes_show_parquet_under_another_name_unless_lines_are_asked_for(tmp_path: Path) -> None:
    pq.write_table(pa.table({"a": [1, 2]}), tmp_path / "part-0")
    table, records, _ = read_source(tmp_path, str(tmp_path / "part-0"))
    assert (table.source.format_name, records) == ("parquet", ["1", "2"])
    with pytest.raises(DataError, match="a Parquet file") as caught:
        read_source(tmp_path, str(tmp_path / "part-0"), field_delimiter=";")
    assert caught.value.code == "LS217"


def test_a_value_beyond_its_column_is_a_reject_with_the_name_of_the_column(tmp_path: Path) -> None:
    late = pa.array([0, 2**62], pa.int64()).cast(pa.timestamp("us"))
    pq.write_table(pa.table({"n": [1, 2], "at": late}), tmp_path / "a.parquet")
    _, records, rejects = read_source(tmp_path, str(tmp_path / "a.parquet"))
    assert len(records) == 1
    assert [(reject["reason"], reject["offset"]) for reject in rejects] == [("value:at", 1)]


def test_a_type_that_cannot_be_learned_is_refused_by_name(tmp_path: Path) -> None:
    pq.write_table(
        pa.table({"ok": [1], "bad": pa.array([[("k", 1)]], pa.map_(pa.string(), pa.int64()))}), tmp_path / "a.parquet"
    )
    with pytest.raises(DataError, match=r"column 'bad'.*map<string.*--columns") as caught:
        read_source(tmp_path, str(tmp_path / "a.parquet"))
    assert caught.value.code == "LS235"


# -- CSV


def write_quoted(path: Path, rows: int, seed: int, end: str = "\n", header: bool = True) -> list[list[str]]:
    draw = random.Random(seed)
    values = ["a", "b,c", 'say "hi"', "two\nlines", "three\r\nmore\nlines", "", "tail\\n", "\n", '"', "x" * 50]
    written = [[str(number), draw.choice(values), draw.choice(values)] for number in range(rows)]
    with open(path, "w", encoding="utf-8", newline="") as out:
        writer = csv.writer(out, lineterminator=end)
        writer.writerows([["id", "first", "second"]] * header + written)
    return written


def read_csv(path: Path) -> list[list[str]]:
    with open(path, encoding="utf-8", newline="") as content:
        return list(csv.reader(content))


@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_csv_with_line_ends_in_quotes_is_what_the_csv_module_reads_whatever_the_units(tmp_path: Path, end: str) -> None:
    rows = write_quoted(tmp_path / "a.csv", 2000, 1, end)
    given_settings = {"input_format": "csv"}
    out, rejects = round_trip(tmp_path, str(tmp_path / "a.csv"), **given_settings)
    assert rejects == []
    assert read_csv(out) == read_csv(tmp_path / "a.csv") == [["id", "first", "second"], *rows]
    whole = read_source(tmp_path, str(tmp_path / "a.csv"), **given_settings)[1]
    for unit_bytes in (700, 5000):
        assert read_source(tmp_path, str(tmp_path / "a.csv"), unit_bytes, **given_settings)[1] == whole


def test_csv_of_another_delimiter_encoding_compression_and_without_header(tmp_path: Path) -> None:
    content = 'é;"x\ny"\n;"a;b"\n'
    with gzip.open(tmp_path / "a.csv.gz", "wb") as out:
        out.write(content.encode("latin-1"))
    given_settings = {"input_format": "csv", "field_delimiter": ";", "encoding": "latin-1", "header": False}
    table, _, _ = read_source(tmp_path, str(tmp_path / "a.csv.gz"), **given_settings)
    assert [column.name for column in table.columns] == ["field_0", "field_1"]
    out_path, rejects = round_trip(tmp_path, str(tmp_path / "a.csv.gz"), **given_settings)
    assert rejects == []
    assert out_path.read_text(encoding="utf-8") == "field_0;field_1\n" + content


def test_a_quote_too_many_rejects_its_line_and_not_those_below(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text('a,b\n1,2\n"open,3\n4,"5"\n6,"7\n8"\n9,"never\n10,11\n', newline="")
    _, records, rejects = read_source(tmp_path, str(tmp_path / "a.csv"), input_format="csv")
    assert records == ["1,2", "4,5", "6,7\\n8", "10,11"]
    assert [(reject["reason"], reject["text"]) for reject in rejects] == [
        ("open_quote", '"open,3'),
        ("open_quote", '9,"never'),
    ]


def test_csv_rows_of_another_length_and_lines_that_are_no_text_are_rejects(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_bytes(b"a,b\n1,2\n3\n\n\xff,4\n5,6,7\n")
    _, records, rejects = read_source(tmp_path, str(tmp_path / "a.csv"), input_format="csv")
    assert records == ["1,2"]
    assert [reject["reason"] for reject in rejects] == ["field_count", "empty", "encoding", "field_count"]


def test_csv_files_with_other_headers_are_refused(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("a,b\n1,2\n")
    (tmp_path / "b.csv").write_text("a,c\n1,2\n")
    with pytest.raises(DataError, match=r"b\.csv': column 2 of its header is not that of '.*a\.csv'") as caught:
        read_source(tmp_path, str(tmp_path / "*.csv"), input_format="csv")
    assert caught.value.code == "LS234"


# -- JSON Lines


def write_jsonl(path: Path, rows: list[Any]) -> None:
    path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")


def json_round_trip(tmp_path: Path, rows: list[Any]) -> list[str]:
    write_jsonl(tmp_path / "in.jsonl", rows)
    out, rejects = round_trip(tmp_path, str(tmp_path / "in.jsonl"))
    assert rejects == []
    return [json.dumps(json.loads(line), ensure_ascii=False) for line in out.read_text(encoding="utf-8").splitlines()]


def as_json(rows: list[Any]) -> list[str]:
    return [json.dumps(row, ensure_ascii=False) for row in rows]


def test_json_lines_keep_keys_their_order_what_is_left_out_and_what_is_null(tmp_path: Path) -> None:
    rows = [
        {
            "host": "a",
            "n": 1,
            "x": 1.0,
            "ok": True,
            "request": {"path": "/", "size": None, "user": {"id": 7}},
            "tags": ["a|", ""],
        },
        {"host": "", "n": -5, "x": 0.1, "ok": False, "request": {"path": "l\nm", "size": 3}, "tags": [], "extra": None},
        {
            "host": "\\",
            "n": 2**63 - 1,
            "x": 1e300,
            "ok": True,
            "request": {"path": "\\0", "size": None, "user": {}},
            "extra": 1,
        },
        {"host": "😀", "n": 0, "x": -0.0, "ok": True, "request": None, "tags": [None, "x,y"], "extra": 2},
    ]
    assert json_round_trip(tmp_path, rows) == as_json(rows)


def test_columns_of_json_lines_are_a_projection_in_the_given_order(tmp_path: Path) -> None:
    write_jsonl(
        tmp_path / "a.jsonl", [{"a": 1, "g": {"x": 2, "y": {}}}, {"g": {}, "a": 3}, {"a": 4}, {"a": 5, "g": None}]
    )
    table, records, _ = read_source(tmp_path, str(tmp_path / "a.jsonl"), columns=["g.x", "a"])
    assert [column.name for column in table.columns] == ["g.x", "a"]
    out = write_source(tmp_path / "out.jsonl", table, records, "jsonl")
    assert [json.loads(line) for line in out.read_text().splitlines()] == [
        {"a": 1, "g": {"x": 2}},
        {"a": 3},
        {"a": 4},
        {"a": 5},
    ]


def test_values_of_several_kinds_keep_their_kinds(tmp_path: Path) -> None:
    rows = [
        {"a": 1, "b": "1", "c": [1, [2]], "d": {"k": 1}, "e": 10**30, "f": [1, "x"], "g": 1, "h": None, "i": [1, 2.5]},
        {"a": 1.5, "b": 1, "c": {}, "d": 5, "e": 1, "f": [], "g": None, "h": None, "i": [3]},
    ]
    assert json_round_trip(tmp_path, rows) == as_json(rows)
    table, _, _ = read_source(tmp_path, str(tmp_path / "in.jsonl"))
    assert [column.kind for column in table.columns] == [
        "number", "json", "json", "json", "json", "json", "integer", "null", "number"
    ]  # fmt: skip


json_scalars = (
    st.none()
    | st.booleans()
    | st.integers(-(2**65), 2**65)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(exclude_categories=["Cs"]), max_size=5)
)
keys = st.sampled_from(["a", "b", "c c", "é"])
json_values = st.recursive(
    json_scalars | st.lists(json_scalars, max_size=3),
    lambda inner: st.dictionaries(keys, inner, max_size=3) | st.lists(inner, max_size=2),
    max_leaves=6,
)


@settings(max_examples=300, deadline=None)
@given(st.lists(st.dictionaries(keys, json_values, max_size=4), min_size=1, max_size=5))
def test_any_objects_come_back_equal(rows: list[dict[str, Any]]) -> None:
    facts = JsonFacts()
    for row in rows:
        part = JsonFacts()
        part.add(row)
        facts.merge(JsonFacts.from_json(json.loads(json.dumps(part.as_json()))))
    if not facts.children:
        return
    table = jsonl_table(facts)
    for row in rows:
        fields = object_texts(table, row)
        assert not any("\n" in field or "\r" in field for field in fields)
        assert table.fault(fields) is None
        found = json.loads(json_row(table, fields))
        assert found == row
        assert repr(sorted_keys(found)) == repr(sorted_keys(row)), "1, 1.0 and true are three values"


def sorted_keys(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: sorted_keys(value[key]) for key in sorted(value)}
    return [sorted_keys(item) for item in value] if isinstance(value, list) else value


def test_lines_that_are_no_rows_are_rejects_with_a_reason(tmp_path: Path) -> None:
    deep = '{"a": ' + "[" * 70 + "]" * 70 + "}"
    lines = [
        '{"a": 1}',
        "[1]",
        '{"a": 1, "a": 2}',
        deep,
        "{",
        '{"a": NaN}',
        "",
        '{"a": 1e999}',
        '{"a": "\\ud800"}',
        "\xff",
    ]
    content = "\n".join(lines).encode("latin-1") + b'\n{"a": "' + b"x" * (11 << 20) + b'"}\n'
    (tmp_path / "a.jsonl").write_bytes(content)
    _, records, rejects = read_source(tmp_path, str(tmp_path / "a.jsonl"))
    assert records == ["1"]
    assert [reject["reason"] for reject in rejects] == [
        "no_object", "duplicate_key", "too_deep", "not_json", "not_json", "empty", "not_json", "not_json", "encoding", "too_long"
    ]  # fmt: skip


def test_json_lines_in_any_units_and_compressed_give_the_same(tmp_path: Path) -> None:
    rows = [{"n": n, **({"opt": "x" * (n % 9)} if n % 3 else {})} for n in range(500)]
    write_jsonl(tmp_path / "a.jsonl", rows)
    table, records, _ = read_source(tmp_path, str(tmp_path / "a.jsonl"))
    assert read_source(tmp_path, str(tmp_path / "a.jsonl"), 300)[:2] == (table, records)
    (tmp_path / "b.jsonl.gz").write_bytes(gzip.compress((tmp_path / "a.jsonl").read_bytes()))
    assert read_source(tmp_path, str(tmp_path / "b.jsonl.gz"))[1] == records


# -- Avro

AVRO_SCHEMA = {
    "type": "record", "name": "Ride", "namespace": "org.example", "doc": "rides",
    "fields": [
        {"name": "id", "type": "long"},
        {"name": "small", "type": ["null", "int"], "default": None},
        {"name": "f", "type": "float"},
        {"name": "d", "type": ["double", "null"]},
        {"name": "ok", "type": "boolean"},
        {"name": "note", "type": ["null", "string"]},
        {"name": "raw", "type": "bytes"},
        {"name": "md5", "type": {"type": "fixed", "name": "MD5", "size": 4}},
        {"name": "kind", "type": {"type": "enum", "name": "Kind", "symbols": ["A", "B"]}},
        {"name": "other", "type": ["null", "Kind"]},
        {"name": "price", "type": {"type": "bytes", "logicalType": "decimal", "precision": 30, "scale": 2}},
        {"name": "fixed_price", "type": {
            "type": "fixed", "name": "P", "size": 8, "logicalType": "decimal", "precision": 12, "scale": 3}},
        {"name": "day", "type": {"type": "int", "logicalType": "date"}},
        {"name": "clock", "type": {"type": "int", "logicalType": "time-millis"}},
        {"name": "clock_us", "type": {"type": "long", "logicalType": "time-micros"}},
        {"name": "at", "type": ["null", {"type": "long", "logicalType": "timestamp-millis"}]},
        {"name": "at_us", "type": {"type": "long", "logicalType": "timestamp-micros"}},
        {"name": "local", "type": {"type": "long", "logicalType": "local-timestamp-micros"}},
        {"name": "tags", "type": {"type": "array", "items": ["null", "string"]}},
        {"name": "days", "type": ["null", {"type": "array", "items": {"type": "int", "logicalType": "date"}}]},
        {"name": "geo", "type": ["null", {"type": "record", "name": "Geo", "fields": [
            {"name": "lat", "type": ["null", "double"]}, {"name": "city", "type": ["null", "string"]}]}]},
        {"name": "from", "type": "Geo"},
    ],
}  # fmt: skip


def avro_rows(rows: int) -> list[dict[str, Any]]:
    geo = [None, {"lat": None, "city": None}, {"lat": 1.5, "city": ""}]
    return [
        {
            "id": 2**62 + n, "small": None if n % 3 else -n, "f": 0.5, "d": None if n % 4 else 0.1, "ok": n % 2 == 0,
            "note": [None, "", "a\nb"][n % 3], "raw": [b"", b"\x00"][n % 2], "md5": bytes([n % 256] * 4), "kind": "AB"[n % 2],
            "other": [None, "A"][n % 2], "price": Decimal(10**25 + n).scaleb(-2), "fixed_price": Decimal(-n).scaleb(-3),
            "day": dt.date(2020, 1, 1 + n % 28), "clock": dt.time(1, 2, 3, 4000), "clock_us": dt.time(1, 2, 3, n),
            "at": None if n % 5 == 0 else dt.datetime(2020, 1, 1, tzinfo=dt.UTC),
            "at_us": dt.datetime(2020, 1, 1, 0, 0, n % 60, tzinfo=dt.UTC), "local": dt.datetime(2020, 1, 1, 0, 0, 0, n),
            "tags": [["a", None], []][n % 2], "days": [None, [dt.date(2020, 1, 1)]][n % 2], "geo": geo[n % 3],
            "from": {"lat": 2.5, "city": None},
        }
        for n in range(rows)
    ]  # fmt: skip


def write_avro_file(path: Path, rows: list[dict[str, Any]], codec: str = "deflate") -> None:
    with open(path, "wb") as out:
        fastavro.writer(out, fastavro.parse_schema(AVRO_SCHEMA), rows, codec=codec, sync_interval=500)


def read_avro(path: Path) -> tuple[Any, list[Any]]:
    with open(path, "rb") as content:
        reader = fastavro.reader(content)
        return fastavro.schema.to_parsing_canonical_form(reader.writer_schema), list(reader)


@pytest.mark.parametrize("codec", ["deflate", "null"])
def test_every_type_of_avro_comes_back_with_the_schema_in_canonical_form(tmp_path: Path, codec: str) -> None:
    write_avro_file(tmp_path / "a.avro", avro_rows(120), codec)
    out, rejects = round_trip(tmp_path, str(tmp_path / "a.avro"))
    assert rejects == []
    assert read_avro(out) == read_avro(tmp_path / "a.avro")
    whole = read_source(tmp_path, str(tmp_path / "a.avro"))[1]
    for unit_bytes in (300, 1000):
        assert read_source(tmp_path, str(tmp_path / "a.avro"), unit_bytes)[1] == whole


def test_avro_keeps_its_schema_where_no_column_of_presence_is_needed(tmp_path: Path) -> None:
    rows = [{**row, "geo": {"lat": 1.0, "city": "x"}} for row in avro_rows(5)]
    write_avro_file(tmp_path / "a.avro", rows)
    table, _, _ = read_source(tmp_path, str(tmp_path / "a.avro"))
    assert table.source is not None and "geo" not in table.field_names
    assert json.loads(table.source.avro_schema)["fields"][-1]["name"] == "from"


def test_an_avro_block_with_a_wrong_sync_marker_is_one_error(tmp_path: Path) -> None:
    write_avro_file(tmp_path / "a.avro", avro_rows(120), "null")
    content = bytearray((tmp_path / "a.avro").read_bytes())
    sync = bytes(content[-16:])
    at = content.find(sync, content.find(sync, content.find(sync) + 1) + 1)
    content[at] ^= 1
    (tmp_path / "a.avro").write_bytes(bytes(content))
    for unit_bytes in (None, 400):
        with pytest.raises(DataError, match="cut off or not an Avro file") as caught:
            read_source(tmp_path, str(tmp_path / "a.avro"), unit_bytes)
        assert caught.value.code == "LS206"


# -- from one format to another


@pytest.mark.parametrize("output_format", ["avro", "jsonl", "csv", "text"])
def test_parquet_is_written_in_every_format(tmp_path: Path, output_format: str) -> None:
    pq.write_table(all_types(40), tmp_path / "a.parquet")
    out, _ = round_trip(tmp_path, str(tmp_path / "a.parquet"), output_format)
    if output_format == "jsonl":
        rows = [json.loads(line) for line in out.read_text().splitlines()]
        assert list(rows[0]) == all_types(1).schema.names
    if output_format == "avro":
        with open(out, "rb") as content:
            rows = list(fastavro.reader(content))
        assert [row["u64"] for row in rows] == [Decimal(n) for n in all_types(40).column("u64").to_pylist()]
        assert [row["price"] for row in rows] == all_types(40).column("price").to_pylist()
        assert [row["local"] for row in rows] == all_types(40).column("local").to_pylist()


def test_json_lines_and_avro_are_written_as_parquet_with_structs(tmp_path: Path) -> None:
    write_jsonl(tmp_path / "a.jsonl", [{"g": {"x": 1, "t": ["a"]}, "n": 1.5}, {"n": 2.5}])
    out, _ = round_trip(tmp_path, str(tmp_path / "a.jsonl"), "parquet")
    assert pq.read_table(out).to_pylist() == [{"g": {"x": 1, "t": ["a"]}, "n": 1.5}, {"g": None, "n": 2.5}]
    write_avro_file(tmp_path / "a.avro", avro_rows(30))
    out, _ = round_trip(tmp_path, str(tmp_path / "a.avro"), "parquet")
    assert pq.read_table(out, columns=["geo", "price", "day"]).to_pylist() == [
        {name: row[name] for name in ("geo", "price", "day")} for row in avro_rows(30)
    ]
