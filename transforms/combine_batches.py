"""Combine batches of records into one result: a generic CombineFn, and a transform that writes the result as JSON."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path
from typing import Any, Generic, TypeVar

import apache_beam as beam
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from linesmith.core.artifacts.files import write_json
from linesmith.model.privacy.vocabulary import count_presence
from linesmith.model.tokenizers.word_counts import WordCounts
from linesmith.records.fields import FIELD_BREAK
from linesmith.records.input.record_survey import RecordSurvey

A = TypeVar("A")  # accumulator
B = TypeVar("B")  # batch


class CombineBatchesFn(beam.CombineFn, Generic[A, B]):
    """CombineFn for a mergeable accumulator; the result is the accumulator itself.

    If `add` and `merge` are commutative and associative, the result does not depend on batches, bundles or merge order.

    Args:
        new: makes an empty accumulator. Like the other two, it must be picklable.
        add: adds a batch to an accumulator in place.
        merge: adds the second accumulator to the first in place.
    """

    def __init__(self, new: Callable[[], A], add: Callable[[A, B], None], merge: Callable[[A, A], None]) -> None:
        super().__init__()
        self._new = new
        self._add = add
        self._merge = merge

    def create_accumulator(self) -> A:
        """Return an empty accumulator."""
        return self._new()

    def add_input(self, accumulator: A, batch: B) -> A:
        """Add a batch to an accumulator, in place."""
        self._add(accumulator, batch)
        return accumulator

    def merge_accumulators(self, accumulators: Iterable[A]) -> A:
        """Return a new accumulator with the content of all."""
        merged = self._new()
        for accumulator in accumulators:
            self._merge(merged, accumulator)
        return merged

    def extract_output(self, accumulator: A) -> A:
        """Return the accumulator."""
        return accumulator


class CombineToJson(beam.PTransform):
    """Batches → one JSON file with their combined result, on a file system that driver and workers share.

    Args:
        combiner: combines the batches.
        as_json: turns the result into plain JSON.
        path: the file to write.
    """

    def __init__(self, combiner: beam.CombineFn, as_json: Callable[[Any], Any], path: Path) -> None:
        super().__init__()
        self._combiner = combiner
        self._as_json = as_json
        self._path = str(path)

    def expand(self, batches: beam.PCollection) -> beam.PCollection:
        """Apply the combiner and write its result."""
        return (
            batches
            | "Combine" >> beam.CombineGlobally(self._combiner)
            | "Write" >> beam.Map(_write, self._as_json, self._path)
        )


def _write(result: Any, as_json: Callable[[Any], Any], path: str) -> None:
    write_json(path, as_json(result))


def count_words_fn(cap: int) -> CombineBatchesFn[WordCounts, pa.RecordBatch]:
    """Return the CombineFn from record batches to word counts, with at most `cap` distinct words in memory."""
    return CombineBatchesFn(partial(WordCounts, cap), _add_words, WordCounts.merge)


def _add_words(counts: WordCounts, batch: pa.RecordBatch) -> None:
    counts.add_lines(zip(batch["level"].to_pylist(), batch["text"].to_pylist(), strict=True))


def count_character_presence_fn(key: bytes) -> CombineBatchesFn[Counter[int], pa.RecordBatch]:
    """Return the CombineFn from record batches to the number of records that hold each character outside ASCII.

    Each record counts for a bounded number of characters (`present`). The counts are raw: noise is added later.

    Args:
        key: secret that chooses the characters of a record with too many.
    """
    return CombineBatchesFn(Counter, partial(_add_presence, key), Counter.update)


def _add_presence(key: bytes, counts: Counter[int], batch: pa.RecordBatch) -> None:
    counts.update(count_presence(batch["text"].to_pylist(), key))


def survey_fn() -> CombineBatchesFn[RecordSurvey, pa.RecordBatch]:
    """Return the CombineFn from record batches to what the records have in common."""
    return CombineBatchesFn(RecordSurvey, _add_to_survey, RecordSurvey.merge)


def _add_to_survey(survey: RecordSurvey, batch: pa.RecordBatch) -> None:
    breaks = pc.count_substring(batch["text"], FIELD_BREAK).to_numpy(zero_copy_only=False)
    survey.add(breaks.astype(np.int64) + 1, batch["record_hash"].to_numpy())
