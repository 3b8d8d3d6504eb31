"""Model handlers: a Linesmith model in Beam's `RunInference`, which batches, loads once per process, and can change the model."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any, Generic, TypeVar

import apache_beam as beam
from apache_beam.ml.inference.base import ModelHandler, PredictionResult

from linesmith.api.model import Model
from linesmith.beam.elements import ElementReader
from linesmith.beam.models import ARGUMENTS, LoadedModel, ModelPlace, check_choice
from linesmith.beam.rows import ROW_VALUES, RowFormat, RowValues, field_names
from linesmith.core.config.spelling import python_call
from linesmith.core.errors import DataError, ParameterError
from linesmith.model.generation.requests.requested_records import (
    GenerationCounts,
    RecordRequest,
    RequestedRecords,
    RequestKind,
)
from linesmith.transforms.generate_records import METRICS_NAMESPACE, count_generated

KINDS = ("numbers", "seeds", "conditions")
MISSING = ("fail", "skip")
_LARGEST_BATCH = 2048  # elements: enough that few rows of the sampler are idle at the end of a batch
Element = TypeVar("Element")
Answer = TypeVar("Answer")


@dataclass(frozen=True)
class RequestSettings:
    """What elements ask for, and how they are answered.

    Attributes:
        kind: what elements are.
        fill: conditions: any column may be given, and none of the others is left empty.
        missing: fail or skip: what happens where no valid record is found.
        values, index_column: as for `RowFormat`.
        index_field: as for `ElementReader`.
    """

    kind: RequestKind
    fill: bool = False
    missing: str = "fail"
    values: RowValues = "portable"
    index_column: str | None = None
    index_field: str | None = None

    def __post_init__(self) -> None:
        check_choice("elements", self.kind, KINDS)
        check_choice("missing", self.missing, MISSING)
        check_choice("values", self.values, ROW_VALUES)
        if self.index_field is not None and self.kind == "numbers":
            raise ParameterError(
                "LS101", f"index_field {self.index_field!r}", "the elements are numbers themselves", "Leave it out."
            )

    def requested_records(self, loaded: LoadedModel) -> RequestedRecords:
        """Return the generator of records of a model."""
        return loaded.requested_records(self.kind, fill=self.fill, skip_missing=self.missing == "skip")

    def row_format(self, records: RequestedRecords) -> RowFormat:
        """Return how the records become rows.

        Raises:
            ParameterError: LS101, a column has the name of that for numbers already.
        """
        if self.index_column in (*records.layout.names, *field_names(records.layout.names)):
            raise ParameterError(
                "LS101", f"index_column {self.index_column!r}", "a column of the records", "Give another name."
            )
        return RowFormat(records.layout, self.values, self.index_column)

    def element_reader(self, loaded: LoadedModel) -> ElementReader:
        """Return what reads the elements."""
        copies = 1 if self.kind == "numbers" else loaded.config.records_per_seed
        return ElementReader(self.kind, copies, self.index_field, loaded.learned_table)


@dataclass
class WorkerModel:
    """What a worker keeps of a model.

    Attributes:
        loaded: the model.
        records: generates.
        rows: makes rows.
        elements: reads elements.
    """

    loaded: LoadedModel
    records: RequestedRecords
    rows: RowFormat
    elements: ElementReader


class GenerationHandler(ModelHandler[Element, Answer, WorkerModel], Generic[Element, Answer]):
    """Handler that loads a model for generation.

    Args:
        place: the model.
        settings: what is asked for.
        batch_elements: elements in a batch.
    """

    def __init__(self, place: ModelPlace, settings: RequestSettings, batch_elements: int = _LARGEST_BATCH) -> None:
        super().__init__()
        self._place = place
        self._settings = settings
        self._batch_elements = batch_elements
        self._columns: tuple[Any, ...] | None = None  # of the first model that this process has loaded

    def load_model(self) -> WorkerModel:
        """Load the description of the model; the network follows with the first batch.

        Raises:
            DataError: LS215, a model that takes the place of another has other columns.
        """
        loaded = self._place.load()
        records = self._settings.requested_records(loaded)
        columns = (records.layout.names, records.layout.types)
        if self._columns not in (None, columns):
            raise DataError(
                "LS215",
                f"model '{self._place.place}'",
                "its columns are not those of the model that the pipeline began with",
                "Train it on the same columns, or begin another pipeline.",
            )
        self._columns = columns
        return WorkerModel(loaded, records, self._settings.row_format(records), self._settings.element_reader(loaded))

    def update_model_path(self, model_path: str | None = None) -> None:
        """Take another model, which has to have the same columns; its address is that of `RunInference`'s metadata."""
        if model_path:
            self._place = self._place.moved(model_path)

    def get_num_bytes(self, batch: Sequence[Element]) -> int:
        """Return the approximate bytes of a batch, for the runner's metrics."""
        return 32 * len(batch)

    def get_metrics_namespace(self) -> str:
        """Return the namespace of the metrics."""
        return METRICS_NAMESPACE

    def batch_elements_kwargs(self) -> Mapping[str, Any]:
        """Return the size of batches. A bundle that is smaller is a batch: nothing waits for more elements."""
        return {"min_batch_size": self._batch_elements, "max_batch_size": self._batch_elements}

    @staticmethod
    def answer_rows(requests: Sequence[RecordRequest], model: WorkerModel) -> dict[RecordRequest, list[Any]]:
        """Return the rows of each distinct request, and count them.

        Raises:
            ParameterError: LS108, LS132, what is given cannot be part of a record.
            ShortfallError: LS502, LS503, records are missing.
        """
        counts = GenerationCounts()
        try:
            with python_call(ARGUMENTS):
                answers = model.records.answers(requests, counts)
        finally:
            count_generated(counts)
        # All at once: what has a schema of Arrow is converted by column.
        rows = model.rows.rows([record for answer in answers.values() for record in answer.records])
        return {request: list(islice(rows, len(answer.records))) for request, answer in answers.items()}


class RowsHandler(GenerationHandler[RecordRequest, list[Any]]):
    """Handler that answers each request by the list of its rows."""

    def run_inference(
        self, batch: Sequence[RecordRequest], model: WorkerModel, inference_args: dict[str, Any] | None = None
    ) -> Iterator[list[Any]]:
        """Yield the rows of each request, in order."""
        rows = self.answer_rows(batch, model)
        yield from (rows[request] for request in batch)


class LinesmithModelHandler(GenerationHandler[Any, PredictionResult]):
    """Handler of a Linesmith model for Beam's `RunInference`: one record for each element.

    The inference of a `PredictionResult` is a row, as `GenerateRecords` gives it, or None where no valid record was found and
    `missing` is skip. `model_metadata_pcoll` and `watch_model_pattern` of `RunInference` change the model while the pipeline
    runs; an archive written by `linesmith export` is one file, and so what a pattern can watch for. The new model must have the
    columns of the first.

    Args:
        model: a run directory, an archive, the bucket address of one of them, or a `linesmith.Model`. Workers load it from there.
        elements: what elements are: numbers, seeds or conditions, as for `GenerateRecords`.
        fill: as for `GenerateRecords`.
        seed: default that of the training.
        where: with numbers: values of `condition_on` columns that every record has.
        values: portable, logical or python, as for `GenerateRecords`.
        index_field: as for `GenerateRecords`.
        missing: as for `GenerateRecords`.
        settings: other settings of generation, such as gen_temp.

    Raises:
        ParameterError: LS101, an argument cannot work.

    Example:
        >>> from apache_beam.ml.inference.base import RunInference
        >>> step = RunInference(LinesmithModelHandler("run", elements="numbers"))  # element 7 gives record 7
    """

    def __init__(
        self,
        model: str | os.PathLike[str] | Model,
        elements: RequestKind = "seeds",
        *,
        fill: bool = False,
        seed: int | None = None,
        where: Mapping[str, Any] | None = None,
        values: RowValues = "portable",
        index_field: str | None = None,
        missing: str = "fail",
        **settings: Any,
    ) -> None:
        if settings.get("records_per_seed", 1) != 1:
            raise ParameterError(
                "LS101", "records_per_seed", "RunInference has one result for each element", "Use GenerateRecords."
            )
        asked = RequestSettings(elements, fill, missing, values, None, index_field)
        place = ModelPlace.of(model, seed, where, {**settings, "records_per_seed": 1})
        place.check_elements(elements)
        super().__init__(place, asked)

    def run_inference(
        self, batch: Sequence[Any], model: WorkerModel, inference_args: dict[str, Any] | None = None
    ) -> Iterable[PredictionResult]:
        """Yield the result of each element, in order."""
        requests = [model.elements.request(element) for element in batch]
        rows = self.answer_rows(requests, model)
        for element, request in zip(batch, requests, strict=True):
            yield PredictionResult(element, next(iter(rows[request]), None), model.loaded.origin.place)


class ReadElementsFn(beam.DoFn):
    """DoFn that turns elements into requests."""

    def __init__(self, elements: ElementReader) -> None:
        super().__init__()
        self._elements = elements

    def process(self, element: Any) -> Iterator[RecordRequest]:
        """Yield the request of an element."""
        yield self._elements.request(element)
