"""Data frames with columns that are not learned."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import linesmith
from linesmith.api.cut_columns import describe_cut_column
from linesmith.api.frames import read_table, row_texts
from linesmith.core.config.column_roles import parse_role
from linesmith.core.errors import DataError, ParameterError
from tests.helpers.run_bytes import holds

SMALL = {"epochs": 1, "rnn_units": 16, "embedding_dim": 8}


def members(count: int) -> pd.DataFrame:
    random = np.random.default_rng(1)
    return pd.DataFrame(
        {
            "number": np.arange(4000, 4000 + count),
            "code": [f"QX-{n:04d}" for n in range(count)],
            "mail": [f"person{n}@invented.example" for n in range(count)],
            "town": random.choice(["Rome", "Oslo"], count),
            "visits": random.integers(0, 50, count),
            "tags": [[1, 2]] * count,  # of a type that cannot be learned
            "plan": pd.Categorical(random.choice(["x", "y"], count)),
        }
    )


ROLES = {"number": "key", "code": "key", "mail": "constant:web", "tags": "drop"}


def test_only_keys_are_written_of_columns_with_a_role() -> None:
    roles = {name: parse_role(text) for name, text in ROLES.items()}
    table, columns = read_table(members(3), roles=roles)
    rows = [row.split(",") for row in row_texts(table, columns)]
    assert [(row[0], row[1], row[2], row[5]) for row in rows] == [
        (str(4000 + n), f"QX-000{n}", "", "") for n in range(3)
    ]
    assert [column.kind for column in table.columns][:3] == ["integer", "text", "text"]
    fields = ["number", "town", "x", "plan"]
    kept = table.without(["number", "code", "mail", "tags"])
    assert [row.split(",")[0] for row in row_texts(kept, columns, fields)] == [""] * 3


@pytest.mark.parametrize(
    ("values", "kind", "arrow"),
    [
        (pa.array([1, 2], pa.int16()), "integer", "int64"),
        (pa.array([2**63 + 5], pa.uint64()), "text", "string"),
        (pa.array(["a"]).dictionary_encode(), "text", "string"),
        (pa.array(["a"], pa.large_string()), "text", "large_string"),
    ],
)
def test_types_of_keys(values: pa.Array, kind: str, arrow: str) -> None:
    column, _ = describe_cut_column("k", pa.chunked_array([values]), "", parse_role("key"), False)
    assert (column.kind, column.arrow, column.categories) == (kind, arrow, None)


def test_keys_of_other_types_are_refused() -> None:
    with pytest.raises(DataError, match=r"LS232.*'k'.*keys of type double"):
        describe_cut_column("k", pa.chunked_array([[1.5]]), "", parse_role("key"), False)
    column, _ = describe_cut_column("k", pa.chunked_array([[1]]), "int64", parse_role("key:AA"), False)
    assert (column.kind, column.dtype) == ("text", "object")


@pytest.mark.parametrize(
    ("roles", "found"),
    [("number=keys", "the roles are"), (["a=key", "a=drop"], "twice"), (7, "no mapping"), ({"a": ""}, "no role")],
)
def test_bad_roles_are_refused_before_the_data_are_read(roles: object, found: str) -> None:
    with pytest.raises(ParameterError, match=f"LS101.*{found}"):
        linesmith.fit(iter(()), column_role=roles)


@pytest.mark.integration
@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_a_frame_comes_back_with_its_columns(tmp_path: Path) -> None:
    data = members(220)
    with pytest.raises(ParameterError, match=r"LS140.*'nope' is not a column"):
        linesmith.fit(data, column_role={"nope": "drop", "tags": "drop"}, **SMALL)
    with pytest.raises(DataError, match=r"LS250.*'town' repeat"):
        linesmith.fit(data, column_role={"town": "key", "tags": "drop"}, **SMALL)
    model = linesmith.fit(data, column_role=ROLES, output=tmp_path / "run", **SMALL)
    assert model.columns == ["number", "code", "mail", "town", "visits", "plan"]
    out = model.sample(25)
    assert list(out.columns) == model.columns
    assert out.dtypes.astype(str).to_dict() == {
        "number": "int64", "code": "object", "mail": "object", "town": "object", "visits": "int64", "plan": "category",
    }  # fmt: skip
    assert out["number"].is_unique and out["number"].between(1000, 9999).all()
    assert out["code"].is_unique and out["code"].str.fullmatch("[A-Z]{2}-[0-9]{4}").all()
    assert set(out["mail"]) == {"web"}
    assert holds(tmp_path / "run", ["invented.example", "person1", "QX-0001"]) == []
    row = next(iter(model.stream(3)))
    assert row["number"] == out["number"][3]
    assert len(model.score(data.head(4))) == 4
    loaded = linesmith.load(model.save(tmp_path / "saved"))
    pd.testing.assert_frame_equal(loaded.sample(25), out)
    assert set(loaded.sample(5, column_role={"mail": "constant:other"})["mail"]) == {"other"}
    with pytest.raises(ParameterError, match=r"LS140.*keep their kinds"):
        loaded.sample(5, column_role={"mail": "drop"})
    report = model.evaluate(data.tail(50), n=60)
    assert any("not compared" in sentence for sentence in report.figures["not_covered"])


@pytest.mark.integration
@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_a_file_with_types_comes_back_as_a_table(tmp_path: Path) -> None:
    rows = [
        {"id": 10**9 + number, "mail": f"p{number}@invented.example", "town": "RO"[number % 2], "note": "secret"}
        for number in range(120)
    ]
    source = pa.Table.from_pylist(rows)
    pq.write_table(source, tmp_path / "members.parquet")
    roles = {"id": "key", "mail": "drop", "note": "constant:web"}
    model = linesmith.fit(tmp_path / "members.parquet", column_role=roles, output=tmp_path / "run", **SMALL)
    assert model.columns == ["id", "town", "note"]
    out = model.sample(12)
    assert out.schema.equals(source.select(["id", "town", "note"]).schema)
    assert set(out.column("note").to_pylist()) == {"web"}
    assert len(set(out.column("id").to_pylist())) == 12
    assert holds(tmp_path / "run", ["invented.example", "secret"]) == []
    assert next(iter(model.stream(3)))["id"] == out.column("id").to_pylist()[3]
