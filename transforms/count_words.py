"""Word counts of the whole input, in bounded memory."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import apache_beam as beam
import pyarrow as pa

from linesmith.core.artifacts.files import write_json
from linesmith.model.tokenizers.word_counts import WordCounts


class CountWordsFn(beam.CombineFn):
    """Record batches → WordCounts. The result does not depend on batches, bundles or the order of merging."""

    def __init__(self, cap: int) -> None:
        super().__init__()
        self._cap = cap

    def create_accumulator(self) -> WordCounts:
        return WordCounts(self._cap)

    def add_input(self, accumulator: WordCounts, batch: pa.RecordBatch) -> WordCounts:
        accumulator.add_lines(zip(batch["level"].to_pylist(), batch["text"].to_pylist(), strict=True))
        return accumulator

    def merge_accumulators(self, accumulators: Iterable[WordCounts]) -> WordCounts:
        merged = WordCounts(self._cap)
        for accumulator in accumulators:
            merged.merge(accumulator)
        return merged

    def extract_output(self, accumulator: WordCounts) -> WordCounts:
        return accumulator


class CountWords(beam.PTransform):
    """Record batches → one JSON file: the lowest level of the lines that were counted, and words with their counts."""

    def __init__(self, cap: int, path: Path) -> None:
        super().__init__()
        self._cap = cap
        self._path = str(path)

    def expand(self, batches: beam.PCollection) -> beam.PCollection:
        return (
            batches | "Count" >> beam.CombineGlobally(CountWordsFn(self._cap)) | "Write" >> beam.Map(_write, self._path)
        )


def _write(counts: WordCounts, path: str) -> None:
    write_json(path, {"lowest": counts.lowest, "words": counts.total()})
