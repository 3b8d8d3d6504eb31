"""The format of the input: what says it, and what it decides."""

from __future__ import annotations

from pathlib import Path

import pytest

from linesmith.core.config.input_format import format_of_names
from linesmith.core.config.tensorflow_config import TensorFlowConfig
from linesmith.core.errors import ParameterError


@pytest.mark.parametrize(
    ("paths", "expected"),
    [
        ("a.parquet", "parquet"),
        ("s3://b/x/*.PQ", "parquet"),
        ("a.avro", "avro"),
        (["a.jsonl", "b.ndjson.gz"], "jsonl"),
        (["a.jsonl", "b.avro"], "text"),
        ("a.parquet.gz", "text"),
        ("a.csv", "text"),
        ("a.json", "text"),
        ("https://host/a.jsonl?x=a.csv", "jsonl"),
        (None, "text"),
    ],
)
def test_names_say_the_format_where_all_say_the_same(paths, expected):
    assert format_of_names(paths) == expected


def test_a_source_decides_how_records_are_written_and_what_output_is():
    config = TensorFlowConfig(input_data_path="a.parquet", condition_on="city")
    assert (config.field_delimiter, config.quoted, config.header, config.vocab_size) == (",", True, True, 0)
    assert config.output_format == ["parquet"]
    assert TensorFlowConfig(input_data_path="a.parquet", output_format="text").output_format == ["text"]
    assert TensorFlowConfig(input_format="iceberg", input_data_path="a.b").output_format == ["parquet"]
    assert TensorFlowConfig(input_data_path=[Path("a.avro")]).output_format == ["avro"]
    again = TensorFlowConfig(**config.as_dict())
    assert again.as_dict() == config.as_dict()


def test_csv_is_asked_for_and_keeps_the_options_about_lines():
    plain = TensorFlowConfig(input_data_path="a.csv")
    assert (plain.input_format, plain.field_delimiter, plain.header, plain.output_format) == (
        "text",
        None,
        False,
        ["text"],
    )
    config = TensorFlowConfig(input_data_path="a.csv", input_format="csv", field_delimiter=";", header=False)
    assert (config.field_delimiter, config.quoted, config.header, config.output_format) == (";", True, False, ["csv"])
    with pytest.raises(ParameterError, match="quoted=False excludes input_format csv"):
        TensorFlowConfig(input_format="csv", quoted=False)


@pytest.mark.parametrize(
    "setting", [{"field_delimiter": ";"}, {"header": False}, {"encoding": "latin-1"}, {"column_pattern": "<{}>"}]
)
def test_options_about_lines_are_refused_for_typed_formats(setting):
    with pytest.raises(ParameterError, match="is about lines of text, and input_format is parquet"):
        TensorFlowConfig(input_data_path="a.parquet", **setting)
    TensorFlowConfig(input_data_path="a.parquet", input_format="text", field_delimiter=";")


def test_with_dp_json_lines_are_text():
    assert TensorFlowConfig(input_data_path="a.jsonl", dp=True).input_format == "text"
    assert TensorFlowConfig(input_data_path="a.parquet", dp=True).input_format == "parquet"
