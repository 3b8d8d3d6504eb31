"""Estimate for `linesmith plan` how many records an input holds, and how many of them are longer than a row."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from linesmith.core.config.input_format import JSONL, PARQUET, TEXT
from linesmith.core.config.tensorflow_config import TensorFlowConfig
from linesmith.records.input.line_scanner import has_only_carriage_returns
from linesmith.records.input.record_format import VALIDATION_SHARE


@dataclass(frozen=True)
class LineCounts:
    """Counts over plain local files that tokenize has not read yet.

    Attributes:
        count: number of lines.
        longer: approximate number of lines with more bytes than a row has tokens.
    """

    count: int
    longer: int


def count_lines(config: TensorFlowConfig, files: dict[str, int | None]) -> LineCounts | None:
    """Count the lines of plain local files, and those that are too long for a row.

    Args:
        config: settings of the run.
        files: sizes of the input files by path, as from `input_files`.

    Returns:
        The counts; None if a file is remote or compressed, or of a format that does not say how many rows it has.
    """
    import numpy as np

    if config.input_format == PARQUET:
        return _count_rows(files)
    if config.input_format not in (TEXT, JSONL):
        return None
    # A delimiter is one token, however many bytes it has; each record has an end token.
    extra_bytes = 0 if config.field_delimiter is None else len(config.field_delimiter.encode()) - 1
    count = longer = 0
    for path, size in files.items():
        if size is None or Path(path).suffix in {".gz", ".bz2", ".xz", ".zst", ".zip"}:
            return None
        with open(path, "rb") as content:
            newline = b"\r" if has_only_carriage_returns(content, "utf-8") else b"\n"
            content.seek(0)
            remainder = b""
            for block in iter(lambda: content.read(2**20), b""):
                *lines, remainder = (remainder + block).split(newline)
                count += len(lines)
                delimiter = (config.field_delimiter or "").encode()
                lengths = [
                    len(line) + 1 - (extra_bytes * line.count(delimiter) if extra_bytes else 0) for line in lines
                ]
                longer += int(np.count_nonzero(np.asarray(lengths) > config.seq_length))
    return LineCounts(count, longer)


def _count_rows(files: dict[str, int | None]) -> LineCounts | None:
    """Return the number of rows that Parquet files declare; how long they are is not known."""
    from pyarrow import ArrowException
    from pyarrow.parquet import read_metadata

    if any(size is None for size in files.values()):
        return None
    try:
        return LineCounts(sum(int(read_metadata(path).num_rows) for path in files), 0)
    except (ArrowException, OSError):  # tokenize says what is wrong with a file
        return None


def expected_records(config: TensorFlowConfig, lines: int) -> int:
    """Return the expected number of training records in a number of lines."""
    share = 1 - config.holdout_fraction - (VALIDATION_SHARE if config.validation_split else 0.0)
    return round(lines * share)


def share_longer_than_seq_length(statistics: Mapping[str, Any], seq_length: int) -> float | None:
    """Return the share of records with more tokens than a row; None if the histogram is missing or empty.

    Args:
        statistics: statistics of tokenize, whose histogram of lengths is used; the result is exact to one bin of it.
        seq_length: number of tokens of a row.
    """
    bins = statistics.get("length_tokens", {}).get("histogram", [])
    total = sum(count for _, count in bins)
    longer = sum(count for largest, count in bins if largest > seq_length)
    return longer / total if total else None
