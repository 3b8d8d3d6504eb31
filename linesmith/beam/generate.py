"""Records in any pipeline: so many, one for each seed, or one for each condition, as rows with a schema."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

import apache_beam as beam
from apache_beam.ml.inference.base import RunInference
from apache_beam.transforms.periodicsequence import PeriodicImpulse
from apache_beam.utils.timestamp import MAX_TIMESTAMP, Duration, Timestamp

from linesmith.api.model import Model
from linesmith.api.requests import whole_number
from linesmith.beam.elements import LAST_NUMBER, kind_of
from linesmith.beam.handlers import ReadElementsFn, RequestSettings, RowsHandler
from linesmith.beam.models import ModelPlace
from linesmith.beam.rows import RowFormat, RowValues
from linesmith.core.errors import ParameterError
from linesmith.model.generation.requests.requested_records import RecordRequest, RequestKind

if TYPE_CHECKING:
    import pyarrow as pa

_RANGE_RECORDS = 2048  # records of an element, where elements are ranges
_BATCH_RANGES = 8


class GenerateRecords(beam.PTransform):
    """Generate records with a trained model → rows with a schema.

    Applied to a pipeline, `records` says how many. Applied to a PCollection, each element asks for a record:

    - a start string, or a row with the field `start_string` (elements="seeds");
    - a row or a mapping from columns to values (elements="conditions");
    - the number of a record (elements="numbers").

    Record number i of a model and a seed is the same in every pipeline, on every runner, after every retry, and the same as that
    of `linesmith generate`, which numbers the seeds of a file from 0. A seed or a condition has a number where it is a pair
    `(number, element)` or `index_field` names a field of its rows; otherwise its content decides, and equal elements give equal
    records. Rows of seeds and conditions have two more columns, `seed_id` and `start_string`, as typed output has.

    Args:
        model: a run directory, an archive, the bucket address of one of them, or a `linesmith.Model`. The driver reads its
            columns, and each worker loads it from there.
        records: number of records; only where the transform is applied to a pipeline.
        elements: what elements are; default: what the type of the PCollection says.
        fill: conditions may give any column, as rows with gaps do, and none of the others is left empty (`--impute`).
        seed: default that of the training.
        where: values of `condition_on` columns that every record has; not with seeds and conditions.
        values: portable: dates, times and decimals are text, and the rows fit every sink; logical: rows with Beam's types for
            dates, instants and decimals; python: dictionaries of Python's values, for sinks that are given `arrow_schema`.
        index_field: field of the rows that holds the number of the element, and nothing else.
        index_column: a further column of the output with the number of the record, by which sinks can drop what comes twice.
        missing: fail: the pipeline fails if a number has no valid record after `max_attempts`; skip: the metric
            `records_missing` counts it.
        settings: other settings of generation, such as gen_temp, records_per_seed or line_validator.

    Raises:
        ParameterError: an argument cannot work with this model.
        DataError: there is no usable model.
    """

    def __init__(
        self,
        model: str | os.PathLike[str] | Model,
        records: int | None = None,
        *,
        elements: RequestKind | None = None,
        fill: bool = False,
        seed: int | None = None,
        where: Mapping[str, Any] | None = None,
        values: RowValues = "portable",
        index_field: str | None = None,
        index_column: str | None = None,
        missing: str = "fail",
        **settings: Any,
    ) -> None:
        super().__init__()
        self._place = ModelPlace.of(model, seed, where, settings)
        self._records = None if records is None else whole_number("records", records, LAST_NUMBER, "Give a number.")
        if records is not None and elements is not None:
            raise ParameterError("LS101", "elements", "records says how many there are", "Give one of the two.")
        self._elements: RequestKind | None = "numbers" if records is not None else elements
        self._answer = {
            "fill": fill, "missing": missing, "values": values, "index_field": index_field, "index_column": index_column
        }  # fmt: skip
        if self._elements is not None:
            self._settings(self._elements)  # refuses what cannot be, where it was written
        self._model = model  # a model that was loaded from an archive is there as long as its object
        self._loaded = self._place.load()

    @property
    def arrow_schema(self) -> pa.Schema:
        """The schema of the rows in Arrow, for sinks that take dictionaries: `values="python"`.

        Raises:
            ParameterError: LS101, neither `records` nor `elements` says what the rows are of.
        """
        return self._row_format(self._settings(_known(self._elements))).arrow_schema

    def expand(self, given: beam.pvalue.PBegin | beam.PCollection[Any]) -> beam.PCollection[Any]:
        """Generate the records of the elements."""
        if isinstance(given, beam.PCollection):
            settings, requests = self._requests_of(given)
        else:
            settings, requests = self._numbered_requests(given)
        batch = {"batch_elements": _BATCH_RANGES} if self._records is not None else {}
        return (
            requests
            | "Spread over workers" >> beam.Reshuffle()
            | "Generate" >> RunInference(RowsHandler(self._place, settings, **batch))
            | "Rows" >> beam.FlatMap(_each).with_output_types(self._row_format(settings).element_type)
        )

    def _numbered_requests(self, root: beam.pvalue.PBegin) -> tuple[RequestSettings, beam.PCollection[RecordRequest]]:
        if self._records is None:
            raise ParameterError(
                "LS101",
                "records",
                "missing, and there is no PCollection",
                "Say how many, or apply it to a PCollection.",
            )
        settings = self._settings("numbers")
        ranges = beam.FlatMap(_ranges).with_output_types(RecordRequest)
        return settings, root | "All" >> beam.Create([self._records], reshuffle=False) | "Ranges" >> ranges

    def _requests_of(self, given: beam.PCollection[Any]) -> tuple[RequestSettings, beam.PCollection[RecordRequest]]:
        if self._records is not None:
            raise ParameterError(
                "LS101", "records", "each element asks for a record", "Leave it out, or apply it to the pipeline."
            )
        kind = _known(self._elements or kind_of(given.element_type))
        settings = self._settings(kind)
        reader = settings.element_reader(self._loaded)
        return settings, given | "Read elements" >> beam.ParDo(ReadElementsFn(reader))

    def _settings(self, kind: RequestKind) -> RequestSettings:
        self._place.check_elements(kind)
        return RequestSettings(kind, **self._answer)  # type: ignore[arg-type]

    def _row_format(self, settings: RequestSettings) -> RowFormat:
        return settings.row_format(settings.requested_records(self._loaded))


def _known(kind: RequestKind | None) -> RequestKind:
    """Return what elements are, if it is known.

    Raises:
        ParameterError: LS101, it is not.
    """
    if kind is None:
        raise ParameterError(
            "LS101",
            "elements",
            "missing, and no type of a PCollection says what its elements are",
            "Give elements='seeds', 'conditions' or 'numbers'.",
        )
    return kind


def _ranges(records: int) -> Iterator[RecordRequest]:
    """Yield the numbers of a run in ranges."""
    for start in range(0, records, _RANGE_RECORDS):
        yield RecordRequest(start, min(start + _RANGE_RECORDS, records))


def _each(rows: list[Any]) -> list[Any]:
    return rows


class Ticks(beam.PTransform):
    """Numbers of records, some at each tick of a clock: a source without end for `GenerateRecords`.

    The number comes from the tick's nominal time: tick k, at `start` + k · `interval`, gives the numbers k · `per_tick` and those
    that follow. So a pipeline that begins again with the same `start` gives the same records, and none twice; whatever it has
    missed comes first.

    Args:
        interval: seconds between two ticks.
        start: time of tick 0, in seconds since 1970 or as a Timestamp. Give it, and keep it: the time of the submission would
            number anew.
        stop: no tick at this time or later; None: there is no end.
        per_tick: records at each tick.
    """

    def __init__(
        self,
        interval: float,
        start: float | Timestamp,
        stop: float | Timestamp | None = None,
        per_tick: int = 1,
    ) -> None:
        super().__init__()
        self._interval = interval
        self._start = Timestamp.of(start)
        self._stop = MAX_TIMESTAMP if stop is None else Timestamp.of(stop)
        self._per_tick = whole_number("per_tick", per_tick, 1 << 32, "Give one.")
        if Duration.of(interval).micros <= 0:
            raise ParameterError("LS101", f"interval {interval!r}", "not a number of seconds above 0", "Give one.")

    def expand(self, root: beam.pvalue.PBegin) -> beam.PCollection[int]:
        """Return the numbers of the ticks."""
        numbers = beam.ParDo(_NumberTicksFn(self._start, self._interval, self._per_tick)).with_output_types(int)
        return root | "Ticks" >> PeriodicImpulse(self._start, self._stop, self._interval) | "Numbers" >> numbers


class _NumberTicksFn(beam.DoFn):
    """DoFn that gives the numbers of a tick, whose element is its time."""

    def __init__(self, start: Timestamp, interval: float, per_tick: int) -> None:
        super().__init__()
        self._start, self._interval, self._per_tick = start, interval, per_tick

    def process(self, tick: Timestamp) -> Iterator[int]:
        """Yield the numbers."""
        since = Timestamp.of(tick).micros - self._start.micros
        number = round(since / (self._interval * 1_000_000))
        yield from range(number * self._per_tick, (number + 1) * self._per_tick)
