"""Roles of typed sources without a model: columns are cut, and others stand in their place on output."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import fastavro
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from linesmith.core.config.tensorflow_config import TensorFlowConfig
from linesmith.core.errors import LinesmithError
from linesmith.pipelines.tokenize.column_roles import learned_part, with_table_roles
from linesmith.pipelines.tokenize.source import declared_table
from linesmith.records.fields import FieldFormat
from linesmith.records.input.input_ranges import plan_input_units
from linesmith.records.input.record_format import DatasetSplitter, RecordFormat
from linesmith.records.output.layout import GeneratedRecord, RecordLayout
from linesmith.records.output.writers import write_records
from linesmith.records.roles.filler import RecordFiller
from linesmith.records.roles.table_roles import hollow_structs, optional_structs
from linesmith.records.roles.value_sources import ConstantSource, EscapedSource
from linesmith.records.table_format import TableFormat, parse_table_format
from linesmith.transforms.find_inputs import find_inputs
from linesmith.transforms.read_records import RangeReader, ReadSettings
from tests.helpers.sources import read_source

pytestmark = pytest.mark.integration
FIELDS = FieldFormat(",", quoted=True)
ROWS: list[dict[str, Any]] = [
    {"id": 7, "user": {"mail": "a@zz.example", "town": "Rome"}, "n": 1},
    {"id": 8, "user": None, "n": 2},
    {"id": 9, "user": {"mail": None, "town": None}, "n": None},
    {"id": 10, "user": {"mail": "b@zz.example", "town": None}, "n": 4},
]
ARROW = pa.schema(
    [
        pa.field("id", pa.int32(), False),
        ("user", pa.struct([pa.field("mail", pa.string()), pa.field("town", pa.string())])),
        ("n", pa.int8()),
    ]
)
AVRO: dict[str, Any] = {
    "type": "record", "name": "Row", "fields": [
        {"name": "id", "type": "int"},
        {"name": "user", "type": ["null", {"type": "record", "name": "User", "fields": [
            {"name": "mail", "type": ["null", "string"]}, {"name": "town", "type": ["null", "string"]}]}]},
        {"name": "n", "type": ["null", "int"]},
    ],
}  # fmt: skip


def write(folder: Path, name: str, rows: list[dict[str, Any]] = ROWS) -> Path:
    path = folder / f"rows.{name}"
    if name == "parquet":
        pq.write_table(pa.Table.from_pylist(rows, ARROW), path)
    elif name == "avro":
        with open(path, "wb") as out:
            fastavro.writer(out, fastavro.parse_schema(AVRO), rows)
    else:
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def fill(table: TableFormat, roles: dict[str, str], records: Iterable[str], out: Path, output_format: str) -> Path:
    """Write records with constants in the place of columns, after a way of the table through its file."""
    table = parse_table_format(table.as_dict())
    config = TensorFlowConfig(column_role=roles, input_format=output_format)
    learned = learned_part(config, table)
    left = {name for name, role in config.roles.items() if role.kind == "drop"}
    written = table.without(left | set(hollow_structs(table, left)))
    sources = {
        name: EscapedSource(ConstantSource(role.text), column)
        for name, column in zip(written.field_names, written.columns, strict=True)
        if (role := config.roles.get(name)) is not None and role.kind == "constant"
    }
    structs = optional_structs(written, learned, set(sources))
    filler = RecordFiller(FIELDS, tuple(sources.get(name) for name in written.field_names), structs)
    made = [GeneratedRecord(filler.text(number, text)) for number, text in enumerate(records)]
    layout = RecordLayout(written.field_names, FIELDS, table=written)
    write_records(out, output_format, made, layout)
    return out


@pytest.mark.parametrize("name", ["parquet", "avro", "jsonl"])
def test_a_nested_column_is_cut_and_stands_in_the_struct_where_that_is_there(tmp_path: Path, name: str) -> None:
    roles = {"id": "constant:5", "user.mail": "constant:x@y.org"}
    table, records, rejects = read_source(tmp_path, str(write(tmp_path, name)), column_role=roles)
    assert not rejects
    null = r"\0" if name == "jsonl" else ""  # of a key that may be left out, too
    assert records == ["{},Rome,1", ",,2", f"{{}},{null},", f"{{}},{null},4"]
    assert not any("zz" in text for text in [*records, json.dumps(table.as_dict())])
    out = fill(table, roles, records, tmp_path / f"out.{name}", name)
    expected = [
        {**row, "id": 5, "user": None if row["user"] is None else {**row["user"], "mail": "x@y.org"}} for row in ROWS
    ]
    if name == "parquet":
        assert pq.read_table(out).to_pylist() == expected
        assert pq.read_schema(out).equals(ARROW)
    elif name == "avro":
        with open(out, "rb") as content:
            reader = fastavro.reader(content)
            assert list(reader) == expected
            parsing_form = fastavro.schema.to_parsing_canonical_form
            assert parsing_form(reader.writer_schema) == parsing_form(AVRO)
    else:
        assert [json.loads(line) for line in out.read_text().splitlines()] == expected
        assert list(json.loads(out.read_text().splitlines()[0])) == ["id", "user", "n"]


@pytest.mark.parametrize("name", ["parquet", "avro", "jsonl"])
def test_a_struct_of_which_nothing_is_learned_is_there_as_often_as_it_was(tmp_path: Path, name: str) -> None:
    roles = {"user.mail": "constant:m", "user.town": "constant:t"}
    table, records, _ = read_source(tmp_path, str(write(tmp_path, name)), column_role=roles)
    assert records == ["7,{},1", "8,,2", "9,{},", "10,{},4"]
    out = fill(table, roles, records, tmp_path / f"out.{name}", name)
    found = pq.read_table(out).to_pylist() if name == "parquet" else list(read_any(out, name))
    assert [row["user"] for row in found] == [{"mail": "m", "town": "t"}, None, *[{"mail": "m", "town": "t"}] * 2]


@pytest.mark.parametrize("name", ["parquet", "avro", "jsonl"])
@pytest.mark.parametrize("roles", [{"user": "drop"}, {"user.mail": "drop", "user.town": "drop"}])
def test_a_struct_is_left_out_whole_by_its_name_or_by_all_of_its_columns(
    tmp_path: Path, name: str, roles: dict[str, str]
) -> None:
    table, records, _ = read_source(tmp_path, str(write(tmp_path, name)), column_role=roles)
    assert records == ["7,1", "8,2", "9,", "10,4"]
    out = fill(table, roles, records, tmp_path / f"out.{name}", name)
    assert list(read_any(out, name)) == [{"id": row["id"], "n": row["n"]} for row in ROWS]
    if name == "parquet":
        assert pq.read_schema(out).equals(pa.schema([field for field in ARROW if field.name != "user"]))


def read_any(path: Path, name: str) -> list[dict[str, Any]]:
    if name == "parquet":
        return pq.read_table(path).to_pylist()
    if name == "jsonl":
        return [json.loads(line) for line in path.read_text().splitlines()]
    with open(path, "rb") as content:
        return list(fastavro.reader(content))


def test_keys_of_a_dropped_object_and_values_of_a_dictionary_are_kept_nowhere(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_text('{"seen": {"bob@zz.example": 1}, "n": 1}\n{"n": 2, "seen": {}}\n')
    table, records, _ = read_source(tmp_path, str(tmp_path / "a.jsonl"), column_role={"seen": "drop"})
    assert records == ["1", "2"]
    assert "zz" not in json.dumps(table.as_dict())
    mails = pa.array(["a@zz.example", "b@zz.example"]).dictionary_encode()
    pq.write_table(pa.table({"mail": mails, "n": [1, 2]}), tmp_path / "a.parquet")
    table, records, _ = read_source(tmp_path, str(tmp_path / "a.parquet"), column_role={"mail": "constant:m"})
    assert records == ["1", "2"]
    assert "zz" not in json.dumps(table.as_dict())
    out = fill(table, {"mail": "constant:m"}, records, tmp_path / "out.parquet", "parquet")
    assert pq.read_schema(out).equals(pq.read_schema(tmp_path / "a.parquet"))


def test_a_column_of_a_type_that_cannot_be_learned_can_be_left_out(tmp_path: Path) -> None:
    attributes = pa.array([[("k", 1)]], pa.map_(pa.string(), pa.int32()))
    pq.write_table(pa.table({"attributes": attributes, "n": [1]}), tmp_path / "a.parquet")
    with pytest.raises(LinesmithError, match="attributes"):
        read_source(tmp_path, str(tmp_path / "a.parquet"))
    _, records, _ = read_source(tmp_path, str(tmp_path / "a.parquet"), column_role={"attributes": "drop"})
    assert records == ["1"]
    with pytest.raises(LinesmithError, match="values that can only be left out"):
        read_source(tmp_path, str(tmp_path / "a.parquet"), column_role={"attributes": "constant:x"})


@pytest.mark.parametrize("name", ["csv", "jsonl", "parquet", "avro"])
def test_no_rejected_row_is_kept_where_columns_are_cut(tmp_path: Path, name: str) -> None:
    if name == "csv":
        (tmp_path / "rows.csv").write_text("id,n\na@zz.example,1\nb@zz.example,1,2\n")
        roles = {"id": "drop"}
    elif name == "jsonl":
        (tmp_path / "rows.jsonl").write_text('{"id": "a@zz.example", "n": 1}\n{"id": "b@zz.example"\n')
        roles = {"id": "drop"}
    else:
        write(tmp_path, name, [*ROWS, {"id": 1, "user": {"mail": "c@zz.example", "town": "x" * 300}, "n": 1}])
        roles = {"user.mail": "drop"}
    _, records, rejects = read_source(
        tmp_path, str(tmp_path / f"rows.{name}"), input_format=name, column_role=roles, max_line_len=200
    )
    assert records and len(rejects) == 1
    assert "zz" not in json.dumps(rejects)


@pytest.mark.parametrize(
    ("roles", "found"),
    [
        ({"nope": "drop"}, "'nope' is not a column.*There are: id, user, user.mail, user.town, n"),
        ({"id": "constant:x"}, "holds values of type int32"),
        ({"n": "constant:300"}, "holds values of type int8"),
        ({"id": "key:AA-00"}, "the pattern describes texts"),
        ({"n": "key:1..99999"}, "holds values of type int8 only"),
        ({"user": "constant:x"}, "values that can only be left out"),
        ({"id": "drop", "n": "drop", "user": "drop"}, "no column is left to learn"),
    ],
)
def test_roles_that_a_type_cannot_have_are_one_paragraph(tmp_path: Path, roles: dict[str, str], found: str) -> None:
    with pytest.raises(LinesmithError, match=found) as caught:
        read_source(tmp_path, str(write(tmp_path, "parquet")), column_role=roles)
    assert caught.value.code == "LS140" and "\n" not in str(caught.value)


def test_an_avro_schema_without_a_dropped_field_keeps_the_types_of_the_others(tmp_path: Path) -> None:
    schema: dict[str, Any] = {
        "type": "record", "name": "R", "fields": [
            {"name": "first", "type": {"type": "enum", "name": "Color", "symbols": ["red", "blue"]}},
            {"name": "second", "type": "Color"},
            {"name": "n", "type": "long"},
        ],
    }  # fmt: skip
    with open(tmp_path / "a.avro", "wb") as out:
        fastavro.writer(out, fastavro.parse_schema(schema), [{"first": "red", "second": "blue", "n": 1}])
    for roles, left in (({"n": "drop"}, ["first", "second"]), ({"first": "drop"}, ["second", "n"])):
        table, records, _ = read_source(tmp_path, str(tmp_path / "a.avro"), column_role=roles)
        written = fill(table, roles, records, tmp_path / "out.avro", "avro")
        with open(written, "rb") as content:
            reader = fastavro.reader(content)
            assert [field["name"] for field in reader.writer_schema["fields"]] == left
            kinds = [field["type"] for field in reader.writer_schema["fields"]]
            assert list(reader) == [{name: {"first": "red", "second": "blue", "n": 1}[name] for name in left}]
        if roles == {"n": "drop"}:
            assert kinds[0]["type"] == "enum"


def test_the_column_that_names_users_is_read_for_their_protection_and_never_learned(tmp_path: Path) -> None:
    table = pa.table({"n": [1, 2, 3], "user": ["a@zz.example", "b@zz.example", "a@zz.example"], "town": ["Rome"] * 3})
    pq.write_table(table, tmp_path / "a.parquet")
    roles = {"user": "drop", "town": "constant:x"}
    config = TensorFlowConfig(
        input_data_path=str(tmp_path / "a.parquet"), dp=True, columns=["town", "user", "n"], privacy_key_field="user",
        column_role=roles,
    )  # fmt: skip
    files = find_inputs(config, tmp_path)
    declared = declared_table(config, files)
    plain = ReadSettings(RecordFormat.from_config(config), DatasetSplitter(0, False), config.header)
    settings = with_table_roles(config, declared, plain)
    rejects: list[dict[str, Any]] = []
    reader = RangeReader(plan_input_units(files)[0].ranges[0], settings, rejects.append)
    (batch,) = reader.batches()
    assert batch["text"].to_pylist() == ["1", "2", "3"]
    assert reader.count.columns == ["n"]
    users = batch["user_hash"].to_pylist()
    assert users[0] == users[2] != users[1] and 0 not in users
    assert rejects == []


@pytest.mark.parametrize("name", ["parquet", "avro", "jsonl"])
def test_a_struct_whose_presence_was_not_learned_is_always_there(tmp_path: Path, name: str) -> None:
    dropped = {"user.mail": "drop", "user.town": "drop"}
    table, records, _ = read_source(tmp_path, str(write(tmp_path, name)), column_role=dropped)
    assert records == ["7,1", "8,2", "9,", "10,4"]
    later = table.without({"user", "user.town"})
    assert later.field_names == ("id", "user.mail", "n")
    layout = RecordLayout(later.field_names, FIELDS, table=later)
    made = [GeneratedRecord(f"{text.partition(',')[0]},x@y.org,{text.partition(',')[2]}") for text in records]
    write_records(tmp_path / f"out.{name}", name, made, layout)
    assert [row["user"] for row in read_any(tmp_path / f"out.{name}", name)] == [{"mail": "x@y.org"}] * 4
