"""Avro and Parquet files read as dictionaries, damaged files, and the resolution of local file patterns."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import fastavro
import pyarrow as pa
import pyarrow.parquet as parquet
import pytest

from linesmith.records.input import parquet_files
from linesmith.records.input.file_patterns import has_wildcard, match_local_files
from linesmith.records.input.typed_files import AVRO, PARQUET, TypedFile, TypedFileError
from tests.helpers.parquet_footer import nested_columns

ROWS = [{"name": f"n{number}", "age": number} for number in range(25)]


def file_bytes(format_name: str) -> bytes:
    content = io.BytesIO()
    if format_name == AVRO:
        fields = [{"name": "name", "type": "string"}, {"name": "age", "type": "long"}]
        fastavro.writer(content, {"type": "record", "name": "R", "fields": fields}, ROWS, codec="deflate")
    else:
        parquet.write_table(pa.Table.from_pylist(ROWS), content, row_group_size=10)
    return content.getvalue()


@pytest.mark.parametrize("format_name", [AVRO, PARQUET])
def test_all_rows_are_read_in_order(format_name: str) -> None:
    file = TypedFile(io.BytesIO(file_bytes(format_name)), format_name)
    assert file.columns == ["name", "age"]
    batches = list(file.batches(4))
    assert [row for batch in batches for row in batch] == ROWS
    assert all(len(batch) <= 4 for batch in batches)


def test_a_parquet_file_is_read_in_parts_and_by_columns() -> None:
    file = TypedFile(io.BytesIO(file_bytes(PARQUET)), PARQUET)
    assert file.num_parts == 3
    assert [row for batch in file.batches(100, part=1) for row in batch] == ROWS[10:20]
    assert [row for batch in file.batches(100, columns=["age"]) for row in batch] == [{"age": r["age"]} for r in ROWS]


@pytest.mark.parametrize("format_name", [AVRO, PARQUET])
def test_a_file_that_is_cut_off_anywhere_is_refused(format_name: str) -> None:
    content = file_bytes(format_name)
    for length in range(0, len(content), 9):
        with pytest.raises(TypedFileError, match="cut off") as caught:
            list(TypedFile(io.BytesIO(content[:length]), format_name).batches(100))
        assert "n1" not in str(caught.value)


def test_patterns_match_files_in_order_and_existing_paths_are_literal(tmp_path: Path) -> None:
    for name in ("b.csv", "a.csv", "[a].csv", "sub/c.csv"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("x\n")
    (tmp_path / "directory.csv").mkdir()

    def names(pattern: str) -> list[str]:
        return [Path(path).relative_to(tmp_path).as_posix() for path in match_local_files(str(tmp_path / pattern))]

    assert names("*.csv") == ["[a].csv", "a.csv", "b.csv"]
    assert names("**/*.csv") == ["[a].csv", "a.csv", "b.csv", "sub/c.csv"]
    assert names("[a].csv") == ["[a].csv"]
    assert names("none.csv") == names("none*") == []
    assert has_wildcard("a?.csv") and not has_wildcard("a.csv")


def test_a_parquet_file_that_declares_more_than_it_can_hold_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    content = io.BytesIO()
    parquet.write_table(pa.table({"x": pa.array(["a"] * 3_000_000)}), content, compression="zstd")
    assert len(content.getvalue()) < 3000
    with pytest.raises(TypedFileError, match="larger than its bytes account for"):
        TypedFile(io.BytesIO(content.getvalue()), PARQUET)
    content = io.BytesIO()
    parquet.write_table(
        pa.table({"x": pa.array(["a" * 5000] * 2000)}), content, compression="zstd", use_dictionary=False
    )
    monkeypatch.setattr(parquet_files, "_FREE_BYTES", 1 << 20)
    with pytest.raises(TypedFileError, match="larger than its bytes account for"):
        TypedFile(io.BytesIO(content.getvalue()), PARQUET)


def refused(content: bytes) -> None:
    with pytest.raises(TypedFileError, match="larger than its bytes account for"):
        list(TypedFile(io.BytesIO(content), PARQUET).batches(2000))


def test_columns_in_one_another_are_refused_before_the_library_follows_them() -> None:
    assert TypedFile(io.BytesIO(nested_columns(20)), PARQUET).columns == ["a"]
    for levels in (100, 10_000, 200_000):  # the library's stack ends at about 20,000
        refused(nested_columns(levels))


def written(table: pa.Table, **options: Any) -> bytes:
    content = io.BytesIO()
    parquet.write_table(table, content, compression="zstd", store_schema=False, **options)
    return content.getvalue()


LONG = pa.DictionaryArray.from_arrays(pa.array([0] * 3000, pa.int32()), pa.array(["a" * 20_000]))


@pytest.mark.parametrize(
    "column",
    [
        LONG,
        pa.StructArray.from_arrays([LONG], ["a"]),
        pa.ListArray.from_arrays(list(range(0, 3001, 3)), LONG),
        pa.MapArray.from_arrays(list(range(0, 3001, 3)), pa.array(["k"] * 3000), LONG),
    ],
)
def test_a_long_text_that_repeats_is_written_out_for_a_few_records_at_once(
    column: pa.Array, monkeypatch: pytest.MonkeyPatch
) -> None:
    content = written(pa.table({"x": column}), dictionary_pagesize_limit=1 << 30)
    monkeypatch.setattr(parquet_files, "_BATCH_BYTES", 1_000_000)
    batches = list(TypedFile(io.BytesIO(content), PARQUET).batches(2000))
    assert max(map(len, batches)) * len(column) * 20_000 <= 3000 * 1_000_000 * 1.1
    assert [row for batch in batches for row in batch] == [{"x": value} for value in column.to_pylist()]
    monkeypatch.setattr(parquet_files, "_FREE_WRITTEN_BYTES", 20_000_000)
    refused(content)
    monkeypatch.setattr(parquet_files, "_MAX_RECORD_BYTES", 10_000)
    monkeypatch.setattr(parquet_files, "_BATCH_BYTES", 10_000)
    refused(content)


def test_pages_are_measured_whatever_the_metadata_declares(monkeypatch: pytest.MonkeyPatch) -> None:
    texts = pa.table({"x": [f"{number:0300}" for number in range(3000)]})
    for options, limit in (
        ({"use_dictionary": False}, "_MAX_PAGE_BYTES"),
        ({"dictionary_pagesize_limit": 1 << 30}, "_MAX_DICTIONARY_BYTES"),
    ):
        content = written(texts, **options)
        assert sum(map(len, TypedFile(io.BytesIO(content), PARQUET).batches(2000))) == 3000
        with monkeypatch.context() as patch:
            patch.setattr(parquet_files, limit, 100_000)
            refused(content)


def test_values_that_share_their_beginnings_are_read_a_few_at_a_time() -> None:
    table = pa.table({"x": ["a" * 300_000 + str(number) for number in range(2000)]})
    content = written(table, use_dictionary=False, column_encoding="DELTA_BYTE_ARRAY", data_page_size=1 << 20)
    assert len(content) < 100_000
    batches = TypedFile(io.BytesIO(content), PARQUET).batches(2000)
    assert len(next(batches)) < 1000


def test_values_of_a_long_fixed_length_are_refused() -> None:
    refused(written(pa.table({"x": pa.array([b"a" * 100_000] * 10, pa.binary(100_000))})))
