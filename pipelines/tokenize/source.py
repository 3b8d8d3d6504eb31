"""Decide what format the input has, and describe the columns of a source that is not lines of text."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import IO, TYPE_CHECKING

from linesmith.core.config.input_format import MAGIC_BYTES, PARQUET, TEXT
from linesmith.core.config.setting_field import option_text
from linesmith.core.config.tensorflow_config import TensorFlowConfig
from linesmith.core.errors import DataError, ParameterError
from linesmith.records.sources.shape import PRESENT, Node
from linesmith.records.table_columns import TableColumn
from linesmith.records.table_format import TableFormat

if TYPE_CHECKING:
    from apache_beam.options.pipeline_options import PipelineOptions

    from linesmith.records.input.input_files import InputFile
    from linesmith.records.input.input_ranges import InputUnit

_LINE_SETTINGS = ("field_delimiter", "quoted", "header", "column_pattern", "encoding")


def with_input_format(config: TensorFlowConfig) -> TensorFlowConfig:
    """Return the settings with the format that the first bytes of the input show, where nothing else says it.

    Names of files have decided already (`linesmith.core.config.input_format`). A setting that says how lines are split says that
    there are lines.

    Raises:
        DataError: as `find_inputs`, for the first file.
    """
    from linesmith.transforms.find_inputs import first_bytes

    given = {"input_format", *_LINE_SETTINGS} & config.model_fields_set
    if config.input_format != TEXT or any(getattr(config, name) for name in given) or config.input_data_path is None:
        return config
    head = first_bytes(config, max(map(len, MAGIC_BYTES.values())))
    found = next((name for name, magic in MAGIC_BYTES.items() if head.startswith(magic)), None)
    return config if found is None else config.replace(input_format=found)


def describe_source(
    config: TensorFlowConfig,
    files: Sequence[InputFile],
    units: list[InputUnit],
    options: PipelineOptions,
    scratch: Path,
    notices: list[str],
) -> TableFormat | None:
    """Return how the rows of the input become records; None where it is lines of text.

    Args:
        config: the settings.
        files: the input.
        units: the same in units of work.
        options: pipeline options.
        scratch: directory for intermediate results.
        notices: sentences for the user are appended.

    Raises:
        DataError: LS206, a file is damaged; LS234, files differ in their columns; LS235, a column cannot be learned.
        ParameterError: LS301, with `dp` a column cannot be learned without a look at records.
    """
    if config.input_format == TEXT:
        return None
    from linesmith.records.sources.column_facts import refine
    from linesmith.transforms.survey_source import survey_source

    table = _described(config, files, _READERS[config.input_format])
    if config.dp:
        _check_private(config, table)
        notices.append(
            "the names and types of the columns, as the files declare them, are taken as public, as --columns says"
        )
        return table
    return refine(table, survey_source(units, table, options, scratch))


def _described(
    config: TensorFlowConfig, files: Sequence[InputFile], read: Callable[[IO[bytes]], TableFormat]
) -> TableFormat:
    """Return the columns of the first file by its schema, after a comparison with those of the others."""
    from linesmith.records.sources.arrow_rows import with_columns

    first: TableFormat | None = None
    for file in files:
        table = _table_of(file, read)
        if config.columns is not None:
            table = with_columns(table, config.columns)
        if first is None:
            first = table
        else:
            _check_same(first, files[0].name, table, file.name)
            first = _with_nulls_of(first, table)
    if first is None:
        raise DataError("LS205", "--input", "names no file", "Give files.")
    return first


def _table_of(file: InputFile, read: Callable[[IO[bytes]], TableFormat]) -> TableFormat:
    from linesmith.records.input.typed_files import TypedFileError
    from linesmith.transforms.find_inputs import open_raw
    from linesmith.transforms.source_lines import damaged_source_error

    with open_raw(file.path) as stream:
        try:
            return read(stream)
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
        found = f"column '{name}' is {now.get(name, 'missing')}, and in '{first_name}' it is {before.get(name, 'missing')}"
        raise DataError(
            "LS234", f"--input '{other_name}'", found, "Give files with equal columns, or name those to learn with --columns."
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


def _parquet(stream: IO[bytes]) -> TableFormat:
    from linesmith.records.sources.parquet_rows import parquet_table

    return parquet_table(stream)


_READERS: dict[str, Callable[[IO[bytes]], TableFormat]] = {PARQUET: _parquet}
