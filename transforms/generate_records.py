"""Generate work units and write their shards: Reshuffle → RunInference, which writes. One `UnitSummary` per unit."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import apache_beam as beam
from apache_beam.metrics import Metrics
from apache_beam.ml.inference.base import ModelHandler, RunInference

from linesmith.core.errors import LinesmithError
from linesmith.model.generation.attempts import AttemptSettings
from linesmith.model.generation.staging import StagingDirectory
from linesmith.model.generation.unit_generator import SampleSource, generate_units
from linesmith.model.generation.unit_summary import UnitSummary
from linesmith.model.generation.work_units import WorkUnit
from linesmith.records.validation.record_validator import RecordValidator, ValidatorLoader
from linesmith.transforms.remote_staging import RemoteStagingDirectory

if TYPE_CHECKING:
    from linesmith.model.generation.requests.requested_records import GenerationCounts

METRICS_NAMESPACE = "linesmith.generate"
# Units that a worker generates at the same time: enough that few rows are idle when one unit ends and none is left.
_UNITS_PER_BATCH = 64


@dataclass
class LoadedModel:
    """A sampler and a record validator, or the error that kept them from being loaded. One batch of units at a time uses it."""

    sampler: SampleSource | None = None
    record_validator: RecordValidator | None = None
    failure: LinesmithError | None = None

    def __post_init__(self) -> None:
        self.lock = threading.Lock()  # a runner may call the model of a process from several threads


class RecordGenerator(ModelHandler[WorkUnit, UnitSummary, LoadedModel]):
    """ModelHandler that generates units and writes their shards; the model is loaded once per process.

    Units that need not run, and those after an error, have no result. A unit that runs again, after a failure elsewhere,
    has the result that it left in the staging directory. The units of a batch share the rows of the sampler. The runner
    decides which units are in a batch, and no result depends on it. Records are written here and not by a later step, so
    only the units in progress are in memory.

    Errors that a user can fix go to the staging directory instead of being raised: a runner would retry them in vain.

    Args:
        open_sampler: loads the model. Called on the worker.
        settings: how attempts are made.
        record_validator: decides about samples; its validator is set on the worker.
        validator: loads the validator on the worker, or None.
        staging: where units write their results.
    """

    def __init__(
        self,
        open_sampler: Callable[[], SampleSource],
        settings: AttemptSettings,
        record_validator: RecordValidator,
        validator: ValidatorLoader | None,
        staging: StagingDirectory | RemoteStagingDirectory,
    ) -> None:
        super().__init__()
        self._open_sampler = open_sampler
        self._settings = settings
        self._record_validator = record_validator
        self._validator = validator
        self._staging = staging

    def load_model(self) -> LoadedModel:
        """Load the sampler and the validator; an error of ours is returned, not raised."""
        try:
            validator = None if self._validator is None else self._validator.load()
            record_validator = RecordValidator(
                validator, self._record_validator.field_count, self._record_validator.fields
            )
            return LoadedModel(self._open_sampler(), record_validator)
        except LinesmithError as error:
            return LoadedModel(failure=error)

    def run_inference(
        self, batch: Sequence[WorkUnit], model: LoadedModel, inference_args: dict[str, Any] | None = None
    ) -> Iterable[UnitSummary]:
        """Generate and write the units of a batch, and return their summaries."""
        if model.failure is not None or model.sampler is None or model.record_validator is None:
            if model.failure is not None:
                self._staging.write_failure(model.failure)
            return []
        with model.lock:
            try:
                return self._summaries(batch, model.sampler, model.record_validator)
            except LinesmithError as error:
                self._staging.write_failure(error)
                return []

    def _summaries(
        self, batch: Sequence[WorkUnit], sampler: SampleSource, record_validator: RecordValidator
    ) -> list[UnitSummary]:
        summaries = []

        def unfinished() -> Iterator[WorkUnit]:
            for unit in sorted(batch, key=lambda unit: unit.start):
                if self._staging.should_skip(unit.number):
                    return
                earlier = self._staging.read_summary(unit.number)
                if earlier is None:
                    yield unit
                else:
                    summaries.append(earlier)

        units = generate_units(
            sampler, unfinished(), self._settings, record_validator, progress=self._staging.write_progress
        )
        for result in units:
            summaries.append(self._staging.write(result))
            count_generated(summaries[-1])
        return summaries

    def get_num_bytes(self, batch: Sequence[WorkUnit]) -> int:
        """Return the approximate bytes of a batch, for the runner's metrics."""
        return sum(8 * len(start.ids) for unit in batch for start in unit.start_strings)

    def get_metrics_namespace(self) -> str:
        """Return the namespace of the metrics."""
        return METRICS_NAMESPACE

    def batch_elements_kwargs(self) -> Mapping[str, Any]:
        """Return the size of batches."""
        return {"min_batch_size": _UNITS_PER_BATCH, "max_batch_size": _UNITS_PER_BATCH}


def count_generated(done: UnitSummary | GenerationCounts) -> None:
    """Update the counters that a runner displays."""
    counts = {
        "records_valid": done.records,
        "records_missing": done.missing,
        "attempts": done.attempts,
        "characters": done.characters,
        "milliseconds": round(1000 * done.seconds),
        **{f"invalid_{reason}": count for reason, count in done.reasons.items()},
    }
    for name, count in counts.items():
        Metrics.counter(METRICS_NAMESPACE, name).inc(count)


@dataclass
class GenerateRecords(beam.PTransform):
    """`PCollection[WorkUnit]` → `PCollection[UnitSummary]`; the shards are in the staging directory of the generator.

    Guarantee: files and summaries, except for `seconds`, depend on the units only, not on bundles, workers or retries.

    Attributes:
        generator: generates and writes the units.
    """

    generator: RecordGenerator

    def __post_init__(self) -> None:
        super().__init__()

    def expand(self, units: beam.PCollection[WorkUnit]) -> beam.PCollection[UnitSummary]:
        """Spread the units over the workers and generate them."""
        return (
            units
            | "Spread over workers"
            >> beam.Reshuffle()  # otherwise Create is fused with this step, and one worker gets all units
            | "Generate and write" >> RunInference(self.generator)
        )
