"""Records of files as rows with a schema, read as `linesmith tokenize` reads them."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, get_args

import apache_beam as beam
import pyarrow as pa

from linesmith.beam.metrics import READ, count
from linesmith.beam.models import check_choice
from linesmith.beam.rows import ROW_VALUES, RowFormat, RowValues
from linesmith.core.config.input_format import CSV, TEXT, InputFormat
from linesmith.core.config.spelling import python_call
from linesmith.core.config.tensorflow_config import TensorFlowConfig
from linesmith.core.errors import ParameterError
from linesmith.core.library_logging import quiet_calls
from linesmith.pipelines.tokenize.source import describe_source, with_input_format
from linesmith.records.fields import FIELD_BREAK, FieldFormat
from linesmith.records.input.input_ranges import InputUnit, plan_input_units
from linesmith.records.input.record_format import DatasetSplitter, RecordFormat
from linesmith.records.output.layout import GeneratedRecord, RecordLayout, resolve_column_names
from linesmith.transforms.csv_index import with_cuts
from linesmith.transforms.find_inputs import find_inputs
from linesmith.transforms.read_records import RangeCount, RangeReader, ReadSettings, take_first
from linesmith.transforms.read_records import ReadRecords as ReadBatches

SETTINGS = ("field_delimiter", "quoted", "header", "columns", "encoding", "max_line_len", "input_catalog")
_ARGUMENTS = {"--input": "pattern", "--input-format": "format"}


class ReadRecords(beam.PTransform):
    """Read the records of files → rows with a schema.

    Files are split as `linesmith tokenize` splits them, in bounded memory, and lines or rows that are no records are left out and
    counted by reason (metrics `records_rejected` and `rejected_REASON`). The driver looks at the files when the pipeline is
    built: at the header of text and CSV, at the schemas of Parquet, Avro and Iceberg, and, for types that only values show (of
    JSON Lines, and of lists and structs), once at all of them.

    Lines of text with a `field_delimiter` are rows of text columns; without one, each line is a row with the field `text`.

    Args:
        pattern: path, glob or bucket address, or several; with iceberg the name of a table.
        format: text, csv, jsonl, avro, parquet or iceberg; default what names and first bytes of the files say.
        values: portable, logical or python, as for `GenerateRecords`.
        settings: field_delimiter, quoted, header, columns, encoding, max_line_len and input_catalog, as for a run.

    Raises:
        ParameterError: a setting cannot work.
        DataError: a file cannot be used.
    """

    def __init__(
        self,
        pattern: str | os.PathLike[str] | Sequence[str],
        format: str | None = None,
        *,
        values: RowValues = "portable",
        **settings: Any,
    ) -> None:
        super().__init__()
        check_choice("values", values, ROW_VALUES)
        if format is not None:
            check_choice("format", format, get_args(InputFormat))
        unknown = next((name for name in settings if name not in SETTINGS), None)
        if unknown is not None:
            raise ParameterError("LS101", unknown, "no setting of reading", f"There are {', '.join(SETTINGS)}.")
        given = settings if format is None else {**settings, "input_format": format}
        paths = os.fspath(pattern) if isinstance(pattern, str | os.PathLike) else list(pattern)
        self._scratch = tempfile.TemporaryDirectory(prefix="linesmith-", ignore_cleanup_errors=True)
        with python_call(_ARGUMENTS):
            planned = _plan({"input_data_path": paths, **given}, self._scratch.name, values)
        self._units, self._read, self._rows = planned

    @property
    def arrow_schema(self) -> pa.Schema:
        """The schema of the rows in Arrow, for sinks that take dictionaries: `values="python"`."""
        return self._rows.arrow_schema

    def expand(self, root: beam.pvalue.PBegin) -> beam.PCollection[Any]:
        """Read all files."""
        found = root | "Read" >> ReadBatches(self._units, self._read)
        _ = found.counts | "Count rejects" >> beam.Map(_count_rejected)
        rows = beam.ParDo(_RowsFn(self._rows)).with_output_types(self._rows.element_type)
        return found.batches | "Rows" >> rows


@quiet_calls()
def _plan(settings: dict[str, Any], scratch: str, values: RowValues) -> tuple[list[InputUnit], ReadSettings, RowFormat]:
    """Look at the files, and decide how they are read and what a row is."""
    from linesmith.runners import pipeline_options

    config = with_input_format(TensorFlowConfig(**settings))
    files = find_inputs(config, Path(scratch))
    read = ReadSettings(RecordFormat.from_config(config), DatasetSplitter(0, False), config.header)
    if config.input_format == CSV:
        files = with_cuts(files, read.records.fields)
    units = plan_input_units(files)
    table = describe_source(config, files, units, pipeline_options(()), Path(scratch), [])
    if table is not None:
        layout = RecordLayout(table.field_names, table.fields, table=table)
    else:
        layout = _line_layout(config, units, read)
    fields = None if layout.columns is None else len(layout.columns)
    read = ReadSettings(read.records, read.splitter, config.header, fields, table=table)
    return units, read, RowFormat(layout, values)


def _line_layout(config: TensorFlowConfig, units: Sequence[InputUnit], read: ReadSettings) -> RecordLayout:
    """Return the columns of lines: those that are named, else those of the header, else as many as the first record has."""
    fields = FieldFormat(config.field_delimiter, config.quoted)
    if config.field_delimiter is None or config.input_format != TEXT:
        return RecordLayout(fields=fields)
    header: list[str] | None = None
    most: int | None = None
    for unit in take_first(units, read, 1):
        for source in unit.ranges:
            reader = RangeReader(source, read)
            for _ in reader.batches():
                break
            header = reader.count.columns if header is None else header
            most = reader.count.max_fields or most
    names = resolve_column_names(config.columns, header, len(header) if header else most)
    if names is None:
        raise ParameterError("LS101", "columns", "no record says how many there are", "Name them.")
    return RecordLayout(tuple(names), fields)


class _RowsFn(beam.DoFn):
    """DoFn that makes rows of a batch of records."""

    def __init__(self, rows: RowFormat) -> None:
        super().__init__()
        self._rows = rows

    def process(self, batch: pa.RecordBatch) -> Iterator[Any]:
        """Yield the rows."""
        delimiter = self._rows.layout.fields.delimiter or ""
        texts = batch["text"].to_pylist()
        count(READ, {"records_read": len(texts)})
        yield from self._rows.rows([(0, GeneratedRecord(text.replace(FIELD_BREAK, delimiter))) for text in texts])


def _count_rejected(found: RangeCount) -> None:
    reasons = {f"rejected_{reason}": number for reason, number in found.rejected.items()}
    count(READ, {"records_rejected": sum(reasons.values()), **reasons})
