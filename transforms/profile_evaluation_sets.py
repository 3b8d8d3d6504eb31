"""The two passes of an evaluation: batches of each set → one DatasetProfile, then one SchemaCounts."""

from __future__ import annotations

import json
from collections.abc import Iterable
from functools import partial
from pathlib import Path
from typing import Any

import apache_beam as beam
import pyarrow as pa

from linesmith.core.artifacts.files import write_bytes
from linesmith.evaluation.dataset_profile import SAMPLE, DatasetProfile
from linesmith.evaluation.schema_counts import CountPlan, SchemaCounts
from linesmith.evaluation.serialization import to_json
from linesmith.transforms.combine_batches import CombineBatchesFn
from linesmith.transforms.read_evaluation_sets import EvaluationInputUnit, ReadEvaluationSets

NumberedRecords = tuple[int, pa.Array]  # number of the first record, texts of the records


def profile_fn(sample: int = SAMPLE) -> CombineBatchesFn[DatasetProfile, NumberedRecords]:
    """Return the CombineFn of the first pass, whose profiles keep `sample` records as a sample."""
    return CombineBatchesFn(partial(DatasetProfile, sample), _add_to_profile, DatasetProfile.merge)


def _add_to_profile(profile: DatasetProfile, batch: NumberedRecords) -> None:
    first, texts = batch
    profile.add(texts, first)


def schema_counts_fn(plan: CountPlan) -> CombineBatchesFn[SchemaCounts, NumberedRecords]:
    """Return the CombineFn of the second pass; its counts are exact."""
    return CombineBatchesFn(partial(SchemaCounts, plan), _add_to_counts, SchemaCounts.merge)


def _add_to_counts(counts: SchemaCounts, batch: NumberedRecords) -> None:
    counts.add(batch[1])


class ProfileEvaluationSets(beam.PTransform):
    """Input units → one file `SET.json` for each set that has records, with the combined result (`serialization.to_json`).

    Args:
        units: what to read.
        combiner: `profile_fn()` or `schema_counts_fn()`.
        directory: where the files go; driver and workers share it.
    """

    def __init__(self, units: Iterable[EvaluationInputUnit], combiner: beam.CombineFn, directory: Path) -> None:
        super().__init__()
        self._units = list(units)
        self._combiner = combiner
        self._directory = str(directory)

    def expand(self, root: beam.pvalue.PBegin) -> Any:
        """Read the units, combine the batches of each set and write the results."""
        return (
            root
            | "Batches" >> ReadEvaluationSets(self._units)
            | "Count" >> beam.CombinePerKey(self._combiner)
            | "Write" >> beam.Map(_write, self._directory)
        )


def _write(named_result: tuple[str, DatasetProfile | SchemaCounts], directory: str) -> None:
    set_name, result = named_result
    # Not indented: the encoder of indented text is not the compiled one, and takes seconds for large counts.
    write_bytes(Path(directory) / f"{set_name}.json", json.dumps(to_json(result)).encode())
