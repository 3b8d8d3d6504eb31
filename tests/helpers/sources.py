"""Sources without a model: files in, records as they would be learned, and records as they would be written."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from linesmith.core.config.tensorflow_config import TensorFlowConfig
from linesmith.pipelines.tokenize import source as source_stage
from linesmith.pipelines.tokenize.column_roles import learned_part, with_table_roles
from linesmith.records.fields import FIELD_BREAK, FieldFormat
from linesmith.records.input.input_ranges import InputUnit, plan_input_units
from linesmith.records.input.record_format import DatasetSplitter, RecordFormat
from linesmith.records.output.layout import GeneratedRecord, RecordLayout
from linesmith.records.output.writers import write_records
from linesmith.records.sources.column_facts import SourceFacts, refine
from linesmith.records.sources.jsonl_rows import JsonFacts, jsonl_table
from linesmith.records.table_format import TableFormat, parse_table_format
from linesmith.transforms.csv_index import with_cuts
from linesmith.transforms.find_inputs import find_inputs
from linesmith.transforms.read_records import RangeReader, ReadSettings
from linesmith.transforms.source_lines import add_facts, add_json_facts


def read_source(
    scratch: Path, paths: Any, unit_bytes: int | None = None, **settings: Any
) -> tuple[TableFormat, list[str], list[dict[str, Any]]]:
    """Return the columns of files, the records that a model would be given, and what is rejected.

    Args:
        scratch: a directory.
        paths: the files.
        unit_bytes: bytes of a unit of work, which no result may depend on.
        settings: of the run.
    """
    config = TensorFlowConfig(input_data_path=paths, **settings)
    config = source_stage.with_input_format(config)
    fields = FieldFormat(config.field_delimiter, config.quoted)
    files = find_inputs(config, scratch)
    if config.input_format == "csv":
        files = with_cuts(files, fields, unit_bytes or 1 << 22)
    units = plan_input_units(files, unit_bytes)
    table = describe(config, files, units)
    read = ReadSettings(RecordFormat.from_config(config), DatasetSplitter(0, False), config.header)
    read = with_table_roles(config, table, read)
    records, rejects = [], []
    for unit in units:
        for source in unit.ranges:
            for batch in RangeReader(source, read, rejects.append).batches():
                records += [
                    text.replace(FIELD_BREAK, config.field_delimiter or "") for text in batch["text"].to_pylist()
                ]
    return table, records, rejects


def describe(config: TensorFlowConfig, files: Any, units: list[InputUnit]) -> TableFormat:
    """Return the columns of a source, as the stage finds them out, without a pipeline."""
    if config.input_format == "csv":
        return source_stage._csv_table(config, files)
    ranges = [source for unit in units for source in unit.ranges]
    if config.input_format == "jsonl":
        json_facts = JsonFacts()
        for source in ranges:
            part = JsonFacts()
            add_json_facts(part, source, config.cut_columns)
            json_facts.merge(JsonFacts.from_json(part.as_json()))
        return jsonl_table(json_facts, config.columns, config.cut_columns)
    table = source_stage.declared_table(config, files)
    learned = learned_part(config, table)
    facts = SourceFacts.empty(learned)
    for source in ranges:
        part_facts = SourceFacts.empty(learned)
        add_facts(part_facts, source, learned)
        facts.merge(SourceFacts.from_json(part_facts.as_json()))
    return refine(table, facts, learned)


def write_source(path: Path, table: TableFormat, records: list[str], output_format: str, delimiter: str = ",") -> Path:
    """Write records as generation would, after a way of the table through its file; every record must be valid."""
    table = parse_table_format(table.as_dict())
    fields = FieldFormat(delimiter, quoted=True)
    assert [found for record in records if (found := table.fault(fields.split(record))) is not None] == []
    header = fields.join(table.field_names)
    layout = RecordLayout(table.field_names, fields, header=header, table=table)
    generated = [GeneratedRecord(record) for record in records]
    assert write_records(path, output_format, generated, layout) == len(records)
    return path


def round_trip(tmp_path: Path, paths: Any, output_format: str | None = None, **settings: Any) -> tuple[Path, list[Any]]:
    """Return the file that the records of files are written to, in the same format or another, and the rejects."""
    table, records, rejects = read_source(tmp_path, paths, **settings)
    assert table.source is not None
    output_format = output_format or table.source.format_name
    delimiter = settings.get("field_delimiter", ",")
    return write_source(tmp_path / f"out.{output_format}", table, records, output_format, delimiter), rejects
