"""Read the sets of an evaluation as batches of text with field breaks: lines, JSON Lines, Avro, Parquet or training data."""

from __future__ import annotations

import itertools
import os
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any
from urllib.parse import unquote

import apache_beam as beam
import pyarrow as pa

from linesmith.core.errors import DataError
from linesmith.core.parsing import DocumentError, parse_json
from linesmith.records.fields import FIELD_BREAK, FieldFormat
from linesmith.records.input.input_ranges import InputUnit
from linesmith.records.input.row_sample import RowSample
from linesmith.records.input.tfrecord_files import ExampleError, TFRecordError, integers_of, iter_tfrecords
from linesmith.records.input.typed_files import AVRO, JSONL, LINES, PARQUET, TypedFile, TypedFileError
from linesmith.records.output.comparison import ComparisonKind, kind_of_type, value_text
from linesmith.records.output.partitions import partition_value
from linesmith.transforms.comparable_texts import comparable_texts
from linesmith.transforms.find_inputs import open_raw
from linesmith.transforms.read_records import RangeReader, ReadSettings
from linesmith.transforms.samples.places import Places, line_places

_BATCH = 2000
_QUOTED = FieldFormat("\x00", quoted=True)  # one field: its quotes are removed, and nothing is split
TOKENS = "tokens"  # format of our own training data; the others are those of `typed_files`


@dataclass(frozen=True)
class EvaluationInputUnit:
    """A part of a set that one worker reads.

    Attributes:
        set_name: training, holdout or synthetic.
        number: number of the unit within its set.
        format_name: LINES, JSONL, AVRO, PARQUET or TOKENS.
        path: the file; for LINES and JSONL, `lines` holds the ranges to read.
        lines: ranges, and how to read them.
        part: number of the row group in a Parquet file.
        columns: fields of typed records to take, in order; None: all, in the order of the file.
        tokenizer: directory of the tokenizer, for TOKENS.
        kinds: how the values of each column are compared; None, and columns after the last: as text.
        sample: which records of a typed file are read; None: all. Ranges of `lines` have their own.
    """

    set_name: str
    number: int
    format_name: str
    path: str
    lines: tuple[InputUnit, ReadSettings] | None = None
    part: int = 0
    columns: tuple[str, ...] | None = None
    tokenizer: str | None = None
    kinds: tuple[ComparisonKind | None, ...] = ()
    sample: RowSample | None = None


Batch = tuple[str, tuple[int, pa.Array]]  # set, (number of the first record, records)


class ReadEvaluationSets(beam.PTransform):
    """Input units → (set, (number of the first record, records)). Batches stream into the steps fused with this one."""

    def __init__(self, units: Iterable[EvaluationInputUnit]) -> None:
        super().__init__()
        self._units = list(units)

    def expand(self, root: beam.pvalue.PBegin) -> Any:
        """Read all units."""
        return (
            root
            | "Units" >> beam.Create(self._units, reshuffle=False)
            | "Spread" >> beam.Reshuffle()
            | "Read" >> beam.FlatMap(read_set_unit)
        )


def read_set_unit(unit: EvaluationInputUnit) -> Iterator[Batch]:
    """Yield the batches of a unit.

    Numbers of records differ within a set, but have gaps between units.

    Raises:
        DataError: LS206, the file is damaged or lacks a column; no record is quoted.
    """
    first = unit.number << 32  # more than the records of any unit
    for text in _READERS[unit.format_name](unit):
        yield unit.set_name, (first, text)
        first += len(text)


def _read_lines(unit: EvaluationInputUnit) -> Iterator[pa.Array]:
    ranges, settings = _lines_of(unit)
    for source in ranges.ranges:
        reader = RangeReader(source, settings)
        for batch in reader.batches():
            text = batch["text"]
            yield comparable_texts(_unquote(text) if settings.records.fields.quoted else text, unit.kinds)
        if reader.count.spanning:
            raise _damaged(unit, "with --quoted, a record spans several lines")


def _read_jsonl(unit: EvaluationInputUnit) -> Iterator[pa.Array]:
    ranges, settings = _lines_of(unit)
    for source in ranges.ranges:
        for batch in RangeReader(source, settings).batches():
            yield _rows_to_text(_json_objects(batch["text"].to_pylist(), unit), unit, source.file.path)


def first_json_rows(unit: EvaluationInputUnit) -> list[dict[str, Any]]:
    """Return the first records of a unit of JSON Lines; none where it is empty.

    Raises:
        DataError: LS206, a line is no JSON object.
    """
    ranges, settings = _lines_of(unit)
    batches = (batch for source in ranges.ranges for batch in RangeReader(source, settings).batches())
    lines: list[str] = next((batch["text"].to_pylist() for batch in batches if batch.num_rows), [])
    return list(_json_objects(lines[:_BATCH], unit))


def _json_objects(lines: Iterable[str], unit: EvaluationInputUnit) -> Iterator[dict[str, Any]]:
    for line in lines:
        try:
            row = parse_json(line, exact=True)
            if isinstance(row, dict) and any(isinstance(value, dict | list) for value in row.values()):
                row = parse_json(line)  # nested values are compared as JSON
        except DocumentError:
            row = None
        if not isinstance(row, dict):
            raise _damaged(unit, "a line is no JSON object")
        yield row


def _read_typed(unit: EvaluationInputUnit) -> Iterator[pa.Array]:
    with open_raw(unit.path) as stored:
        try:
            file = TypedFile(stored, unit.format_name)
            number = 0
            for rows in file.batches(_BATCH, part=unit.part):
                taken = rows
                if unit.sample is not None:
                    taken = [row for place, row in enumerate(rows, number) if unit.sample.takes(place)]
                    number += len(rows)
                yield _rows_to_text(taken, unit)
        except TypedFileError as error:
            raise _damaged(unit, str(error)) from None


def unit_places(unit: EvaluationInputUnit) -> Places:
    """Tell where the rows of a unit with a sample are, for `find_sample`.

    Raises:
        DataError: LS206, the file is damaged.
    """
    if unit.lines is not None:
        yield from line_places(unit.lines[1])(unit.lines[0])
    elif unit.sample is not None:
        with open_raw(unit.path) as stored:
            try:
                yield unit.sample, range(TypedFile(stored, unit.format_name).count_rows(unit.part))
            except TypedFileError as error:
                raise _damaged(unit, str(error)) from None


def _read_tokens(unit: EvaluationInputUnit) -> Iterator[pa.Array]:
    from linesmith.model.tokenizers.loading import load_tokenizer

    tokenizer = load_tokenizer(str(unit.tokenizer))
    try:
        for serialized in iter_tfrecords(unit.path, _BATCH):
            records = [integers_of(example, "ids") for example in serialized]
            if any(not 0 <= min(ids) <= max(ids) < tokenizer.total_vocab_size for ids in records if ids):
                raise _damaged(unit, "a token id lies outside the vocabulary")
            # Without the `<n>` at both ends.
            texts = [tokenizer.decode_structure(ids[1:-1]) for ids in records]
            texts = [tokenizer.token_format.form.mark_for_input(text) for text in texts]
            text = pa.array(texts, pa.large_string())
            yield comparable_texts(_unquote(text) if tokenizer.quoted else text, unit.kinds)
    except (TFRecordError, ExampleError, UnicodeDecodeError):  # their messages may quote the record
        raise _damaged(unit, "it is cut off or is not one of ours") from None


def _rows_to_text(rows: Iterable[dict[str, Any]], unit: EvaluationInputUnit, path: str | None = None) -> pa.Array:
    """Return rows as text, in the order of the unit's columns; a column that a file lacks may be in its directory's name."""
    partition = partition_of(unit.path if path is None else path)
    known = [value_text if kind is None else kind.text for kind in unit.kinds]
    writers = itertools.chain(known, itertools.repeat(value_text))
    columns: list[tuple[str, Callable[[Any], str]]] = list(zip(unit.columns or (), writers, strict=False))
    try:
        texts = [
            FIELD_BREAK.join(
                write(row[name] if name in row else partition[name])
                for name, write in (columns or ((name, value_text) for name in row))
            )
            for row in rows
        ]
    except KeyError as missing:
        raise _damaged(unit, f"a record has no field {missing}") from None
    return pa.array(texts, pa.large_string())


def partition_of(path: str) -> dict[str, str]:
    """Return the column and value in the name of a file's directory, if it holds one.

    Example:
        >>> partition_of("out/synthetic/country=CR/part-0.avro"), partition_of("a=b.avro")
        ({'country': 'CR'}, {})
    """
    directory = os.path.basename(os.path.dirname(path))
    column, equals, _ = directory.partition("=")
    return {unquote(column): partition_value(directory)} if equals else {}


def describe_typed_file(
    path: str, format_name: str, set_name: str
) -> tuple[list[str], int, dict[str, ComparisonKind | None]]:
    """Return the names of the columns of an Avro or Parquet file, how many parts it can be read in, and the columns' kinds.

    Raises:
        DataError: the file is damaged or of another format.
    """
    with open_raw(path) as stored:
        try:
            file = TypedFile(stored, format_name)
        except TypedFileError as error:
            raise _damaged(EvaluationInputUnit(set_name, 0, format_name, path), str(error)) from None
        return file.columns, file.num_parts, {name: kind_of_type(kind) for name, kind in file.types.items()}


def _unquote(text: pa.Array) -> pa.Array:
    """Remove quotes that only protect a delimiter, so that text and typed files of one set agree."""
    if not any('"' in record for record in text.to_pylist()):
        return text
    return pa.array(
        [FIELD_BREAK.join(_QUOTED.split(part)[0] for part in record.split(FIELD_BREAK)) for record in
         text.to_pylist()],
        pa.large_string(),
    )  # fmt: skip


def _lines_of(unit: EvaluationInputUnit) -> tuple[InputUnit, ReadSettings]:
    if unit.lines is None:
        raise ValueError("a unit of lines needs its ranges")
    return unit.lines


def _damaged(unit: EvaluationInputUnit, what: str) -> DataError:
    return DataError(
        "LS206", None, f"'{unit.path}', part of the {unit.set_name} set, cannot be read: {what}", "Write it again."
    )


_READERS = {LINES: _read_lines, JSONL: _read_jsonl, AVRO: _read_typed, PARQUET: _read_typed, TOKENS: _read_tokens}
