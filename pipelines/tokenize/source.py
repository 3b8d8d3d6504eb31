"""Decide what format the input has, and describe the columns of a source that is not lines of text."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from contextlib import suppress
from dataclasses import replace
from itertools import zip_longest
from pathlib import Path
from typing import IO, TYPE_CHECKING

from linesmith.core.config.input_format import AVRO, CSV, ICEBERG, JSONL, MAGIC_BYTES, PARQUET, TEXT
from linesmith.core.config.setting_field import option_text
from linesmith.core.config.tensorflow_config import TensorFlowConfig
from linesmith.core.errors import DataError, LinesmithError, ParameterError, TooFewRecordsError
from linesmith.pipelines.tokenize.column_roles import learned_part
from linesmith.records.fields import FieldFormat
from linesmith.records.input.file_patterns import describe_unreadable, match_local_files
from linesmith.records.sources.shape import PRESENT, Node
from linesmith.records.table_columns import TableColumn
from linesmith.records.table_format import TableFormat

if TYPE_CHECKING:
    from apache_beam.options.pipeline_options import PipelineOptions

    from linesmith.records.input.input_files import InputFile
    from linesmith.records.input.input_ranges import InputUnit

Reader = Callable[[IO[bytes], Sequence[str] | None, Collection[str]], TableFormat]
_GLANCED_ROWS = 5_000  # of JSON Lines, which declare nothing
_LINE_SETTINGS = ("field_delimiter", "quoted", "header", "column_pattern", "encoding")


def with_input_format(config: TensorFlowConfig) -> TensorFlowConfig:
    """Return the settings with the format that the first bytes of the input show, where nothing else says it.

    Names of files have decided already (`linesmith.core.config.input_format`). A setting that says how lines are split says that
    there are lines.
    """
    given = {"input_format", *_LINE_SETTINGS} & config.model_fields_set
    if config.input_format != TEXT or any(getattr(config, name) for name in given) or not config.input_data_path:
        return config
    head = _first_bytes(config)
    found = next((name for name, magic in MAGIC_BYTES.items() if head.startswith(magic)), None)
    return config if found is None else config.replace(input_format=found)


def input_format_fact(given: TensorFlowConfig, config: TensorFlowConfig) -> str:
    """Return what the input is, and what says so.

    Args:
        given: the settings as given.
        config: the settings after a look at the first bytes of the input.
    """
    if given.input_format != config.input_format:
        return f"{config.input_format}, as its first bytes say"
    if config.input_format != TEXT:
        said = "as given" if "input_format" in given.model_fields_set else "as the names of its files say"
        return f"{config.input_format}, {said}; --input-format text would read lines"
    return "lines of text"


def _first_bytes(config: TensorFlowConfig) -> bytes:
    """Return the first bytes of the first input file; none where it cannot be read, which is reported later."""
    count = max(map(len, MAGIC_BYTES.values()))
    pattern = config.input_data_path[0] if isinstance(config.input_data_path, list) else str(config.input_data_path)
    if "://" in pattern:
        from linesmith.transforms.find_inputs import first_bytes

        with suppress(LinesmithError):
            return first_bytes(config, count)
        return b""
    found = match_local_files(pattern)  # without Beam, which takes seconds to load
    if not found or describe_unreadable(found[0]) is not None:
        return b""
    with open(found[0], "rb") as content:
        return content.read(count)


def describe_source(
    config: TensorFlowConfig,
    files: Sequence[InputFile],
    units: list[InputUnit],
    options: PipelineOptions,
    scratch: Path,
    notices: list[str],
) -> TableFormat | None:
    """Return how the rows of the input become records; None where it is lines of text.

    It has the columns with a role, too, of which their schema says all; of JSON Lines, which have none, the kinds of values.

    Args:
        config: the settings.
        files: the input.
        units: the same in units of work.
        options: pipeline options.
        scratch: directory for intermediate results.
        notices: sentences for the user are appended.

    Raises:
        DataError: LS206, a file is damaged; LS234, files differ in their columns; LS235, a column cannot be learned.
        ParameterError: LS301, with `dp` a column cannot be learned without a look at records; LS140, a role cannot be.
    """
    if config.input_format == TEXT:
        return None
    from linesmith.records.sources.column_facts import refine
    from linesmith.records.sources.jsonl_rows import jsonl_table
    from linesmith.transforms.survey_source import survey_json, survey_source

    if config.input_format == CSV:
        return _csv_table(config, files)
    if config.input_format == JSONL:
        return jsonl_table(survey_json(units, options, scratch, config.cut_columns), config.columns, config.cut_columns)
    table = declared_table(config, files)
    learned = learned_part(config, table)
    if config.dp:
        _check_private(config, learned)
        notices.append(
            "the names and types of the columns, as the files declare them, are taken as public, as --columns says"
        )
        return table
    return refine(table, survey_source(units, learned, options, scratch), learned)


def glance_at_source(
    config: TensorFlowConfig, files: Sequence[InputFile], units: Sequence[InputUnit]
) -> TableFormat | None:
    """Return the columns of the input by schemas, headers and the first rows; None where it is lines of text.

    Raises:
        DataError: as `describe_source`.
        ParameterError: as `describe_source`.
    """
    if config.input_format == TEXT:
        return None
    if config.input_format == CSV:
        return _csv_table(config, files)
    if config.input_format != JSONL:
        return declared_table(config, files)
    from linesmith.records.sources.jsonl_rows import JsonFacts, jsonl_table
    from linesmith.transforms.source_lines import add_json_facts

    facts = JsonFacts()
    for source in [source for unit in units for source in unit.ranges if source.starts_file]:
        add_json_facts(facts, source, config.cut_columns, max(0, _GLANCED_ROWS - facts.count))
    return jsonl_table(facts, config.columns, config.cut_columns)


def declared_table(config: TensorFlowConfig, files: Sequence[InputFile]) -> TableFormat:
    """Return the columns of the first file by its schema, after a comparison with those of the others."""
    if config.input_format == ICEBERG:  # a table has one schema, whatever its files have
        from linesmith.records.sources.iceberg_rows import iceberg_table

        files = list({file.origin: file for file in files}.values())
        tables = [(file.name, iceberg_table(file, config.columns, config.cut_columns)) for file in files]
    else:
        tables = [(file.name, _table_of(file, _READERS[config.input_format], config)) for file in files]
    if not tables:
        raise DataError("LS205", "--input", "names no file", "Give files.")
    (first_name, first), *others = tables
    for name, table in others:
        _check_same(first, first_name, table, name)
        first = _with_nulls_of(first, table)
    return first


def _csv_table(config: TensorFlowConfig, files: Sequence[InputFile]) -> TableFormat:
    """Return the columns of CSV: those that the user names, else those of the headers, else numbered ones.

    Raises:
        DataError: LS207, no file has a record; LS234, a header names other columns than the first.
    """
    from linesmith.records.sources.csv_rows import csv_table

    fields = FieldFormat(config.field_delimiter, quoted=True)
    if config.columns is not None:
        return csv_table(config.columns, fields)
    found = [(file.name, names) for file in files if (names := _first_fields(config, file)) is not None]
    if not found:
        raise TooFewRecordsError("LS207", "--input", "holds no record", "Give a file with records.")
    first_name, first = found[0]
    if not config.header:
        return csv_table([f"field_{number}" for number in range(len(first))], fields)
    names = [name.strip() for name in first]
    for file_name, others in found[1:]:
        _check_header(names, first_name, [name.strip() for name in others], file_name)
    return csv_table(names, fields)


def _check_header(names: Sequence[str], first_name: str, others: Sequence[str], file_name: str) -> None:
    """Refuse another header, without a word of it: where there is none, it is a record.

    Raises:
        DataError: LS234.
    """
    for number, (name, other) in enumerate(zip_longest(names, others), 1):
        if name != other:
            found = f"column {number} of its header is not that of '{first_name}'"
            if name is None or other is None:
                found = f"its header has {len(others)} columns, and that of '{first_name}' has {len(names)}"
            raise DataError(
                "LS234",
                f"--input '{file_name}'",
                found,
                "Give files with equal columns, or --no-header if they have none.",
            )


def _first_fields(config: TensorFlowConfig, file: InputFile) -> list[str] | None:
    """Return the fields of the first record of a CSV file, its header where it has one."""
    from linesmith.records.input.input_ranges import FileRange
    from linesmith.records.sources.csv_rows import split_record
    from linesmith.transforms.source_lines import csv_records

    fields = FieldFormat(config.field_delimiter, quoted=True)
    for record in csv_records(FileRange(file, file.bom_length, None), fields, header=True):
        if record.text is not None:
            return split_record(record.text, fields)
    return None


def _table_of(file: InputFile, read: Reader, config: TensorFlowConfig) -> TableFormat:
    from linesmith.records.input.typed_files import TypedFileError
    from linesmith.transforms.find_inputs import open_raw
    from linesmith.transforms.source_lines import damaged_source_error

    with open_raw(file.path) as stream:
        try:
            return read(stream, config.columns, config.cut_columns)
        except TypedFileError as error:
            raise damaged_source_error(file, str(error)) from None


def _check_same(first: TableFormat, first_name: str, other: TableFormat, other_name: str) -> None:
    """Refuse a file with other columns than the first.

    Raises:
        DataError: LS234, it names file and column.
    """
    before, now = _types(first), _types(other)
    for name in [*before, *(name for name in now if name not in before)]:
        if before.get(name) == now.get(name):
            continue
        found = (
            f"column '{name}' is {now.get(name, 'missing')}, and in '{first_name}' it is {before.get(name, 'missing')}"
        )
        raise DataError(
            "LS234",
            f"--input '{other_name}'",
            found,
            "Give files with equal columns, or name those to learn with --columns.",
        )


def _types(table: TableFormat) -> dict[str, str]:
    """Return the type of each column in words, by name."""
    return {column.name: _words(column) for column in table.columns if column.categories != (PRESENT,)}


def _words(column: TableColumn) -> str:
    from linesmith.records.sources.arrow_types import arrow_type

    return str(arrow_type(replace(column, item_nullable=True)))


def _with_nulls_of(table: TableFormat, other: TableFormat) -> TableFormat:
    """Return the table with a column nullable where it is in either of two tables with equal columns."""
    if table.source is None or other.source is None:
        return table
    columns = tuple(
        replace(column, nullable=column.nullable or found.nullable)
        for column, found in zip(table.columns, _in_order(table, other), strict=True)
    )
    nodes = tuple(_nullable_node(node, other.source.nodes) for node in table.source.nodes)
    return replace(table, columns=columns, source=replace(table.source, nodes=nodes))


def _in_order(table: TableFormat, other: TableFormat) -> list[TableColumn]:
    return [other.column(column.name) or column for column in table.columns]


def _nullable_node(node: Node, others: Sequence[Node]) -> Node:
    other = next((other for other in others if other.name == node.name), node)
    children = tuple(_nullable_node(child, other.children) for child in node.children)
    return replace(node, nullable=node.nullable or (other.nullable and node.column is not None), children=children)


def _check_private(config: TensorFlowConfig, table: TableFormat) -> None:
    """Refuse columns whose texts depend on more than the type.

    Raises:
        ParameterError: LS301.
    """
    nested = table.source is not None and table.source.is_nested
    bad = next((column for column in table.columns if nested or column.most_items is not None), None)
    if bad is not None:
        raise ParameterError(
            "LS301",
            option_text("input_format", config.input_format),
            f"column '{bad.name}' is {'in a struct' if nested else 'a list'}, and with --dp it cannot be found out from records "
            "what such a column holds",
            "Name other columns with --columns.",
        )


def _avro(stream: IO[bytes], wanted: Sequence[str] | None, cut: Collection[str]) -> TableFormat:
    from linesmith.records.sources.avro_rows import avro_table

    return avro_table(stream, wanted, cut)


def _parquet(stream: IO[bytes], wanted: Sequence[str] | None, cut: Collection[str]) -> TableFormat:
    from linesmith.records.sources.parquet_rows import parquet_table

    return parquet_table(stream, wanted, cut)


_READERS: dict[str, Reader] = {AVRO: _avro, PARQUET: _parquet}
