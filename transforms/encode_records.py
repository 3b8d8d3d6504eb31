"""Encode records with the saved graph into TFRecord shards: each unit writes one shard per split.

Nothing is grouped or shuffled, so memory does not grow with the input, and a retried unit writes the same files again. The
output is verified: the ids of every record must decode to its text, and every shard is read back and counted.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import apache_beam as beam
import numpy as np
import numpy.typing as npt
import pyarrow as pa

from linesmith.core.artifacts.disk_errors import disk_error
from linesmith.core.artifacts.files import sha256_file, write_json
from linesmith.core.errors import DataError, LinesmithError
from linesmith.records.input.field_statistics import FieldStatistics
from linesmith.records.input.input_ranges import InputUnit
from linesmith.records.input.record_format import HOLDOUT, SPLIT_NAMES
from linesmith.transforms.read_records import RangeCount, RangeReader, ReadSettings
from linesmith.transforms.tfrecord_shards import (
    RejectFileWriter,
    SplitCount,
    TFRecordShardWriter,
    reject_name,
    tfrecord_shard_name,
)

if TYPE_CHECKING:
    from linesmith.model.tokenizers.loading import AnyTokenizer
    from linesmith.transforms.transform_graph import SavedGraph


@dataclass
class EncodedUnit:
    """Result of a unit.

    Attributes:
        index: number of the unit.
        ranges: counts of its ranges, in order.
        splits: counts of what it wrote, by split.
        digests: SHA-256 of each file that it wrote, by name.
    """

    index: int
    ranges: list[RangeCount] = field(default_factory=list)
    splits: dict[str, SplitCount] = field(default_factory=dict)
    digests: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class EncodeSettings:
    """What workers need; all directories are shared by all workers.

    Attributes:
        read: how the input is read.
        tokenizer: directory of the tokenizer.
        graph: directory of the saved graph.
        data: directory for shards.
        rejects: directory for rejected lines.
        conditions: number of fields, from the first, that records are conditioned on.
        finds_parents: find out which earlier fields tell the most about a field.
    """

    read: ReadSettings
    tokenizer: str
    graph: str
    data: str
    rejects: str
    conditions: int = 0
    finds_parents: bool = False


class EncodeRecords(beam.PTransform):
    """Input units → shards on disk.

    Args:
        units: what to encode.
        settings: how, and where to.
        results: JSON file for a list of EncodedUnit.
        statistics: JSON file for the merged FieldStatistics of all records outside the holdout.
    """

    def __init__(self, units: Iterable[InputUnit], settings: EncodeSettings, results: Path, statistics: Path) -> None:
        super().__init__()
        self._units = list(units)
        self._settings = settings
        self._results = results
        self._statistics = str(statistics)

    def expand(self, root: beam.pvalue.PBegin) -> Any:
        """Encode all units, and write results and statistics."""
        from linesmith.transforms.collect_json import CollectJson

        encoded = (
            root
            | "Units" >> beam.Create(self._units, reshuffle=False)
            | "Spread" >> beam.Reshuffle()
            | "Encode" >> beam.ParDo(_EncodeFn(self._settings)).with_outputs("statistics", main="results")
        )
        statistics = (
            encoded.statistics
            | "Merge" >> beam.CombineGlobally(merge_statistics)
            | "WriteStatistics" >> beam.Map(_write_statistics, self._statistics)
        )
        return encoded.results | "Results" >> CollectJson(self._results), statistics


def merge_statistics(parts: Iterable[FieldStatistics]) -> FieldStatistics | None:
    """Return the sum of statistics, or None if there are none. The parts are not changed, and their order does not matter."""
    merged: FieldStatistics | None = None
    for part in parts:
        if merged is None:
            merged = part.new_empty()
        merged.merge(part)
    return merged


def _write_statistics(statistics: FieldStatistics | None, path: str) -> None:
    write_json(path, {} if statistics is None else statistics.as_dict())


class _EncodeFn(beam.DoFn):
    """DoFn that encodes units. Graph and tokenizer are loaded once per worker."""

    def __init__(self, settings: EncodeSettings) -> None:
        super().__init__()
        self._settings = settings
        self._graph: SavedGraph
        self._tokenizer: AnyTokenizer

    def setup(self) -> None:
        from linesmith.model.tokenizers.loading import load_tokenizer
        from linesmith.transforms.transform_graph import SavedGraph

        self._graph = SavedGraph(self._settings.graph)
        self._tokenizer = load_tokenizer(self._settings.tokenizer)

    def process(self, unit: InputUnit) -> Iterator[Any]:
        try:
            yield from self._process(unit)
        except Exception as error:
            described = disk_error(error, self._settings.data, "--output")
            if described is None:
                raise
            raise described from None

    def _process(self, unit: InputUnit) -> Iterator[Any]:
        result = EncodedUnit(unit.index, splits={name: SplitCount() for name in SPLIT_NAMES})
        form = self._tokenizer.token_format
        statistics = FieldStatistics(
            self._tokenizer.total_vocab_size,
            form.reserved_count,
            self._tokenizer.quoted,
            form.form,
            self._settings.conditions,
            self._settings.finds_parents,
        )
        with contextlib.ExitStack() as stack:
            users = self._settings.read.records.user_field is not None
            files = [Path(self._settings.data) / tfrecord_shard_name(name, unit.index) for name in SPLIT_NAMES]
            shards = [stack.enter_context(TFRecordShardWriter(file, users)) for file in files]
            files.append(Path(self._settings.rejects) / reject_name(unit.index))
            rejects = stack.enter_context(RejectFileWriter(files[-1]))
            for source in unit.ranges:
                reader = RangeReader(source, self._settings.read, rejects.write)
                for batch in reader.batches():
                    self._encode(batch, shards, result, statistics)
                result.ranges.append(reader.count)
        for shard, count in zip(shards, result.splits.values(), strict=True):
            shard.verify(count)
        # Computed here, since the driver would have to read alone what all workers wrote.
        result.digests = {file.name: sha256_file(file) for file in files if file.exists()}
        yield result
        yield beam.pvalue.TaggedOutput("statistics", statistics)

    def _encode(
        self, batch: pa.RecordBatch, shards: list[TFRecordShardWriter], result: EncodedUnit, statistics: FieldStatistics
    ) -> None:
        ids, lengths = self._graph.encode_batch(batch)
        verify_ids(self._tokenizer, batch, ids, lengths)
        split = batch["split"].to_numpy()
        learned = split != HOLDOUT  # statistics describe no record of the holdout
        statistics.add(batch.filter(pa.array(learned)), ids[np.repeat(learned, lengths)], lengths[learned])
        for number, (shard, count) in enumerate(zip(shards, result.splits.values(), strict=True)):
            rows = split == number
            if rows.any():
                part, part_ids = batch.filter(pa.array(rows)), ids[np.repeat(rows, lengths)]
                shard.write(part, part_ids, lengths[rows])
                count.add(part, len(part_ids))


def verify_ids(
    tokenizer: AnyTokenizer,
    batch: pa.RecordBatch,
    ids: npt.NDArray[np.int64],
    lengths: npt.NDArray[np.int64],
) -> None:
    """Check that ids are the records of a batch, each `<n> … <n>`, and decode to exactly their text.

    Args:
        tokenizer: decodes the ids.
        batch: the records, as column `text` with field breaks.
        ids: token ids of all records, one record after the other.
        lengths: number of ids of each record.

    Raises:
        DataError: LS220, they do not: the input changed between the passes over it, or the encoder is wrong. No text is shown.
    """
    expected = "".join(f"\n{text}\n" for text in batch["text"].to_pylist())
    try:
        same = (
            len(lengths) == batch.num_rows
            and int(lengths.sum()) == len(ids)
            and (not len(ids) or int(ids.min()) >= 0)
            and _structure(tokenizer, ids) == expected
        )
    except (LinesmithError, IndexError, UnicodeDecodeError):
        same = False
    if not same:
        raise DataError(
            "LS220",
            "--input",
            "changed while it was read: the encoded records do not decode to what was read",
            "Run tokenize again on a copy that nobody writes to.",
        )


def _structure(tokenizer: AnyTokenizer, ids: npt.NDArray[np.int64]) -> str:
    from linesmith.model.tokenizers.char_tokenizer import CharTokenizer

    if isinstance(tokenizer, CharTokenizer):
        return tokenizer.decode_structure(ids)
    return tokenizer.decode_structure(ids.tolist())
