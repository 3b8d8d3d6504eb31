"""Records through the saved graph into TFRecord shards: one shard a unit of work and split, written by the unit's worker.

Nothing is grouped or shuffled, so memory does not grow with the input; a retried unit writes the same files again. What is
written is proved before it is believed: every record's ids give back its text, and every shard is read back and counted.
"""

from __future__ import annotations

import contextlib
import errno
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import apache_beam as beam
import numpy as np
import numpy.typing as npt
import pyarrow as pa

from linesmith.core.artifacts.files import sha256_file, write_json
from linesmith.core.errors import DataError, LinesmithError
from linesmith.records.input.field_statistics import FieldStatistics
from linesmith.records.input.input_ranges import Unit
from linesmith.records.input.record_format import HOLDOUT, SPLITS
from linesmith.transforms.read_records import RangeCount, RangeReader, ReadSettings
from linesmith.transforms.tfrecord_shards import RejectFile, Shard, SplitCount, reject_name, shard_name

if TYPE_CHECKING:
    from linesmith.model.tokenizers.loading import AnyTokenizer
    from linesmith.transforms.transform_graph import SavedGraph

_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


@dataclass
class UnitResult:
    """What became of a unit: its counts by range and by split, and the SHA-256 of each file that it wrote, by name."""

    index: int
    ranges: list[RangeCount] = field(default_factory=list)
    splits: dict[str, SplitCount] = field(default_factory=dict)
    digests: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class EncodeSettings:
    """Where the graph and the tokenizer are, and where shards and rejects go: directories that all workers share."""

    read: ReadSettings
    tokenizer: str
    graph: str
    data: str
    rejects: str


class EncodeRecords(beam.PTransform):
    """Units → shards on disk, one UnitResult each in `results`, and the merged FieldStatistics in `statistics`."""

    def __init__(self, units: Iterable[Unit], settings: EncodeSettings, results: Path, statistics: Path) -> None:
        super().__init__()
        self._units = list(units)
        self._settings = settings
        self._results = results
        self._statistics = str(statistics)

    def expand(self, root: beam.pvalue.PBegin) -> Any:
        from linesmith.transforms.collect_json import CollectJson

        encoded = (
            root
            | "Units" >> beam.Create(self._units, reshuffle=False)
            | "Spread" >> beam.Reshuffle()
            | "Encode" >> beam.ParDo(_EncodeFn(self._settings)).with_outputs("statistics", main="results")
        )
        statistics = (
            encoded.statistics
            | "Merge" >> beam.CombineGlobally(MergeStatisticsFn())
            | "WriteStatistics" >> beam.Map(_write_statistics, self._statistics)
        )
        return encoded.results | "Results" >> CollectJson(self._results), statistics


class MergeStatisticsFn(beam.CombineFn):
    """FieldStatistics → their sum, or None of none. The result does not depend on the order of merging."""

    def create_accumulator(self) -> FieldStatistics | None:
        return None

    def add_input(self, accumulator: FieldStatistics | None, part: FieldStatistics) -> FieldStatistics:
        return self.merge_accumulators([accumulator, part]) or part

    def merge_accumulators(self, accumulators: Iterable[FieldStatistics | None]) -> FieldStatistics | None:
        merged: FieldStatistics | None = None
        for accumulator in accumulators:
            if accumulator is not None:
                merged = merged or accumulator.empty()
                merged.merge(accumulator)
        return merged

    def extract_output(self, accumulator: FieldStatistics | None) -> FieldStatistics | None:
        return accumulator


def _write_statistics(statistics: FieldStatistics | None, path: str) -> None:
    write_json(path, {} if statistics is None else statistics.as_dict())


class _EncodeFn(beam.DoFn):
    """Encodes units. Graph and tokenizer are loaded once a worker."""

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

    def process(self, unit: Unit) -> Iterator[Any]:
        try:
            yield from self._process(unit)
        except Exception as error:
            # TensorFlow's writer has errors of its own kind, which carry the system's words.
            if (isinstance(error, OSError) and error.errno in _FULL) or "No space left" in str(error):
                raise DataError(
                    f"LS209: --output: '{self._settings.data}' cannot be written: the disk is full or its quota used up; make "
                    "room and run the same command again, or choose another --output.",
                    code="LS209",
                ) from None
            raise

    def _process(self, unit: Unit) -> Iterator[Any]:
        result = UnitResult(unit.index, splits={name: SplitCount() for name in SPLITS})
        statistics = FieldStatistics(self._tokenizer.total_vocab_size, self._tokenizer.fields.reserved)
        with contextlib.ExitStack() as stack:
            users = self._settings.read.records.user_field is not None
            files = [Path(self._settings.data) / shard_name(name, unit.index) for name in SPLITS]
            shards = [stack.enter_context(Shard(file, users)) for file in files]
            files.append(Path(self._settings.rejects) / reject_name(unit.index))
            rejects = stack.enter_context(RejectFile(files[-1]))
            for source in unit.ranges:
                reader = RangeReader(source, self._settings.read, rejects.write)
                for batch in reader.batches():
                    self._encode(batch, shards, result, statistics)
                result.ranges.append(reader.count)
        for shard, count in zip(shards, result.splits.values(), strict=True):
            shard.verify(count)
        # Here and not on the driver, which would read alone what all workers wrote.
        result.digests = {file.name: sha256_file(file) for file in files if file.exists()}
        yield result
        yield beam.pvalue.TaggedOutput("statistics", statistics)

    def _encode(
        self, batch: pa.RecordBatch, shards: list[Shard], result: UnitResult, statistics: FieldStatistics
    ) -> None:
        ids, lengths = self._graph.encode_batch(batch)
        verify_ids(self._tokenizer, batch, ids, lengths)
        split = batch["split"].to_numpy()
        seen = split != HOLDOUT
        statistics.add(batch.filter(pa.array(seen)), ids[np.repeat(seen, lengths)], lengths[seen])
        for number, (shard, count) in enumerate(zip(shards, result.splits.values(), strict=True)):
            rows = split == number
            if rows.any():
                part, own = batch.filter(pa.array(rows)), ids[np.repeat(rows, lengths)]
                shard.write(part, own, lengths[rows])
                count.add(part, len(own))


def verify_ids(
    tokenizer: AnyTokenizer,
    batch: pa.RecordBatch,
    ids: npt.NDArray[np.int64],
    lengths: npt.NDArray[np.int64],
) -> None:
    """Check that ids are the batch's records, each `<n> … <n>`, and decode to exactly their text.

    Raises:
        DataError: they do not. The input changed between the passes over it, or we are wrong; no text is shown.
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
            "LS209: the encoded records do not decode to what was read. The input changed while it was read; run tokenize "
            "again on a copy that nobody writes to.",
            code="LS209",
        )


def _structure(tokenizer: AnyTokenizer, ids: npt.NDArray[np.int64]) -> str:
    from linesmith.model.tokenizers.char_tokenizer import CharTokenizer

    if isinstance(tokenizer, CharTokenizer):
        return tokenizer.decode_structure(ids)
    return tokenizer.decode_structure(ids.tolist())
