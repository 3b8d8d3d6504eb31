"""Tell where the rows of an input are, without decoding them where the format allows that."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from functools import partial
from itertools import islice

from linesmith.core.config.input_format import JSONL, PARQUET, TEXT
from linesmith.records.input.input_ranges import FileRange, InputUnit
from linesmith.records.input.parquet_files import ParquetRecords
from linesmith.records.input.row_sample import RowSample
from linesmith.records.input.typed_files import TypedFileError, format_errors
from linesmith.transforms.find_inputs import open_raw
from linesmith.transforms.range_lines import RangeLines
from linesmith.transforms.read_records import ReadSettings
from linesmith.transforms.source_lines import SourceLines, damaged_source_error

Places = Iterator[tuple[RowSample, Iterable[int]]]  # of each part of a unit: whose rows, and where they are


def line_places(settings: ReadSettings) -> Callable[[InputUnit], Places]:
    """Return what tells where the rows of a unit are, whose ranges have a sample (`sampled_ranges`).

    Args:
        settings: how the input is read.
    """
    return partial(_unit_places, settings)


def _unit_places(settings: ReadSettings, unit: InputUnit) -> Places:
    for source in unit.ranges:
        if source.sample is not None:
            yield source.sample, _positions(source, settings)


def _positions(source: FileRange, settings: ReadSettings) -> Iterable[int]:
    """Return the positions of the rows of a range, headers left out, as `RangeReader` meets them."""
    if source.file.format_name == PARQUET:
        return _row_numbers(source)
    if settings.table is None or source.file.format_name in (TEXT, JSONL):
        lines = (offset for offset, _, _ in RangeLines(source, keep_bytes=1))
        has_header = settings.table is None and settings.header and source.starts_file
        return islice(lines, int(has_header), None)
    return (position for position, _, _ in SourceLines(source, settings.table, settings.records))


def _row_numbers(source: FileRange) -> range:
    """Return the numbers of the rows of a row group, which Parquet files declare.

    Raises:
        DataError: LS206, the file is damaged.
    """
    with open_raw(source.file.path) as stream:
        try:
            with format_errors(PARQUET):
                file = ParquetRecords(stream)
                return range(file.first_row(source.start), file.first_row(source.start + 1))
        except TypedFileError as error:
            raise damaged_source_error(source.file, str(error)) from None
