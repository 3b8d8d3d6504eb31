"""Read the keys of the source again, so that no generated key is one of them (`--avoid-source-keys`)."""

from __future__ import annotations

import tempfile
import uuid
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from linesmith.core.artifacts.model_info import TABLE_FILE
from linesmith.core.artifacts.run_directory import RunDirectory, run_directory
from linesmith.core.config.key_pattern import KeyPattern
from linesmith.core.config.tensorflow_config import TensorFlowConfig
from linesmith.core.errors import ParameterError
from linesmith.model.generation.role_plan import SourceKeyReader, role_kinds
from linesmith.pipelines.tokenize.column_roles import settings_of_columns
from linesmith.records.input.input_ranges import plan_input_units
from linesmith.records.input.record_format import DatasetSplitter, RecordFormat
from linesmith.records.roles.source_keys import write_source_keys
from linesmith.records.roles.stored_roles import StoredRoles
from linesmith.records.table_columns import unescape_text
from linesmith.records.table_format import read_table_format


def source_key_reader(config: TensorFlowConfig, trained: TensorFlowConfig) -> SourceKeyReader:
    """Return a function that reads the keys of the source.

    Args:
        config: the settings, which name the input.
        trained: those of the training, which say how it is read.
    """

    def read(stored: StoredRoles, patterns: Mapping[str, KeyPattern], directory: Path) -> Mapping[str, str]:
        if config.input_data_path is None:
            raise ParameterError(
                "LS140",
                "--avoid-source-keys",
                "the keys of the source are not kept in the run directory, and no input is given to read them from",
                "Give --input with the files that the model was trained on.",
            )
        files = {}
        for name, pattern in patterns.items():
            path = directory / f"source-keys-{uuid.uuid4().hex}.bin"  # a process keeps open what it has read
            values = _values(config, trained, stored, name)
            numbers = (pattern.number(value) for value in values)
            write_source_keys(path, (found for found in numbers if found is not None))
            files[name] = str(path.absolute())
        return files

    return read


def _values(config: TensorFlowConfig, trained: TensorFlowConfig, stored: StoredRoles, name: str) -> Iterator[str]:
    """Yield the values of a column in all records of the input that have as many fields as the source had."""
    from linesmith.transforms.find_inputs import find_inputs
    from linesmith.transforms.read_records import RangeReader, ReadSettings

    position, count = stored.columns.index(name), len(stored.columns)
    settings = ReadSettings(
        replace(RecordFormat.from_config(trained), user_field=None), DatasetSplitter(0.0, False), trained.header
    )
    table = read_table_format(run_directory(config).model / TABLE_FILE)
    is_escaped = False
    if table is not None and table.source is not None:
        is_escaped = table.columns[position].kind == "text"
        settings = settings_of_columns(settings, table, [name])
        names = () if settings.table is None else settings.table.field_names
        position, count = names.index(name), len(names)
    fields = settings.records.fields
    batch: list[str] = []
    changed = {"input_data_path": config.input_data_path, "input_catalog": config.input_catalog, "columns": None}
    with tempfile.TemporaryDirectory() as scratch:
        files = find_inputs(trained.replace(**changed, column_role=None, condition_on=None), Path(scratch))
        for source in (source for unit in plan_input_units(files) for source in unit.ranges):
            for _ in RangeReader(source, settings, on_record=batch.append).batches():
                split = map(fields.split_or_none, batch)
                found = (values[position] for values in split if values is not None and len(values) == count)
                yield from (unescape_text(value) if is_escaped else value for value in found if value)
                batch.clear()


def roles_part(run: RunDirectory, config: TensorFlowConfig) -> dict[str, Any]:
    """Return what a manifest of records says of columns that the model does not know; nothing where it knows all."""
    kinds = role_kinds(run, config)
    if not kinds:
        return {}
    part: dict[str, Any] = {"column_roles": kinds}
    if "fake" in kinds.values():
        from linesmith.core.config.fake_providers import faker_version

        part["faker"] = faker_version()
    return part
