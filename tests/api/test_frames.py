"""Tables as records and back, without a model: values, types, and what is refused."""

from __future__ import annotations

import datetime as dt
from decimal import Decimal

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from linesmith.api.frames import build_table, columns_like, read_table, row_texts
from linesmith.api.inputs import checked_lines, fit_input
from linesmith.core.errors import DataError, LinesmithError, ParameterError, TooFewRecordsError
from linesmith.records.table_format import TABLE_FIELDS
from tests.helpers.tables import fourteen_kinds


def round_trip(data: object, private: bool = False) -> object:
    table, columns = read_table(data, private)
    texts = list(row_texts(table, columns))
    assert all(table.fault(TABLE_FIELDS.split(text)) is None for text in texts)
    assert not any("\n" in text or "\r" in text or text == "" for text in texts)
    return build_table(table, texts)


@pytest.mark.parametrize("private", [False, True])
def test_fourteen_kinds_of_pandas_columns_come_back(private):
    data = fourteen_kinds(60)
    found = round_trip(data, private)
    pd.testing.assert_frame_equal(found, data)
    assert (found.dtypes == data.dtypes).all()


def test_further_types_of_pandas_come_back():
    data = pd.DataFrame(
        {
            "u": np.array([0, 2**64 - 1], dtype="uint64"),
            "small": np.array([-128, 127], dtype="int8"),
            "f32": np.array([0.1, np.inf], dtype="float32"),
            "string": pd.array(["x", None], dtype="string"),
            "arrow string": pd.array(["", None], dtype=pd.StringDtype("pyarrow")),
            "arrow": pd.array([1, None], dtype=pd.ArrowDtype(pa.int64())),
            "ordered": pd.Categorical([3, 5], categories=[5, 3, 4], ordered=True),
            "ns": pd.to_datetime([1, 2]),
            "midnights": pd.to_datetime(["2020-02-29", None]),
            "seconds": pd.array(["2020-02-29 10:00:01", "1969-12-31"], dtype="datetime64[s]"),
            "duration": pd.to_timedelta([1, None], unit="s"),
            "Float64": pd.array([1.5, None], dtype="Float64"),
            "objects": pd.Series([1, None], dtype=object),
            "all missing": [np.nan, np.nan],
            "name, with\nall": [True, False],
        }
    )
    found = round_trip(data)
    pd.testing.assert_frame_equal(found, data)
    assert [str(dtype) for dtype in found.dtypes] == [str(dtype) for dtype in data.dtypes]


def test_polars_types_come_back():
    pl = pytest.importorskip("polars")
    testing = pytest.importorskip("polars.testing")
    moment = dt.datetime(2020, 1, 1, 1)
    data = pl.DataFrame(
        {
            "i": [1, 2, None],
            "u8": pl.Series([1, 2, 255], dtype=pl.UInt8),
            "s": ["a", "", "😀\n"],
            "d": [dt.date(2020, 1, 1)] * 3,
            "t": [dt.time(1, 2, 3, 4)] * 3,
            "zoned": pl.Series([moment] * 3, dtype=pl.Datetime("us", "Europe/Rome")),
            "ns": pl.Series([moment] * 3, dtype=pl.Datetime("ns")),
            "dec": pl.Series([Decimal("1.5"), None, Decimal("2.25")], dtype=pl.Decimal(10, 2)),
            "c": pl.Series(["x", "y", None], dtype=pl.Categorical),
            "e": pl.Series(["x", "y", "x"], dtype=pl.Enum(["y", "x", "z"])),
            "n": pl.Series([None] * 3, dtype=pl.Null),
            "b": [True, None, False],
            "f": [1.0, float("nan"), None],
            "dur": pl.Series([dt.timedelta(1)] * 3),
        }
    )
    found = round_trip(data)
    assert found.schema == data.schema
    testing.assert_frame_equal(found, data)


def test_arrow_types_come_back():
    data = pa.table(
        {
            "s": ["a", None],
            "l": pa.array(["", "x"], pa.large_string()),
            "d": pa.array(["x", None]).dictionary_encode(),
            "d64": pa.array([0, 86_400_000], pa.date64()),
            "t32": pa.array([1, None], pa.time32("s")),
            "d256": pa.array([Decimal("1.250"), None], pa.decimal256(60, 3)),
            "chunks": pa.chunked_array([[1], [2]]),
        }
    )
    found = round_trip(data)
    assert found.schema == data.schema and found.equals(data)


def test_null_the_empty_string_and_nan_differ():
    data = pa.table({"s": ["", None, "\\e"], "f": pa.array([float("nan"), None, 0.0])})
    found = round_trip(data)
    assert found.column("s").to_pylist() == ["", None, "\\e"]
    assert found.column("f").null_count == 1 and np.isnan(found.column("f")[0].as_py())
    alone = round_trip(data.select(["s"]))
    assert alone.column("s").to_pylist() == ["", None, "\\e"]


REFUSED = {
    "mixed": (pd.DataFrame({"ok": [1, 2], "bad": [1, "a"]}), r"'bad'.*several types \(int, str\)"),
    "lists": (pd.DataFrame({"bad": [[1], [2]]}), r"'bad'.*list"),
    "objects": (pd.DataFrame({"bad": [object(), object()]}), r"'bad'.*Arrow cannot hold"),
    "surrogates": (pd.DataFrame({"bad": ["\ud800"]}), r"'bad'.*Arrow cannot hold"),
    "complex": (pd.DataFrame({"bad": [1j]}), r"'bad'"),
    "periods": (pd.DataFrame({"bad": pd.period_range("2020", periods=2, freq="D")}), r"'bad'"),
    "intervals": (pd.DataFrame({"bad": pd.cut([1.0, 2.0], 2)}), r"'bad'"),
    "duplicates": (pd.DataFrame([[1, 2]], columns=["bad", "bad"]), r"'bad'.*2 columns have this name"),
    "numbers": (pd.DataFrame([[1, 2]]), r"column 0.*name of type int"),
    "levels": (pd.DataFrame([[1]], columns=pd.MultiIndex.from_tuples([("a", "b")])), r"\('a', 'b'\).*tuple"),
    "no columns": (pd.DataFrame(index=range(3)), "without columns"),
    "no rows": (pd.DataFrame({"a": pd.Series([], dtype=int)}), "without rows"),
    "zones and none": (
        pd.DataFrame({"bad": pd.Series([pd.Timestamp("2020", tz="UTC"), pd.Timestamp("2020")], dtype=object)}),
        r"'bad'.*several types \(datetime, datetime with a time zone\)",
    ),
    "nameless zone": (
        pd.DataFrame({"bad": pd.to_datetime(["2020-10-25"]).tz_localize("dateutil/Europe/Rome")}),
        r"'bad'.*time zone without a name",
    ),
    "surrogate name": (pd.DataFrame([[1, 2]], columns=["ok", "bad\ud800"]), r"'bad.ud800'.*surrogate"),
    "no name": (pd.DataFrame([[1, 2]], columns=["ok", None]), r"column None.*name of type NoneType"),
    "dictionaries": (pd.DataFrame({"bad": [{"x": 1}, {"y": 2}]}), r"'bad'.*struct"),
    "arrays in cells": (pd.DataFrame({"bad": [np.ones(2), np.ones(2)]}), r"'bad'.*list"),
    "numbers and flags": (pd.DataFrame({"bad": pd.Series([1, True], dtype=object)}), r"'bad'.*\(bool, int\)"),
    "mixed categories": (pd.DataFrame({"bad": pd.Categorical([1, "x"])}), r"'bad'.*Arrow cannot hold"),
    "long integers": (pd.DataFrame({"bad": pd.Series([10**30], dtype=object)}), r"'bad'.*Arrow cannot hold"),
    "half floats": (pd.DataFrame({"bad": np.array([1], dtype="float16")}), r"'bad'.*halffloat"),
    "arrow maps": (pa.table({"bad": pa.array([[("x", 1)]], pa.map_(pa.string(), pa.int64()))}), r"'bad'.*map"),
    "arrow null category": (
        pa.table({"bad": pa.DictionaryArray.from_arrays(pa.array([0, 1]), pa.array(["x", None]))}),
        r"'bad'.*missing value among its categories",
    ),
    "arrow no rows": (pa.table({"a": pa.array([], pa.int64())}), "without rows"),
    "arrow no columns": (pa.table({}), "without columns"),
    "structs": (pa.table({"bad": [{"x": 1}]}), r"'bad'.*struct"),
    "one column": (pa.chunked_array([[1, 2]]), "no table"),
    "arrow duplicates": (pa.Table.from_arrays([pa.array([1])] * 2, ["bad", "bad"]), "'bad'"),
}


def test_bytes_come_back():
    data = pd.DataFrame({"raw": [b"a", b"", None, b"\x00\xff"]})
    pd.testing.assert_frame_equal(round_trip(data), data)


@pytest.mark.parametrize("name", REFUSED)
def test_what_cannot_be_learned_is_one_error_that_names_the_column(name):
    data, match = REFUSED[name]
    with pytest.raises(DataError, match=match) as caught:
        round_trip(data)
    assert caught.value.code == ("LS207" if name.endswith("no rows") else "LS232")


@pytest.mark.parametrize(
    ("make", "match"),
    [
        (lambda pl: pl.DataFrame({"bad": [[1], [2]]}), r"'bad'.*list"),
        (lambda pl: pl.DataFrame({"bad": [{"x": 1}]}), r"'bad'.*struct"),
        (lambda pl: pl.DataFrame({"bad": pl.Series([object()], dtype=pl.Object)}), r"'bad'.*Python objects"),
        (lambda pl: pl.DataFrame({"bad": pl.Series([1], dtype=pl.Int128)}), r"'bad'.*Int128"),
        (lambda pl: pl.DataFrame({"bad": pl.Series([[1, 2]], dtype=pl.Array(pl.Int64, 2))}), r"'bad'.*list"),
        (lambda pl: pl.DataFrame({"a": []}), "LS207.*without rows"),
        (lambda pl: pl.DataFrame(), "without columns"),
        (lambda pl: pl.LazyFrame({"a": [1]}), "LazyFrame"),
    ],
)
def test_what_cannot_be_learned_of_polars_is_one_error_as_well(make, match):
    with pytest.raises(DataError, match=match):
        round_trip(make(pytest.importorskip("polars")))


def test_columns_without_any_value_come_back():
    data = pd.DataFrame(
        {
            "i": pd.array([None, None], dtype="Int64"),
            "b": pd.array([None, None], dtype="boolean"),
            "s": pd.array([None, None], dtype="string"),
            "t": pd.to_datetime([None, None]),
            "z": pd.to_datetime([None, None], utc=True),
            "c": pd.Categorical([None, None], categories=["x"]),
            "none": pd.Categorical([None, None]),
            "f": [np.nan, np.nan],
        }
    )
    pd.testing.assert_frame_equal(round_trip(data), data)
    polars = pytest.importorskip("polars")
    frame = polars.DataFrame({"n": [None, None], "i": polars.Series([None, None], dtype=polars.Int8)})
    assert round_trip(frame).equals(frame)


def test_texts_of_numpy_are_texts():
    data = pd.DataFrame({"a": pd.Series(["x", np.str_("y")], dtype=object)})
    assert list(round_trip(data)["a"]) == ["x", "y"]


def test_an_index_is_left_out_with_a_note(caplog):
    data = pd.DataFrame({"a": [1, 2]}, index=["x", "y"])
    with caplog.at_level("WARNING", "linesmith"):
        found = round_trip(data)
    assert "index" in caplog.text and list(found.index) == [0, 1]


def test_what_depends_on_values_is_left_out_of_a_private_description():
    few = pd.DataFrame({"t": pd.to_datetime(["2020-01-01"]), "s": ["a"], "f": [1.0]})
    more = pd.DataFrame(
        {"t": pd.to_datetime(["2020-01-01 10:00:00.5", None]), "s": ["a\n", None], "f": [np.nan, np.inf]}
    )
    assert read_table(few, private=True)[0] == read_table(more, private=True)[0]
    assert read_table(few)[0] != read_table(more)[0]


def test_other_columns_than_those_of_the_model_are_refused():
    table, _ = read_table(pd.DataFrame({"a": [1], "b": ["x"]}))
    with pytest.raises(DataError, match=r"'b'.*missing"):
        columns_like(table, pd.DataFrame({"a": [1]}))
    with pytest.raises(DataError, match=r"'b'"):
        list(row_texts(table, columns_like(table, pd.DataFrame({"a": [1], "b": [2]}))))
    with pytest.raises(ParameterError, match="not a table"):
        columns_like(table, ["a"])


def test_a_missing_library_is_named(monkeypatch):
    table, columns = read_table(pd.DataFrame({"a": [1]}))
    monkeypatch.setattr("linesmith.api.frames.find_spec", lambda name: None)
    with pytest.raises(ParameterError, match=r"LS106.*pandas"):
        build_table(table, list(row_texts(table, columns)))


@pytest.mark.parametrize(
    ("lines", "match"),
    [([1], "not text"), (["a\nb"], "line end"), (["ok", "\udc80"], "record 2.*surrogate"), ([None], "text")],
)
def test_lines_that_are_none_are_refused_without_quoting_them(lines, match):
    with pytest.raises(DataError, match=match):
        list(checked_lines(lines))


@pytest.mark.parametrize("data", [3, None, b"bytes", {"a": 1}])
def test_other_data_are_refused(data):
    with pytest.raises(DataError, match="LS232"), fit_input(data, {}):
        pass


def test_settings_that_a_table_decides_are_refused():
    data = pd.DataFrame({"a": [1], "b, c": [2]})
    for settings in ({"field_delimiter": ";"}, {"columns": ["x"]}, {"condition_on": ["z"]}, {"condition_on": ["b, c"]}):
        with pytest.raises(LinesmithError, match=next(iter(settings))), fit_input(data, settings):
            pass
    with pytest.raises(TooFewRecordsError), fit_input([], {}):
        pass


def test_rows_longer_than_the_usual_limit_are_kept():
    with fit_input(pd.DataFrame({"a": ["x" * 5000]}), {}) as found:
        assert found.settings["max_line_len"] >= 5000
    with fit_input(pd.DataFrame({"a": ["x" * 5000]}), {"dp": True}) as found:
        assert "max_line_len" not in found.settings and found.settings["columns"] == ["a"]
