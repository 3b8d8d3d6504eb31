"""Units of sets whose files are of a source's format: their rows are read as the records that a model learns."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, TypeGuard

from linesmith.core.config.input_format import CSV, ICEBERG, PARQUET, TEXT, InputFormat
from linesmith.core.config.tensorflow_config import TensorFlowConfig
from linesmith.records.input.input_ranges import plan_input_units
from linesmith.records.input.record_format import DatasetSplitter, RecordFormat
from linesmith.records.input.typed_files import LINES
from linesmith.records.roles.column_cut import ColumnCut
from linesmith.records.table_format import TableFormat

if TYPE_CHECKING:
    from linesmith.pipelines.evaluate.input_units import TextFormat
    from linesmith.transforms.read_evaluation_sets import EvaluationInputUnit

_MAX_LENGTH = 1 << 24  # characters of a record


def is_in_format_of(table: TableFormat | None, file: str) -> TypeGuard[TableFormat]:
    """Return whether a file is of the format that a table was read from, by its name."""
    return table is not None and file.endswith(f".{_file_format(table)}")


def _file_format(table: TableFormat) -> InputFormat:
    """Return the format of files that hold a table's rows as they were read."""
    found = TEXT if table.source is None else table.source.format_name
    return PARQUET if found == ICEBERG else found


def describe_sets(
    files: Mapping[str, Sequence[str]],
    text_format: TextFormat,
    scratch: Path,
    beam_args: Sequence[str],
    notes: list[str],
) -> TableFormat:
    """Return how the rows of all sets become records, so that each can hold what any of them has.

    Args:
        files: of each set, the training set first.
        text_format: format of the files, and of CSV how it is written.
        scratch: folder for intermediate results.
        beam_args: options of the pipeline.
        notes: sentences for the user are appended.

    Raises:
        DataError: a file is missing, damaged or of another format; LS234, files differ in their columns.
    """
    from linesmith.pipelines.tokenize.source import describe_source
    from linesmith.runners import pipeline_options
    from linesmith.transforms.find_inputs import find_inputs

    of_csv = {
        "header": text_format.header is not False,
        "field_delimiter": text_format.fields.delimiter or ",",
        "encoding": text_format.encoding,
    }
    config = TensorFlowConfig(
        input_data_path=[file for some in files.values() for file in some],
        input_format=text_format.input_format,
        **(of_csv if text_format.input_format == CSV else {}),
    )
    scratch.mkdir(parents=True, exist_ok=True)
    inputs = find_inputs(config, scratch)
    found = describe_source(config, inputs, plan_input_units(inputs), pipeline_options(beam_args), scratch, notes)
    if found is None:
        raise ValueError("lines of text have no table")
    return found


def source_units(
    name: str,
    files: Sequence[str],
    table: TableFormat,
    header: bool,
    scratch: Path,
    encoding: str = "utf-8",
    cut: ColumnCut | None = None,
) -> list[EvaluationInputUnit]:
    """Return the units of a set.

    Args:
        name: of the set.
        files: of the format that the table was read from.
        table: how rows become records.
        header: the first record of a CSV file names the columns.
        scratch: folder that http(s) inputs are copied to.
        encoding: of CSV files.
        cut: columns of the files that are not compared, since no model learned them.

    Raises:
        DataError: a file is missing, damaged, or of another format.
    """
    from linesmith.transforms.csv_index import with_cuts
    from linesmith.transforms.find_inputs import find_inputs
    from linesmith.transforms.read_evaluation_sets import EvaluationInputUnit
    from linesmith.transforms.read_records import ReadSettings

    format_name = _file_format(table)
    config = TensorFlowConfig(
        input_data_path=list(files), input_format=format_name, max_line_len=_MAX_LENGTH,
        **({"header": header, "field_delimiter": table.fields.delimiter, "encoding": encoding} if format_name == CSV else {}),
    )  # fmt: skip
    inputs = find_inputs(config, scratch)
    if format_name == CSV:
        inputs = with_cuts(inputs, table.fields)
    splitter = DatasetSplitter(0.0, False)
    settings = ReadSettings(RecordFormat.from_config(config), splitter, False, table=table, table_cut=cut)
    return [
        EvaluationInputUnit(name, number, LINES, unit.ranges[0].file.name, lines=(unit, settings))
        for number, unit in enumerate(plan_input_units(inputs))
    ]
