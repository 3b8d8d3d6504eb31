"""The shape of records in private runs, where no rule may look at records, and in settings that contradict each other."""

from __future__ import annotations

import json

import pytest

from linesmith.core.config.tensorflow_config import TensorFlowConfig
from linesmith.core.errors import ParameterError
from linesmith.pipelines.tokenize.shape import find_shape, share_out_frequent_texts, skipped_line_notices
from linesmith.pipelines.train.local import _check_columns
from linesmith.records.input.input_ranges import plan_input_units
from linesmith.records.input.record_format import DatasetSplitter, RecordFormat
from linesmith.transforms.find_inputs import find_inputs
from linesmith.transforms.read_records import RangeReader, ReadSettings

pytestmark = pytest.mark.integration

LINES = "sep=,\n# a comment\na,b,c\n" + "left,right,1\n" * 60 + "left,right\n"


def shape_of(tmp_path, content: str = LINES, **settings):
    """Return the files, and what is decided about them, without a pipeline."""
    (tmp_path / "input.csv").write_text(content)
    config = TensorFlowConfig(input_data_path=str(tmp_path / "input.csv"), field_delimiter=",", **settings)
    files = find_inputs(config, tmp_path)
    reading = ReadSettings(RecordFormat.from_config(config), DatasetSplitter(0.05, True), config.header)
    notices: list[str] = []
    units, reading = find_shape(config, plan_input_units(files), reading, None, tmp_path, notices)
    return files, units, reading, notices


def schema(tmp_path, *names: str) -> str:
    fields = [{"name": name, "type": "string"} for name in names]
    path = tmp_path / "schema.avsc"
    path.write_text(json.dumps({"type": "record", "name": "r", "fields": fields}))
    return str(path)


@pytest.mark.parametrize(
    ("settings", "count"), [({}, None), ({"columns": ["a", "b", "c"]}, 3), ({"schema": True}, 3), ({"header": True}, 1)]
)
def test_with_dp_only_settings_and_the_header_say_how_many_fields_there_are(settings, count, tmp_path):
    if settings.pop("schema", False):
        settings["schema_file"] = schema(tmp_path, "a", "b", "c")
    files, units, reading, notices = shape_of(tmp_path, dp=True, **settings)
    assert (reading.field_count, reading.frequent, notices) == (count, frozenset(), [])
    # A comment is known by the lines below it, and those may be records: only the line `sep=` is skipped.
    assert len(files[0].skipped) == 1
    assert skipped_line_notices(files)[0].endswith("line 1: names the delimiter ',' (sep=)")
    readers = [RangeReader(source, reading) for unit in units for source in unit.ranges]
    for reader in readers:
        assert list(reader.batches()) or count == 1
    assert share_out_frequent_texts(units, [reader.count for reader in readers], reading, notices) == (units, reading)
    assert notices == []


def test_columns_and_schema_of_different_numbers(tmp_path):
    with pytest.raises(ParameterError, match=r"LS109: --columns 'a,b': 2 names, but the schema .* 3 fields"):
        shape_of(tmp_path, dp=True, columns=["a", "b"], schema_file=schema(tmp_path, "a", "b", "c"))


def test_train_refuses_columns_of_another_number():
    config = TensorFlowConfig(columns=["a", "b"])
    for count in (None, 2):
        _check_columns(config, {"field_count": count})
    with pytest.raises(ParameterError, match=r"LS109: --columns 'a,b': 2 names, .* 3 fields"):
        _check_columns(config, {"field_count": 3})
