"""In how many records each character outside ASCII occurs: what a private vocabulary is made of. Raw until it is noised."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from pathlib import Path

import apache_beam as beam
import pyarrow as pa

from linesmith.core.artifacts.files import write_json
from linesmith.model.privacy.vocabulary import present


class CountCharacterPresenceFn(beam.CombineFn):
    """Record batches → counts by code point, each record speaking for a bounded number of them.

    The result does not depend on batches, bundles or the order of merging.
    """

    def __init__(self, key: bytes) -> None:
        super().__init__()
        self._key = key

    def create_accumulator(self) -> Counter[int]:
        return Counter()

    def add_input(self, accumulator: Counter[int], batch: pa.RecordBatch) -> Counter[int]:
        accumulator.update(present(batch["text"].to_pylist(), self._key))
        return accumulator

    def merge_accumulators(self, accumulators: Iterable[Counter[int]]) -> Counter[int]:
        merged: Counter[int] = Counter()
        for accumulator in accumulators:
            merged.update(accumulator)
        return merged

    def extract_output(self, accumulator: Counter[int]) -> Counter[int]:
        return accumulator


class CountCharacterPresence(beam.PTransform):
    """Record batches → one JSON file of [code point, records] pairs, in the driver's scratch space."""

    def __init__(self, key: bytes, path: Path) -> None:
        super().__init__()
        self._key = key
        self._path = str(path)

    def expand(self, batches: beam.PCollection) -> beam.PCollection:
        return (
            batches
            | "Count" >> beam.CombineGlobally(CountCharacterPresenceFn(self._key))
            | "Write" >> beam.Map(_write, self._path)
        )


def _write(counts: Counter[int], path: str) -> None:
    write_json(path, sorted(counts.items()))
