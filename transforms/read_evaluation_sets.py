"""Records of any set as batches of text with field breaks: lines, JSON Lines, Avro, Parquet, or our own training data."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote

import apache_beam as beam
import pyarrow as pa

from linesmith.core.errors import DataError
from linesmith.records.fields import FIELD_BREAK, split_fields
from linesmith.records.input.input_ranges import Unit
from linesmith.records.output.partitions import partition_value
from linesmith.transforms.find_inputs import open_raw
from linesmith.transforms.read_records import RangeReader, ReadSettings

if TYPE_CHECKING:
    from collections.abc import Sequence

_BATCH = 2000
_BREAK_INSIDE = "\u2028"  # stands for a line end inside a value of a typed file
LINES, JSONL, AVRO, PARQUET, TOKENS = "lines", "jsonl", "avro", "parquet", "tokens"


@dataclass(frozen=True)
class EvaluationInputUnit:
    """A part of a set that one worker reads.

    Attributes:
        set_name: training, holdout or synthetic.
        number: of the unit within its set; with a record's place in the unit it identifies the record.
        kind: LINES, JSONL, AVRO, PARQUET or TOKENS.
        path: the file; for LINES and JSONL the ranges of `lines` say what to read.
        lines: ranges, and how to read them.
        part: number of the row group in a Parquet file.
        columns: fields of typed records to take, in order; None: all, in the file's order.
        tokenizer: directory of the tokenizer of TOKENS.
    """

    set_name: str
    number: int
    kind: str
    path: str
    lines: tuple[Unit, ReadSettings] | None = None
    part: int = 0
    columns: tuple[str, ...] | None = None
    tokenizer: str | None = None


Batch = tuple[str, tuple[int, pa.Array]]  # set, (number of the first record, records)


class ReadEvaluationSets(beam.PTransform):
    """Units → (set, (number of the first record, records)). Batches stream through what is fused behind them."""

    def __init__(self, units: Iterable[EvaluationInputUnit]) -> None:
        super().__init__()
        self._units = list(units)

    def expand(self, root: beam.pvalue.PBegin) -> Any:
        return (
            root
            | "Units" >> beam.Create(self._units, reshuffle=False)
            | "Spread" >> beam.Reshuffle()
            | "Read" >> beam.FlatMap(read_set_unit)
        )


def read_set_unit(unit: EvaluationInputUnit) -> Iterator[Batch]:
    """Batches of a unit.

    Raises:
        DataError: the file is damaged or lacks a column; no record is quoted.
    """
    first = unit.number << 32
    for text in _READERS[unit.kind](unit):
        yield unit.set_name, (first, text)
        first += len(text)


def value_text(value: Any) -> str:
    """A value of a typed record as a text file would hold it.

    Example:
        >>> [value_text(v) for v in (None, True, 2.0, "a", b"b")]
        ['', 'true', '2.0', 'a', 'b']
    """
    if value is None:
        return ""
    if isinstance(value, str):
        text = value
    elif isinstance(value, bool):
        return "true" if value else "false"
    elif isinstance(value, bytes):
        text = value.decode("utf-8", "replace")
    elif isinstance(value, dict | list):
        text = json.dumps(value, ensure_ascii=False, sort_keys=True)
    else:
        text = str(value)
    return text.replace(FIELD_BREAK, _BREAK_INSIDE)


def _lines(unit: EvaluationInputUnit) -> Iterator[pa.Array]:
    ranges, settings = _line_source(unit)
    for source in ranges.ranges:
        for batch in RangeReader(source, settings).batches():
            text = batch["text"]
            yield _unquoted(text) if settings.records.quoted else text


def _jsonl(unit: EvaluationInputUnit) -> Iterator[pa.Array]:
    ranges, settings = _line_source(unit)
    for source in ranges.ranges:
        for batch in RangeReader(source, settings).batches():
            yield _typed(_objects(batch["text"].to_pylist(), unit), unit, source.file.path)


def _objects(lines: Iterable[str], unit: EvaluationInputUnit) -> Iterator[dict[str, Any]]:
    for line in lines:
        try:
            row = json.loads(line)
        except ValueError:
            row = None
        if not isinstance(row, dict):
            raise _damaged(unit, "a line is no JSON object")
        yield row


def _avro(unit: EvaluationInputUnit) -> Iterator[pa.Array]:
    import fastavro

    with open_raw(unit.path) as stored:
        try:
            rows: list[dict[str, Any]] = []
            for row in fastavro.reader(stored):
                rows.append(row)
                if len(rows) == _BATCH:
                    yield _typed(rows, unit)
                    rows = []
        except (ValueError, EOFError, IndexError):
            raise _damaged(unit, "it is cut off or no Avro file") from None
        if rows:
            yield _typed(rows, unit)


def _parquet(unit: EvaluationInputUnit) -> Iterator[pa.Array]:
    from pyarrow import parquet

    with open_raw(unit.path) as stored:
        try:
            file = parquet.ParquetFile(stored)
            for batch in file.iter_batches(_BATCH, row_groups=[unit.part]):
                yield _typed(batch.to_pylist(), unit)
        except pa.ArrowInvalid:
            raise _damaged(unit, "it is cut off or no Parquet file") from None


def _tokens(unit: EvaluationInputUnit) -> Iterator[pa.Array]:
    import tensorflow as tf

    from linesmith.model.tokenizers.loading import load_tokenizer

    tokenizer = load_tokenizer(str(unit.tokenizer))
    features = {"ids": tf.io.RaggedFeature(tf.int64, row_splits_dtype=tf.int64)}
    try:
        for serialized in tf.data.TFRecordDataset(unit.path, "GZIP").batch(_BATCH):
            ids = tf.io.parse_example(serialized, features)["ids"]
            records = _split_ids(ids.values.numpy().tolist(), ids.row_lengths().numpy().tolist())
            text = pa.array([tokenizer.decode_structure(record) for record in records], pa.large_string())
            yield _unquoted(text) if tokenizer.quoted else text
    except tf.errors.OpError:  # its message may quote the record, so it is not repeated
        raise _damaged(unit, "it is cut off or is not one of ours") from None


def _split_ids(ids: list[int], lengths: list[int]) -> Iterator[list[int]]:
    """Ids of each record, without the `<n>` at both ends."""
    start = 0
    for length in lengths:
        yield ids[start + 1 : start + length - 1]
        start += length


def _typed(rows: Iterable[dict[str, Any]], unit: EvaluationInputUnit, path: str | None = None) -> pa.Array:
    """Rows as text, in the order of the unit's columns; one that the files lack may stand in their directory's name."""
    beside = partition_of(unit.path if path is None else path)
    try:
        texts = [
            FIELD_BREAK.join(value_text(row[name] if name in row else beside[name]) for name in (unit.columns or row))
            for row in rows
        ]
    except KeyError as missing:
        raise _damaged(unit, f"a record has no field {missing}") from None
    return pa.array(texts, pa.large_string())


def partition_of(path: str) -> dict[str, str]:
    """The column and value that the name of a file's directory tells.

    Example:
        >>> partition_of("out/synthetic/country=CR/part-0.avro"), partition_of("a=b.avro")
        ({'country': 'CR'}, {})
    """
    directory = os.path.basename(os.path.dirname(path))
    column, equals, _ = directory.partition("=")
    return {unquote(column): partition_value(directory)} if equals else {}


def _unquoted(text: pa.Array) -> pa.Array:
    """Fields without the quotes that only protect a delimiter, so that text and typed files of one set agree."""
    if not any('"' in record for record in text.to_pylist()):
        return text
    return pa.array(
        [FIELD_BREAK.join(split_fields(part, "\x00", True)[0] for part in record.split(FIELD_BREAK)) for record in
         text.to_pylist()],
        pa.large_string(),
    )  # fmt: skip


def _line_source(unit: EvaluationInputUnit) -> tuple[Unit, ReadSettings]:
    if unit.lines is None:
        raise ValueError("a unit of lines needs its ranges")
    return unit.lines


def _damaged(unit: EvaluationInputUnit, what: str) -> DataError:
    return DataError(
        f"LS206: '{unit.path}', part of the {unit.set_name} set, cannot be read: {what}. Write it again.", code="LS206"
    )


_READERS = {LINES: _lines, JSONL: _jsonl, AVRO: _avro, PARQUET: _parquet, TOKENS: _tokens}


def names_in_typed(kind: str, path: str) -> Sequence[str]:
    """Names of the columns of an Avro or Parquet file.

    Raises:
        DataError: it is neither.
    """
    unit = EvaluationInputUnit("", 0, kind, path)
    with open_raw(path) as stored:
        try:
            if kind == PARQUET:
                from pyarrow import parquet

                return list(parquet.ParquetFile(stored).schema_arrow.names)
            import fastavro

            schema: Any = fastavro.reader(stored).writer_schema
            return [field["name"] for field in schema["fields"]]
        except (ValueError, EOFError, KeyError, TypeError, pa.ArrowInvalid):
            raise _damaged(unit, "it is cut off or of another format") from None
