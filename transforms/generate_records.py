"""Work units in, shards out: Reshuffle → RunInference, which writes. Yields one `UnitSummary` a unit that ran."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import apache_beam as beam
from apache_beam.metrics import Metrics
from apache_beam.ml.inference.base import ModelHandler, RunInference

from linesmith.core.errors import LinesmithError
from linesmith.model.generation.attempts import AttemptSettings
from linesmith.model.generation.staging import StagingDirectory, UnitSummary
from linesmith.model.generation.unit_generator import SampleSource, generate_units
from linesmith.model.generation.work_units import WorkUnit
from linesmith.records.validation.record_validator import Judge, ValidatorLoader
from linesmith.transforms.remote_staging import RemoteStagingDirectory

METRICS_NAMESPACE = "linesmith.generate"
# Units that a worker generates side by side: enough that few rows stand idle where one unit ends and none begins.
_UNITS_A_BATCH = 64


@dataclass
class LoadedModel:
    """A sampler and a judge, or the error that kept them from being loaded. One batch of units at a time uses it."""

    sampler: SampleSource | None = None
    judge: Judge | None = None
    failure: LinesmithError | None = None

    def __post_init__(self) -> None:
        self.turn = threading.Lock()  # a runner may call one process's model from several threads


class RecordGenerator(ModelHandler[WorkUnit, UnitSummary, LoadedModel]):
    """Generates units and writes their shards; the model is loaded once a process.

    Units that need not run, and those after an error, yield nothing. A unit that is run again, after a failure elsewhere,
    yields what it has left already. The units of a batch share the sampler's rows; which units meet in a batch, the runner
    decides, and nothing depends on it. Records are written here and not by a later step, so that a batch holds in memory only
    the units at work.

    Errors that the user can mend are noted in the spool instead of raised: a runner would retry them, in vain.

    Args:
        open_sampler: loads the model; called on the worker, where it may import TensorFlow.
        settings: what decides about attempts.
        judge: decides about samples; its validator is set on the worker.
        validator: where the validator comes from, or None.
        spool: where units leave their work.
    """

    def __init__(
        self,
        open_sampler: Callable[[], SampleSource],
        settings: AttemptSettings,
        judge: Judge,
        validator: ValidatorLoader | None,
        spool: StagingDirectory | RemoteStagingDirectory,
    ) -> None:
        super().__init__()
        self._open_sampler = open_sampler
        self._settings = settings
        self._judge = judge
        self._validator = validator
        self._spool = spool

    def load_model(self) -> LoadedModel:
        try:
            validator = None if self._validator is None else self._validator.load()
            judge = Judge(validator, self._judge.field_count, self._judge.delimiter, self._judge.quoted)
            return LoadedModel(self._open_sampler(), judge)
        except LinesmithError as error:
            return LoadedModel(failure=error)

    def run_inference(
        self, batch: Sequence[WorkUnit], model: LoadedModel, inference_args: dict[str, Any] | None = None
    ) -> Iterable[UnitSummary]:
        if model.failure is not None or model.sampler is None or model.judge is None:
            if model.failure is not None:
                self._spool.write_failure(model.failure)
            return []
        with model.turn:
            try:
                return self._summaries(batch, model.sampler, model.judge)
            except LinesmithError as error:
                self._spool.write_failure(error)
                return []

    def _summaries(self, batch: Sequence[WorkUnit], sampler: SampleSource, judge: Judge) -> list[UnitSummary]:
        summaries = []

        def to_do() -> Iterator[WorkUnit]:
            for unit in sorted(batch, key=lambda unit: unit.start):
                if self._spool.should_skip(unit.number):
                    return
                there = self._spool.summary(unit.number)
                if there is None:
                    yield unit
                else:
                    summaries.append(there)

        units = generate_units(sampler, to_do(), self._settings, judge, progress=self._spool.write_progress)
        for result in units:
            summaries.append(self._spool.write(result))
            _count(summaries[-1])
        return summaries

    def get_num_bytes(self, batch: Sequence[WorkUnit]) -> int:
        return sum(8 * len(start.ids) for unit in batch for start in unit.starts)

    def get_metrics_namespace(self) -> str:
        return METRICS_NAMESPACE

    def batch_elements_kwargs(self) -> Mapping[str, Any]:
        return {"min_batch_size": _UNITS_A_BATCH, "max_batch_size": _UNITS_A_BATCH}


def _count(summary: UnitSummary) -> None:
    """Counters that repeat what the summaries say, for a runner's own display; names carry the unit where it is not one."""
    counts = {
        "records_valid": summary.records,
        "records_missing": summary.missing,
        "attempts": summary.attempts,
        "characters": summary.characters,
        "milliseconds": round(1000 * summary.seconds),
        **{f"invalid_{reason}": count for reason, count in summary.reasons.items()},
    }
    for name, count in counts.items():
        Metrics.counter(METRICS_NAMESPACE, name).inc(count)


@dataclass
class GenerateRecords(beam.PTransform):
    """`PCollection[WorkUnit]` → `PCollection[UnitSummary]`; the shards lie in the generator's spool.

    Guarantee: files and summaries depend on the units only, not on bundles, workers or retries (`seconds` aside).
    """

    generator: RecordGenerator

    def __post_init__(self) -> None:
        super().__init__()

    def expand(self, units: beam.PCollection[WorkUnit]) -> beam.PCollection[UnitSummary]:
        return (
            units
            | "Spread over workers" >> beam.Reshuffle()  # else all units fuse with Create onto one worker
            | "Generate and write" >> RunInference(self.generator)
        )
