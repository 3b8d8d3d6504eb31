"""Shard writers: output read back by independent readers, reproducible bytes, and valid column names."""

from __future__ import annotations

import io
import json
from pathlib import Path

import fastavro
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from linesmith.records.fields import FieldFormat
from linesmith.records.output.avro_names import unique_names
from linesmith.records.output.layout import GeneratedRecord, RecordLayout, resolve_column_names
from linesmith.records.output.writers import keep_first_invalid, shard_name, write_invalid, write_records

RECORDS = [
    GeneratedRecord("6, é\u2028,", "6, ", 0),
    GeneratedRecord("7, \r,x", "7, ", 1),
    GeneratedRecord(", ,", "", 2),
]
LAYOUT = RecordLayout(("id", "a b", "ü"), FieldFormat(","), start_string_per_record=True)


def avro_rows(path: Path) -> list[dict]:
    with open(path, "rb") as shard:
        return list(fastavro.reader(shard))


def test_text_has_one_record_per_line(tmp_path: Path) -> None:
    path = tmp_path / shard_name(3, 12, "text")
    write_records(path, "text", RECORDS, LAYOUT)
    assert path.name == "part-00003-of-00012.txt"
    assert path.read_bytes() == b"".join(text.encode() + b"\n" for text, _, _ in RECORDS)
    with pytest.raises(ValueError, match="line end"):
        write_records(path, "text", [GeneratedRecord("a\nb")], LAYOUT)
    assert path.read_bytes().count(b"\n") == 3, "the old shard stands"
    assert [p.name for p in tmp_path.iterdir()] == [path.name], "nothing temporary is left"


def test_jsonl_keeps_names_and_values(tmp_path: Path) -> None:
    path = tmp_path / "part.jsonl"
    write_records(path, "jsonl", RECORDS, LAYOUT)
    rows = [json.loads(line) for line in path.read_bytes().split(b"\n")[:-1]]
    assert rows[0] == {"id": "6", "a b": " é\u2028", "ü": "", "seed_id": 0, "start_string": "6, "}
    assert len(rows) == 3


def test_avro_is_read_back_with_valid_names(tmp_path: Path) -> None:
    path = tmp_path / "part.avro"
    write_records(path, "avro", RECORDS, LAYOUT)
    rows = avro_rows(path)
    assert list(rows[0]) == ["id", "a_b", "field_2", "seed_id", "start_string"]
    assert [row["a_b"] for row in rows] == [" é\u2028", " \r", " "]
    assert [row["start_string"] for row in rows] == [start for _, start, _ in RECORDS]


def test_free_text_is_one_column(tmp_path: Path) -> None:
    path = tmp_path / "part.avro"
    write_records(path, "avro", RECORDS, RecordLayout())
    assert avro_rows(path) == [{"text": text} for text, _, _ in RECORDS]


@pytest.mark.parametrize("output_format", ["text", "jsonl", "avro", "parquet"])
def test_equal_records_give_equal_bytes_and_other_shards_have_other_sync_markers(
    tmp_path: Path, output_format: str
) -> None:
    paths = [tmp_path / "a" / "part-0", tmp_path / "b" / "part-0", tmp_path / "part-1"]
    for path in paths:
        write_records(path, output_format, RECORDS, LAYOUT)
    first, again, other = (path.read_bytes() for path in paths)
    assert first == again
    assert (first == other) is (output_format != "avro")


def test_a_record_that_does_not_fit_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="2 fields, the output 3 columns"):
        write_records(tmp_path / "part", "jsonl", [GeneratedRecord("a,b")], LAYOUT)
    assert list(tmp_path.iterdir()) == []


def test_the_first_invalid_records_are_kept(tmp_path: Path) -> None:
    path = tmp_path / "part.avro"
    rows = [{"index": n, "attempt": 0, "text": "", "reason": "empty", "explain": None} for n in range(9)]
    write_invalid(path, rows[:4])
    four = path.read_bytes()
    write_invalid(path, rows)
    keep_first_invalid(path, 4)
    assert avro_rows(path) == rows[:4]
    assert path.read_bytes() == four


NAMES = st.lists(st.text(st.sampled_from("aA1_2 é"), max_size=4), min_size=1, max_size=8)


@pytest.mark.integration
@settings(max_examples=300, deadline=None, derandomize=True)
@given(names=NAMES, paired=st.booleans())
def test_any_names_give_a_schema_that_avro_accepts(names: list[str], paired: bool) -> None:
    layout = RecordLayout(tuple(names), FieldFormat(","), start_string_per_record=paired)
    assert len(set(layout.names)) == len(layout.names) == len(names) + 2 * paired
    schema = layout.avro_schema()
    row = {field["name"]: 7 if field["type"] == "long" else "x" for field in schema["fields"]}
    assert len(row) == len(layout.names)
    shard = io.BytesIO()
    fastavro.writer(shard, fastavro.parse_schema(schema), [row])
    shard.seek(0)
    assert list(fastavro.reader(shard)) == [row]
    assert [field.get("doc", field["name"]) for field in schema["fields"]] == list(layout.names)


def test_valid_unique_names_are_not_changed() -> None:
    assert unique_names(["a", "b"]) == ("a", "b")
    assert unique_names(["a", "a", "a_2", "a"]) == ("a", "a_3", "a_2", "a_4")


def test_sources_of_column_names() -> None:
    assert resolve_column_names(["x", "y"], ["a", "b"], 2) == ["x", "y"]
    assert resolve_column_names(None, ["a", "b"], 2) == ["a", "b"]
    assert resolve_column_names(None, ["a"], 2) == ["field_0", "field_1"], "a header that does not fit names nothing"
    assert resolve_column_names(None, ["a"], None) is None
    assert resolve_column_names(["x"], None, None) == ["x"]
