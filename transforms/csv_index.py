"""Find where records of a large CSV file begin, so that several workers can read it: a line end may be inside quotes.

Whether it is depends on all that precedes it, so the driver goes once through the file, with the reader that the workers use.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from linesmith.records.fields import FieldFormat
from linesmith.records.input.input_files import InputFile
from linesmith.records.input.input_ranges import FileRange
from linesmith.transforms.source_lines import csv_records

if TYPE_CHECKING:
    from collections.abc import Sequence

_CUT_BYTES = 4 << 20  # of a range; a file that is no longer is not cut
_MOST_CUTS = 1000  # of a file


def with_cuts(files: Sequence[InputFile], fields: FieldFormat, cut_bytes: int = _CUT_BYTES) -> list[InputFile]:
    """Return CSV files with the bytes at which their ranges begin. Compressed files, and those in UTF-16 or UTF-32, are not cut.

    Args:
        files: the files, after a look at their beginnings.
        fields: how a record is split.
        cut_bytes: least bytes of a range.
    """
    return [
        replace(file, cuts=_find_cuts(file, fields, max(cut_bytes, file.size // _MOST_CUTS)))
        if file.splittable and file.size > cut_bytes
        else file
        for file in files
    ]


def _find_cuts(file: InputFile, fields: FieldFormat, cut_bytes: int) -> tuple[int, ...]:
    cuts = [file.bom_length]
    for record in csv_records(FileRange(file, file.bom_length, None), fields, header=True):
        if record.offset >= cuts[-1] + cut_bytes:
            cuts.append(record.offset)
    return tuple(cuts)
