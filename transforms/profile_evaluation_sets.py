"""The two passes of an evaluation: batches of sets → one Survey, then one SchemaCounts, a set."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import apache_beam as beam
import pyarrow as pa

from linesmith.core.artifacts.files import write_json
from linesmith.evaluation.dataset_profile import SAMPLE, Survey
from linesmith.evaluation.schema_counts import CountPlan, SchemaCounts
from linesmith.evaluation.serialization import pack
from linesmith.transforms.read_evaluation_sets import EvaluationInputUnit, ReadEvaluationSets

Numbered = tuple[int, pa.Array]  # number of the first record, records


class ProfileFn(beam.CombineFn):
    """Batches → Survey. The samples and counts do not depend on batches, bundles or the order of merging."""

    def __init__(self, sample: int = SAMPLE) -> None:
        super().__init__()
        self._sample = sample

    def create_accumulator(self) -> Survey:
        return Survey(self._sample)

    def add_input(self, accumulator: Survey, batch: Numbered) -> Survey:
        first, text = batch
        accumulator.add(text, first)
        return accumulator

    def merge_accumulators(self, accumulators: Iterable[Survey]) -> Survey:
        merged = self.create_accumulator()
        for accumulator in accumulators:
            merged.merge(accumulator)
        return merged

    def extract_output(self, accumulator: Survey) -> Survey:
        return accumulator


class CountFn(beam.CombineFn):
    """Batches → SchemaCounts. Counts are exact."""

    def __init__(self, plan: CountPlan) -> None:
        super().__init__()
        self._plan = plan

    def create_accumulator(self) -> SchemaCounts:
        return SchemaCounts(self._plan)

    def add_input(self, accumulator: SchemaCounts, batch: Numbered) -> SchemaCounts:
        accumulator.add(batch[1])
        return accumulator

    def merge_accumulators(self, accumulators: Iterable[SchemaCounts]) -> SchemaCounts:
        merged = self.create_accumulator()
        for accumulator in accumulators:
            merged.merge(accumulator)
        return merged

    def extract_output(self, accumulator: SchemaCounts) -> SchemaCounts:
        return accumulator


class ProfileEvaluationSets(beam.PTransform):
    """Units → one file `SET.json` for each set that has records, with what the combiner made of it (`packing.pack`)."""

    def __init__(self, units: Iterable[EvaluationInputUnit], combiner: beam.CombineFn, directory: Path) -> None:
        super().__init__()
        self._units = list(units)
        self._combiner = combiner
        self._directory = str(directory)

    def expand(self, root: beam.pvalue.PBegin) -> Any:
        return (
            root
            | "Batches" >> ReadEvaluationSets(self._units)
            | "Count" >> beam.CombinePerKey(self._combiner)
            | "Write" >> beam.Map(_write, self._directory)
        )


def _write(counted: tuple[str, Survey | SchemaCounts], directory: str) -> None:
    name, result = counted
    write_json(Path(directory) / f"{name}.json", pack(result))
