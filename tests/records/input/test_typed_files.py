"""Avro and Parquet files read as dictionaries, damaged files, and the resolution of local file patterns."""

from __future__ import annotations

import io
from pathlib import Path

import fastavro
import pyarrow as pa
import pyarrow.parquet as parquet
import pytest

from linesmith.records.input import parquet_files
from linesmith.records.input.file_patterns import has_wildcard, match_local_files
from linesmith.records.input.typed_files import AVRO, PARQUET, TypedFile, TypedFileError

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
