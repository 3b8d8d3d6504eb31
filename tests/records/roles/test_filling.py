"""Cutting columns, and what is put in their place."""

from __future__ import annotations

import json
import pickle
from pathlib import Path

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from linesmith.core.config.key_pattern import parse_pattern
from linesmith.core.errors import DataError, ParameterError
from linesmith.records.fields import FieldFormat
from linesmith.records.input.record_format import RecordFormat
from linesmith.records.roles.column_cut import ColumnCut
from linesmith.records.roles.filler import RecordFiller
from linesmith.records.roles.source_keys import SourceKeys, write_source_keys
from linesmith.records.roles.stored_roles import StoredRoles, read_roles, write_roles
from linesmith.records.roles.value_sources import (
    ConstantSource,
    EscapedSource,
    KeySource,
    ReferenceSource,
    ValueSource,
    write_values,
)

CSV, PLAIN = FieldFormat(",", quoted=True), FieldFormat(", ")
_FIELD = st.text(st.characters(blacklist_characters="\n\r\x00", blacklist_categories=("Cs",)), max_size=8)


@settings(deadline=None)
@given(st.lists(_FIELD, min_size=1, max_size=6), st.data())
def test_what_is_cut_is_put_back_in_its_place(fields: list[str], data: st.DataObject) -> None:
    names = [str(number) for number in range(len(fields))]
    roles = data.draw(st.sets(st.sampled_from(names), max_size=len(fields) - 1)) if len(fields) > 1 else set()
    cut = ColumnCut.of(roles, names)
    learned = cut.keep_text(CSV.join(fields), CSV)
    sources: list[ValueSource | None] = [
        ConstantSource(f) if n in roles else None for n, f in zip(names, fields, strict=True)
    ]
    filler = RecordFiller(CSV, tuple(sources))
    assert learned is not None
    assert CSV.split(filler.text(5, learned)) == fields
    assert filler.values(5, cut.keep(fields)) == fields


def test_a_record_of_another_number_of_fields_is_not_cut() -> None:
    form = RecordFormat(fields=PLAIN, cut=ColumnCut((0, 2), 3))
    assert form.cut_columns("a, b, c") == ("a, c", None)
    assert form.cut_columns("a, b") == ("", "field_count")
    assert RecordFormat(fields=PLAIN, cut=ColumnCut((0,), 2)).cut_columns(", x") == ("", "empty")
    assert RecordFormat(fields=PLAIN).cut_columns("a, b") == ("a, b", None)
    with pytest.raises(ValueError, match="number of fields"):
        RecordFiller(PLAIN, (None, ConstantSource("x"))).text(0, "a, b")


def test_a_field_beyond_the_limit_of_csv_is_cut_and_not_split() -> None:
    record = f'7,"{"x" * 200_000}",Rome'
    assert CSV.split_or_none(record) is None and CSV.split_or_none("7,x") == ["7", "x"]
    assert ColumnCut((0, 2), 3).keep_text(record, CSV) == "7,Rome"


def test_keys_end_with_an_error_and_not_twice() -> None:
    source = KeySource("id", parse_pattern("00"), 3)
    assert {source.value(index) for index in range(100)} == {f"{number:02d}" for number in range(100)}
    with pytest.raises(ParameterError, match=r"LS140.*100 different keys, and 101 records"):
        source.value(100)
    filler = RecordFiller(CSV, (source, None))
    filler.check_capacity(100)
    with pytest.raises(ParameterError, match=r"LS140.*101 records"):
        filler.check_capacity(101)


@settings(deadline=None)
@given(st.sets(st.integers(0, 99)))
def test_avoided_keys_never_occur_and_the_others_all_do(avoided: set[int]) -> None:
    import tempfile

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "keys.bin"
        assert write_source_keys(path, [*avoided, *avoided]) == len(avoided)
        known = SourceKeys(str(path))
        assert {known.rank(number) for number in avoided} == set(range(len(avoided)))
        assert known.rank(100) is None
        source = KeySource("id", parse_pattern("00"), 3, str(path))
        made = [source.value(index) for index in range(source.capacity)]
        assert sorted(made) == [f"{number:02d}" for number in range(100) if number not in avoided]


def test_sources_travel_to_workers_and_depend_on_seed_column_and_index_alone(tmp_path: Path) -> None:
    path = tmp_path / "values.arrow"
    write_values(str(path), pa.chunked_array([["a", "b"], ["c"]]))
    made = [
        KeySource("id", parse_pattern("AAAA"), 1),
        ReferenceSource("to", str(path), 1),
        EscapedSource(ConstantSource("a\nb")),
    ]
    for source in made:
        expected = [source.value(index) for index in range(50)]
        assert [pickle.loads(pickle.dumps(source)).value(index) for index in reversed(range(50))] == expected[::-1]
    assert {made[1].value(index) for index in range(50)} == {"a", "b", "c"}
    assert made[2].value(0) == "a\\nb"
    other_seed, other_column = KeySource("id", parse_pattern("AAAA"), 2), KeySource("no", parse_pattern("AAAA"), 1)
    assert len({source.value(0) for source in (made[0], other_seed, other_column)}) == 3


def test_references_are_drawn_as_often_as_they_are_listed(tmp_path: Path) -> None:
    path = tmp_path / "values.arrow"
    write_values(str(path), pa.chunked_array([["a", "b", "b", "b"]]))
    drawn = [ReferenceSource("to", str(path), 1).value(index) for index in range(4000)]
    assert 0.70 < drawn.count("b") / 4000 < 0.80  # expected 0.75; a standard deviation is 0.007


def test_stored_roles(tmp_path: Path) -> None:
    stored = StoredRoles(
        ("id", "town", "mail", "note"), {"id": "key", "mail": "fake:email", "note": "drop"}, {"id": parse_pattern("A0")}
    )
    assert read_roles(tmp_path) is None
    write_roles(tmp_path, stored)
    assert read_roles(tmp_path) == stored
    assert stored.learned == ["town"]
    assert stored.written_columns({"note": "drop"}) == ["id", "town", "mail"]
    assert stored.cut(["id", "town", "mail"]).kept == (1,)


@pytest.mark.parametrize(
    "change",
    [
        {"columns": ["id"]}, {"roles": {"id": "learn"}}, {"roles": {"id": "nonsense"}}, {"patterns": {}}, {"columns": None},
        {"roles": {"town": "drop", "id": "drop"}}, {"patterns": {"id": {}}},
    ],
)  # fmt: skip
def test_damaged_roles_are_refused(tmp_path: Path, change: dict) -> None:
    write_roles(tmp_path, StoredRoles(("id", "town"), {"id": "key"}, {"id": parse_pattern("A0")}))
    path = tmp_path / "roles.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **change}))
    with pytest.raises(DataError, match="LS214"):
        read_roles(tmp_path)
    path.write_text("[]")
    with pytest.raises(DataError, match="LS214"):
        read_roles(tmp_path)
